//! Ends executions that have no task, with their logs.

use crate::{
    App, Result, boxed,
    execution::{self, ExecutionId, ExecutionRecord, LeasedUntil, Status},
    logs::completion,
    websocket::fan_out,
};

/// Ends an execution that has no task as FAILED, for this reason. Does nothing if it has a task by now, or has ended, or another invocation may
/// be starting its task.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn fail(app: &App, id: &ExecutionId, reason: &str) -> Result<()> {
    fail_under(app, id, reason, None).await
}

/// As [`fail`], by the invocation that has this lease, if another has none.
///
/// # Errors
/// As [`fail`].
#[boxed]
pub(super) async fn fail_under(app: &App, id: &ExecutionId, reason: &str, lease: Option<LeasedUntil>) -> Result<()> {
    let from = [Status::Waiting, Status::Queued, Status::Starting];
    if let Some(record) = execution::end_without_task(app, id, &from, Status::Failed, reason, lease, &[]).await? {
        tracing::info!(execution_id = %id, reason, "execution failed without a task");
        finish(app, &record).await?;
    }
    Ok(())
}

/// After the end of an execution without a task: completes its log, and sends its viewers off.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
#[boxed]
pub async fn finish(app: &App, record: &ExecutionRecord) -> Result<()> {
    completion::close_without_task(app, record).await?;
    fan_out::notify(app, &record.execution.execution_id).await;
    Ok(())
}
