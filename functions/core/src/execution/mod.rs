//! Runs commands as executions, each in an ECS task, and keeps what is known of them.

pub mod idempotency;
mod kill;
pub mod list;
mod log_stream;
pub mod outcome;
mod overrides;
mod record;
mod run_request;
mod start;
pub mod task;

use serde::{Deserialize, Serialize};

pub use idempotency::Idempotency;
pub use kill::{KillOutcome, kill};
pub use log_stream::LogStream;
pub use record::{Changed, ExecutionRecord, NewExecution, Transition, change, create, find, get, set_owners};
pub use run_request::{RunRequest, ValidRun};
pub use runvoy_api_types::{Execution, ExecutionId, Status};
pub use start::{RunContext, start};

/// How far an execution's log has been stored. It is a part of the execution's record, so that one read returns both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// The sequence number of the newest stored batch; 0 before the first.
    #[serde(default)]
    pub log_sequence: u64,
    /// The greatest event id stored so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_last_event_id: Option<String>,
    /// Whether the log has been read to its end after the task stopped, so that no further batch is expected.
    #[serde(default)]
    pub log_complete: bool,
    /// Counts the viewers that have ever connected. The transaction that stores a batch is conditional on it, so that the
    /// invocation notices a viewer that connects meanwhile.
    #[serde(default)]
    pub viewers: u64,
}
