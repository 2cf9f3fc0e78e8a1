//! Starts the task of an attempt, for an execution that exists before its tasks.

use jiff::SignedDuration;

use super::{
    Attempt, ExecutionRecord, RunContext, RunRequest, Status, TaskId,
    launch::{Launch, Launched},
    pointer,
    retry::{self, Followed},
    start_lease::{LeasedUntil, StartLease},
    stop_task::stop_task,
    waiting,
};
use crate::{
    App, Error, Result,
    auth::{Principal, Role},
    boxed,
    error::Service,
    image::Image,
    secret::Secret,
};
use aws_sdk_ecs::operation::run_task::RunTaskError;

/// The time since the beginning of an attempt after which it fails when ECS refuses to start it. A role or a network that has just been made may be refused for a minute.
const REFUSED_FOR: SignedDuration = SignedDuration::from_mins(5);

/// The result of a start.
#[derive(Debug)]
pub enum StartedAttempt {
    Task,
    /// Fargate has no room. The execution is `QUEUED` again.
    NoCapacity,
    /// There is nothing to do: another invocation has the lease, or the attempt is not to be started any more.
    ByAnother,
    /// ECS has refused the task, and may take it when it is tried again in a minute.
    Refused,
    /// The task cannot be started. No other invocation starts it before this lease ends.
    Impossible(Error, LeasedUntil),
}

/// Starts the task of the present attempt, and notes whose it is. RunTask has the same client token each time, so that the attempt has
/// one task, however often this is called, and one invocation at a time calls it. If the execution was killed meanwhile, its task is stopped.
///
/// # Errors
/// [`Error::Aws`] when AWS fails.
#[boxed]
pub(crate) async fn start_attempt(
    app: &App,
    record: &ExecutionRecord,
    request: &RunRequest,
    image: &Image,
    secrets: &[Secret],
) -> Result<StartedAttempt> {
    let execution = &record.execution;
    let attempt = Attempt { execution_id: execution.execution_id.clone(), number: execution.attempt.unwrap_or(1) };
    let Some(lease) = StartLease::take(app, &attempt).await? else { return Ok(StartedAttempt::ByAnother) };
    let by = Principal::without_key(execution.created_by.clone(), Role::Viewer);
    let context = RunContext {
        principal: &by,
        request_id: &execution.created_by_request_id,
        source_address: None,
        source: &execution.asked.source,
        idempotency: None,
        deadline: record.deadline(),
    };
    let launch = Launch {
        request,
        image,
        secrets,
        context,
        nonce: record.nonce.as_deref().unwrap_or_default(),
        client_token: &attempt.client_token(),
        lease: Some(&lease),
    };
    let launched = launch.run(app).await;
    let was_refused = matches!(launched, Ok(Launched::Refused(_)));
    let may_have_task = !was_refused && !matches!(launched, Ok(Launched::NoCapacity(_)) | Err(_));
    match follow(app, record, &attempt, &lease, launched).await {
        Err(error @ (Error::Aws { .. } | Error::Internal { .. })) => {
            // Another call could be told that there is no room for a task that ECS has started or starts yet, and the execution would wait, or
            // count the attempt as one without a task. So the lease stays then until its time is over.
            if !may_have_task && let Err(failed) = lease.end(app).await {
                tracing::warn!(execution_id = %attempt.execution_id, error = %failed.chain(), "the next start waits for the end of a lease");
            }
            if was_refused {
                tracing::warn!(execution_id = %attempt.execution_id, error = %error.chain(), "the task was refused; the sweep tries again");
                return Ok(StartedAttempt::Refused);
            }
            Err(error)
        }
        Err(error) => Ok(StartedAttempt::Impossible(error, lease.until())),
        started => started,
    }
}

/// Notes the task that was started, or lets the execution wait, or its next attempt follow.
async fn follow(
    app: &App,
    record: &ExecutionRecord,
    attempt: &Attempt,
    lease: &StartLease<'_>,
    launched: Result<Launched>,
) -> Result<StartedAttempt> {
    let task = match launched? {
        Launched::Task(task) => task,
        Launched::NoCapacity(error) if retry::counts_capacity(record) => {
            return match retry::follow_refusal(app, record, lease, &error).await? {
                Followed::Yes => Ok(StartedAttempt::NoCapacity),
                Followed::ByAnother => Ok(StartedAttempt::ByAnother),
                Followed::NoAttemptLeft => Err(error),
            };
        }
        Launched::NoCapacity(error) if !record.may_wait_for_capacity() => return Err(error),
        Launched::NoCapacity(_) => {
            let waits = waiting::wait_for_capacity(app, record, lease).await?;
            return Ok(if waits { StartedAttempt::NoCapacity } else { StartedAttempt::ByAnother });
        }
        Launched::Refused(refusal) if app.now().duration_since(record.begun_at()) >= REFUSED_FOR => {
            return Err(Error::conflict(format!("ECS refuses to start the task: {}", refusal.message))
                .with_hint("an admin mends the stack, its network or its roles"));
        }
        Launched::Refused(refusal) => return Err(refusal.error),
        Launched::Unknown(error) => return Err(error),
        // The image or a secret has been changed since an earlier call for this attempt started the task.
        Launched::TokenUsed(error) => match error.as_service_error() {
            Some(RunTaskError::ConflictException(used)) => used
                .resource_ids()
                .first()
                .and_then(|arn| TaskId::from_arn(arn).ok())
                .ok_or_else(|| Error::internal("ECS does not say which task has the client token of an attempt"))?,
            _ => return Err(Error::aws(Service::Ecs)(*error)),
        },
    };
    settle(app, attempt, &task).await?;
    Ok(StartedAttempt::Task)
}

/// Notes that an attempt has this task, and stops the task if the execution does not want it any more.
async fn settle(app: &App, attempt: &Attempt, task: &TaskId) -> Result<()> {
    let Some(record) = pointer::adopt(app, attempt, task).await? else { return Ok(()) };
    let execution = &record.execution;
    let is_present = record.task().as_ref() == Some(task);
    if is_present && execution.status != Status::Terminating {
        return Ok(());
    }
    stop_unwanted(app, &record, task).await
}

/// Stops a task that an execution does not want any more.
pub(super) async fn stop_unwanted(app: &App, record: &ExecutionRecord, task: &TaskId) -> Result<()> {
    let reason = record.execution.stopped_reason.as_deref();
    stop_task(app, task, record.has_task_since(), reason.unwrap_or("the execution does not want this task any more"))
        .await
}

/// Notes the task of the present attempt that an invocation has started without noting it, if ECS shows one, and stops it if the execution was
/// killed meanwhile. `false` if ECS shows none.
///
/// # Errors
/// [`Error::Aws`] when AWS fails.
pub(crate) async fn adopt_started_task(app: &App, record: &ExecutionRecord) -> Result<bool> {
    let execution = &record.execution;
    let Some(number) = execution.attempt else { return Ok(false) };
    let attempt = Attempt { execution_id: execution.execution_id.clone(), number };
    let listed = app
        .aws
        .ecs
        .list_tasks()
        .cluster(&app.config.ecs_cluster)
        .started_by(attempt.started_by())
        .send()
        .await
        .map_err(Error::aws(Service::Ecs))?;
    let Some(task) = listed.task_arns().first().and_then(|arn| TaskId::from_arn(arn).ok()) else { return Ok(false) };
    settle(app, &attempt, &task).await?;
    Ok(true)
}
