//! Stops the ECS task of an execution, and says what became of the wish.

use std::time::Duration;

use aws_sdk_ecs::operation::stop_task::StopTaskError;
use jiff::Timestamp;

use super::{Changed, ExecutionRecord, Status, TaskId, Transition, task, waiting};
use crate::{
    App, Error, Result,
    audit::{self, Actor, Entry},
    auth::{Action, Principal},
    backoff::Backoff,
    error::Service,
};

/// Characters that ECS takes ("StopTask", Amazon ECS API Reference). An email may have nearly as many.
const MAX_REASON: usize = 255;
/// The first and the longest pause between calls of StopTask for a task that ECS does not know yet.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1600));
/// The time in which ECS knows each task.
const KNOWN_AFTER: Duration = Duration::from_secs(3);

/// The result of a request to stop an execution.
#[derive(Debug)]
pub enum KillOutcome {
    /// The task gets SIGTERM. Holds the execution after the change.
    Initiated(Box<ExecutionRecord>),
    /// It had no task, and has ended. Holds the execution after the change.
    Ended(Box<ExecutionRecord>),
    /// There was nothing to stop: the execution has ended, or is being stopped already.
    NothingToStop,
}

/// Asks ECS to stop an execution's task: SIGTERM at once, SIGKILL after the task's stop timeout.
///
/// # Errors
/// [`Error::Aws`] when ECS or DynamoDB fails; the call can be repeated.
pub async fn kill(app: &App, record: &ExecutionRecord, by: &Principal, actor: &Actor) -> Result<KillOutcome> {
    let id = &record.execution.execution_id.clone();
    let entry = Entry::done(app, actor, Action::KillExecution, format!("execution:{id}"));
    let mut fresh;
    let mut record = record;
    let mut is_written = false;
    loop {
        if record.execution.status.is_without_task() {
            let from = [Status::Waiting, Status::Queued];
            let entries = if is_written { &[] } else { std::slice::from_ref(&entry) };
            if let Some(ended) = waiting::end(app, id, &from, Status::Stopped, &reason(by), entries).await? {
                return Ok(KillOutcome::Ended(Box::new(ended)));
            }
            // It has begun meanwhile, and is stopped as any other, or has ended.
            fresh = super::get(app, id).await?;
            record = &fresh;
            continue;
        }
        if !record.execution.status.can_become(Status::Terminating) {
            return Ok(if is_written {
                KillOutcome::Initiated(Box::new(record.clone()))
            } else {
                KillOutcome::NothingToStop
            });
        }
        if !is_written {
            // ECS takes part in no transaction, so the entry comes first.
            audit::write(app, &entry).await?;
            is_written = true;
        }
        match terminate(app, record, by, actor).await? {
            Changed::Yes(record) => return Ok(KillOutcome::Initiated(record)),
            // If the task's end was written meanwhile, it stands, unless another attempt follows it.
            Changed::No(now) if now.execution.status.is_terminal() || now.execution.status == Status::Terminating => {
                return Ok(KillOutcome::Initiated(now));
            }
            Changed::No(now) => {
                fresh = *now;
                record = &fresh;
            }
            Changed::Missing => return Ok(KillOutcome::NothingToStop),
        }
    }
}

/// Stops the task of the present attempt, and says that the execution is being stopped.
async fn terminate(app: &App, record: &ExecutionRecord, by: &Principal, actor: &Actor) -> Result<Changed> {
    let mut transition = Transition { request_id: Some(actor.request_id.clone()), ..Transition::default() };
    match record.task() {
        Some(task) => {
            stop_task(app, &task, record.begun_at(), &reason(by)).await?;
            transition.task = Some(task);
        }
        // The invocation that starts the task finds the status, and stops the task.
        None => transition.stopped_reason = Some(reason(by)),
    }
    let had_task = transition.task.is_some();
    let changed = super::change(app, &record.execution.execution_id, Status::Terminating, transition).await?;
    if let Changed::Yes(now) = &changed
        && let Some(task) = now.task().filter(|_| !had_task)
    {
        // The invocation that starts it noted the task before it could find the status.
        stop_task(app, &task, now.begun_at(), &reason(by)).await?;
    }
    Ok(changed)
}

fn reason(by: &Principal) -> String {
    format!("stopped by {}", by.email)
}

/// Calls StopTask, again if ECS does not know yet a task that it has just started, at `since`.
///
/// # Errors
/// [`Error::Aws`] when ECS fails; the call can be repeated.
pub(crate) async fn stop_task(app: &App, task: &TaskId, since: Timestamp, reason: &str) -> Result<()> {
    let call = app
        .aws
        .ecs
        .stop_task()
        .cluster(&app.config.ecs_cluster)
        .task(task.as_str())
        .reason(reason.chars().take(MAX_REASON).collect::<String>());
    let mut pauses = Backoff::new(PAUSES);
    let gives_up = app.now() + KNOWN_AFTER;
    loop {
        match call.clone().send().await {
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.as_service_error(), Some(StopTaskError::InvalidParameterException(_))) => {}
            Err(error) => return Err(Error::aws(Service::Ecs)(error)),
        }
        if task::is_consistent(app, since) {
            // ECS forgets a task an hour after its end. The events of this one were lost, and reconcile will close the execution.
            return Ok(());
        }
        if app.now() >= gives_up {
            return Err(task::not_known_yet(task));
        }
        pauses.wait(app).await;
    }
}
