//! Says how an execution is going, and which statuses are ends.

use jiff::Timestamp;
use runvoy_api_types::{Ending, Status as ExecutionStatus};
use serde::Deserialize;

use crate::exit_code;

/// The state of an execution.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) status: String,
    pub(crate) exit_code: Option<i64>,
    pub(crate) stopped_reason: Option<String>,
    /// Why the execution failed, in words for a person.
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) completed_at: Option<Timestamp>,
    /// The command has ended, and its task has not.
    #[serde(default)]
    pub(crate) ending: Option<Ending>,
}

impl Status {
    pub(crate) fn is_end(&self) -> bool {
        is_end(&self.status)
    }

    /// The end of an execution that has ended, or whose command has. `None` if the command goes on.
    pub(crate) fn ended(self) -> Option<Self> {
        if self.is_end() {
            return Some(self);
        }
        let ending = self.ending?;
        let (status, exit_code) = outcome(self.status.parse().ok(), ending);
        Some(Self {
            status: status.to_string(),
            exit_code: Some(exit_code.into()),
            completed_at: self.completed_at.or(ending.at),
            ..self
        })
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.status.parse() == Ok(ExecutionStatus::Succeeded)
    }

    /// Seconds from the request to the end.
    pub(crate) fn seconds(&self) -> Option<i64> {
        Some(self.completed_at?.duration_since(self.started_at?).as_secs().max(0))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        exit_code::of_execution(self.succeeded(), self.exit_code)
    }
}

/// The end status and the exit code of an execution whose command has ended in this status.
pub(super) fn outcome(status: Option<ExecutionStatus>, ending: Ending) -> (ExecutionStatus, i32) {
    match (status, ending.exit_code) {
        (Some(ExecutionStatus::Terminating), _) => (ExecutionStatus::Stopped, exit_code::INTERRUPTED.into()),
        (_, 0) => (ExecutionStatus::Succeeded, 0),
        (_, code) => (ExecutionStatus::Failed, code),
    }
}

/// Tells that a status is an end. A status that only a later server knows is none.
pub(crate) fn is_end(status: &str) -> bool {
    status.parse().is_ok_and(ExecutionStatus::is_terminal)
}
