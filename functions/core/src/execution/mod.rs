//! Runs commands as executions, each in an ECS task, and keeps what is known of them.

pub mod idempotency;
mod kill;
pub mod list;
mod log_stream;
pub mod outcome;
mod overrides;
mod record;
pub mod request;
mod run_request;
mod start;
pub mod task;

pub use idempotency::Idempotency;
pub use kill::{KillOutcome, kill};
pub use log_stream::LogStream;
pub use record::{
    Changed, ExecutionRecord, NewExecution, Transition, change, create, find, get, note_commit, note_ending, set_owners,
};
pub(crate) use run_request::without_credentials;
pub use run_request::{RunRequest, ValidRun};
pub use runvoy_api_types::{Asked, Execution, ExecutionId, Status};
pub use start::{RunContext, start};
