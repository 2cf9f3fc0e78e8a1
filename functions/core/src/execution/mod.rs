//! Runs commands as executions, each in an ECS task, and keeps what is known of them.

mod id;
pub mod idempotency;
mod kill;
pub mod list;
mod log_stream;
pub mod outcome;
mod overrides;
mod record;
mod run_request;
mod start;
mod status;
pub mod task;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use id::ExecutionId;
pub use idempotency::Idempotency;
pub use kill::{KillOutcome, kill};
pub use log_stream::LogStream;
pub use record::{Changed, ExecutionRecord, NewExecution, Transition, change, create, find, get};
pub use run_request::{RunRequest, ValidRun};
pub use start::{RunContext, start};
pub use status::Status;

use crate::{RequestId, email::Email, image::ImageId, time};

/// An execution as the API lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Execution {
    #[schema(value_type = String)]
    pub execution_id: ExecutionId,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    pub command: String,
    #[schema(value_type = String)]
    pub image_id: ImageId,
    #[serde(with = "time::as_rfc3339")]
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub completed_at: Option<Timestamp>,
    pub status: Status,
    /// `null` until completed.
    #[serde(default)]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream_name: Option<String>,
    #[schema(value_type = String)]
    pub created_by_request_id: RequestId,
    #[schema(value_type = String)]
    pub modified_by_request_id: RequestId,
    pub cloud: String,
    /// Why the task failed, when it was not its command that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
}

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
