//! Says how an execution is going, and which statuses are ends.

use jiff::Timestamp;
use runvoy_api_types::Status as ExecutionStatus;
use serde::Deserialize;

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
}

impl Status {
    pub(crate) fn is_end(&self) -> bool {
        is_end(&self.status)
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.status.parse() == Ok(ExecutionStatus::Succeeded)
    }

    /// Seconds from the request to the end.
    pub(crate) fn seconds(&self) -> Option<i64> {
        Some(self.completed_at?.duration_since(self.started_at?).as_secs().max(0))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        crate::exit_code::of_execution(self.succeeded(), self.exit_code)
    }
}

/// Tells that a status is an end. A status that only a later server knows is none.
pub(crate) fn is_end(status: &str) -> bool {
    status.parse().is_ok_and(ExecutionStatus::is_terminal)
}
