//! Makes executions of requests, starts those that wait when their time has come, and ends those that never start.
//!
//! A request that can start at once is started at once, and its execution has the id of its task. Any other becomes an execution without
//! a task: `WAITING` for people who approve it, or `QUEUED`. What moves it on is safe if it happens twice, or stops between any two calls:
//! the status is changed by a condition, RunTask has one client token for each attempt, and [`sweep()`] goes on where a program has died.

mod after;
mod begin;
mod next_attempt;
mod submit;
mod sweep;
mod take_locks;

pub use after::tell_followers;
pub use begin::{go_on, release, start_attempt};
pub use next_attempt::{NextAttempt, expect_next_attempt};
pub(crate) use submit::check_kept;
pub use submit::{Resources, Submission, gather, submit, submit_beside, submit_failed, submit_with};
pub use sweep::sweep;

use crate::{
    App, Result,
    execution::{self, ExecutionId, ExecutionRecord, Status},
    logs::completion,
    websocket::fan_out,
};

/// Ends an execution that has no task as FAILED, for this reason. Does nothing if it has a task by now, or has ended.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn fail(app: &App, id: &ExecutionId, reason: &str) -> Result<()> {
    let from = [Status::Waiting, Status::Queued, Status::Starting];
    if let Some(record) = execution::end_without_task(app, id, &from, Status::Failed, reason, &[]).await? {
        tracing::info!(execution_id = %id, reason, "execution failed without a task");
        finish(app, &record).await?;
    }
    Ok(())
}

/// After the end of an execution without a task: completes its log, and sends its viewers off.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn finish(app: &App, record: &ExecutionRecord) -> Result<()> {
    completion::close_without_task(app, record).await?;
    fan_out::notify(app, &record.execution.execution_id).await;
    Ok(())
}
