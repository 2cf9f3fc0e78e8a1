//! Says how an execution is going, and which statuses are ends.

use jiff::{SignedDuration, Timestamp};
use runvoy_api_types::{Ending, ExecutionStatus, Status as Known};

use crate::{api::WithStatus, exit_code};

/// The state of an execution, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// A later server may have statuses that this program does not know.
    pub(crate) status: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) stopped_reason: Option<String>,
    /// Why the execution failed, in words for a person.
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) completed_at: Option<Timestamp>,
    /// The command has ended, and its task has not.
    pub(crate) ending: Option<Ending>,
}

impl From<WithStatus<ExecutionStatus>> for Status {
    fn from(shown: WithStatus<ExecutionStatus>) -> Self {
        let status = shown.status.clone();
        let ExecutionStatus { exit_code, stopped_reason, reason, started_at, completed_at, ending, .. } =
            shown.into_known();
        Self { status, exit_code, stopped_reason, reason, started_at: Some(started_at), completed_at, ending }
    }
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
            exit_code: Some(exit_code),
            completed_at: self.completed_at.or(ending.at),
            ..self
        })
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.status.parse() == Ok(Known::Succeeded)
    }

    /// The time from the request to the end.
    pub(crate) fn duration(&self) -> Option<SignedDuration> {
        Some(self.completed_at?.duration_since(self.started_at?))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        exit_code::of_execution(self.succeeded(), self.exit_code)
    }
}

/// The end status and the exit code of an execution whose command has ended in this status.
pub(super) fn outcome(status: Option<Known>, ending: Ending) -> (Known, i32) {
    match (status, ending.exit_code) {
        (Some(Known::Terminating), _) => (Known::Stopped, exit_code::INTERRUPTED.into()),
        (_, 0) => (Known::Succeeded, 0),
        (_, code) => (Known::Failed, code),
    }
}

/// Tells that a status is an end. A status that only a later server knows is none.
pub(crate) fn is_end(status: &str) -> bool {
    status.parse().is_ok_and(Known::is_terminal)
}
