//! Kills executions, and tells what a kill has done.

use super::{Changed, ExecutionRecord, Status, Transition, change::change, items, stop_task::stop_task, waiting};
use crate::{
    App, Result,
    audit::{self, Actor, Entry},
    auth::{Action, Principal},
};

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
/// [`Error::Aws`](crate::Error::Aws) when ECS or DynamoDB fails; the call can be repeated.
pub(crate) async fn kill(app: &App, record: &ExecutionRecord, by: &Principal, actor: &Actor) -> Result<KillOutcome> {
    let id = &record.execution.execution_id.clone();
    let entry = Entry::done(app, actor, Action::KillExecution, format!("execution:{id}"));
    let mut fresh;
    let mut record = record;
    let mut is_written = false;
    loop {
        // No invocation starts a task before it has the lease.
        if record.execution.status.is_without_task() || record.is_to_start() && record.start_lease().is_none() {
            let from = [Status::Waiting, Status::Queued, Status::Starting];
            let entries = if is_written { &[] } else { std::slice::from_ref(&entry) };
            if let Some(ended) = waiting::end(app, id, &from, Status::Stopped, &reason(by), None, entries).await? {
                return Ok(KillOutcome::Ended(Box::new(ended)));
            }
            // It has begun meanwhile, and is stopped as any other, or has ended.
            fresh = items::get(app, id).await?;
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
            stop_task(app, &task, record.has_task_since(), &reason(by)).await?;
            transition.task = Some(task);
        }
        // The invocation that starts the task finds the status, and stops the task. If it has died, it is looked for when its lease is over.
        None => transition.stopped_reason = Some(reason(by)),
    }
    let had_task = transition.task.is_some();
    let changed = change(app, &record.execution.execution_id, Status::Terminating, transition).await?;
    if let Changed::Yes(now) = &changed
        && let Some(task) = now.task().filter(|_| !had_task)
    {
        // The invocation that starts it noted the task before it could find the status.
        stop_task(app, &task, now.has_task_since(), &reason(by)).await?;
    }
    Ok(changed)
}

fn reason(by: &Principal) -> String {
    format!("stopped by {}", by.email)
}
