//! Ends executions that have no task, with their logs.

use super::other_starter::has_other_starter;
use crate::{
    App, Result,
    audit::Actor,
    auth::Principal,
    boxed,
    execution::{self, ExecutionId, ExecutionRecord, KillOutcome, LeasedUntil, Status},
    logs::completion,
    websocket::fan_out,
};

/// Ends an execution that has no task as FAILED, for this reason. Does nothing if it has a task by now, or has ended, or an invocation may have
/// started its task.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn fail(app: &App, id: &ExecutionId, reason: &str) -> Result<()> {
    fail_under(app, id, reason, None).await
}

/// As [`fail`], if no invocation may have started the task since this lease.
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

/// Stops an execution: the task gets SIGTERM at once, and SIGKILL after its stop timeout. One without a task ends.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when AWS fails; the call can be repeated.
pub async fn kill(app: &App, record: &ExecutionRecord, by: &Principal, actor: &Actor) -> Result<KillOutcome> {
    let outcome = execution::kill(app, record, by, actor).await?;
    match &outcome {
        KillOutcome::Ended(record) => finish(app, record).await?,
        KillOutcome::Initiated(record) if record.is_without_task() => {
            let id = &record.execution.execution_id;
            if let Err(error) = stop_unstarted(app, id).await {
                tracing::warn!(execution_id = %id, error = %error.chain(), "the next sweep looks whether it has a task");
            }
        }
        KillOutcome::Initiated(_) | KillOutcome::NothingToStop => {}
    }
    Ok(outcome)
}

/// Ends an execution that was killed while its task was being started, if the invocation that was to start it has died and ECS has no task.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when AWS fails, so that the caller's event is delivered again.
pub(super) async fn stop_unstarted(app: &App, id: &ExecutionId) -> Result<()> {
    let is_unstarted =
        |record: &ExecutionRecord| record.execution.status == Status::Terminating && record.is_without_task();
    let Some(record) = execution::find(app, id).await?.filter(is_unstarted) else { return Ok(()) };
    if has_other_starter(app, &record).await? {
        return Ok(());
    }
    let reason = record.execution.stopped_reason.as_deref().unwrap_or("killed");
    let from = [Status::Terminating];
    match execution::end_without_task(app, id, &from, Status::Stopped, reason, record.start_lease(), &[]).await? {
        Some(record) => finish(app, &record).await,
        None => Ok(()),
    }
}
