//! Runs commands as executions, each in an ECS task, and keeps what is known of them.

mod approvals;
mod attempt;
mod change;
pub mod consistency;
mod cost;
pub(crate) mod entries;
mod idempotency;
pub(crate) mod items;
mod kill;
mod launch;
pub mod list;
mod log_stream;
mod nonce;
pub mod outcome;
mod overrides;
mod pointer;
mod record;
pub(crate) mod recover;
mod release;
pub mod request;
mod retry;
mod run_context;
mod run_request;
mod run_task_tries;
pub mod sidecar_failure;
mod start;
mod start_lease;
mod stop_task;
mod tags;
pub mod task;
mod task_id;
pub mod task_report;
mod task_times;
mod timeout;
mod transition;
pub(crate) mod waiting;

pub(crate) use approvals::write_approvals;
pub use attempt::StartedAttempt;
pub(crate) use attempt::{adopt_started_task, start_attempt};
pub use change::{change, note_commit, note_ending};
pub use cost::TaskSize;
pub use idempotency::Idempotency;
pub(crate) use items::statuses;
pub use items::{create, find, get, set_owners};
pub use kill::KillOutcome;
pub(crate) use kill::kill;
pub use log_stream::LogStream;
pub use overrides::API;
pub(crate) use overrides::check as check_overrides;
pub use record::{ExecutionRecord, NewExecution};
pub use recover::execution_of;
pub use release::give_free_slots;
pub(crate) use release::{free_lost, with_lock};
pub(crate) use retry::note_mark;
pub use run_context::RunContext;
pub(crate) use run_request::{KeptSecret, kept_secret, without_credentials};
pub use run_request::{RunRequest, ValidRun};
pub use runvoy_api_types::{Asked, Execution, ExecutionId, Status};
pub use start::{Started, start};
pub use start_lease::LeasedUntil;
pub use task_id::{Attempt, TaskId};
pub use task_times::TaskTimes;
pub use transition::{Changed, Transition};
pub(crate) use waiting::{begin, end as end_without_task, stop_following};

use crate::auth::Resource;

/// The execution as the policies see it.
pub fn resource(execution: &Execution) -> Resource<'_> {
    let Execution { execution_id, owned_by, asked, approval, created_by, .. } = execution;
    Resource::ExecutionFrom {
        id: execution_id.as_str(),
        owners: owned_by,
        source: &asked.source,
        approvers: approval.as_ref().map(|approval| approval.by.as_slice()),
        requester: Some(created_by),
    }
}
