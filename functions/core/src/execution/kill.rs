//! Stopping the ECS task of an execution.

use std::time::Duration;

use aws_sdk_ecs::operation::stop_task::StopTaskError;

use super::{Changed, ExecutionRecord, Status, Transition, task};
use crate::{
    App, Error, Result,
    audit::{self, Actor, Entry},
    auth::{Action, Principal},
    error::Service,
};

/// Characters that ECS takes ("StopTask", Amazon ECS API Reference). An email may have nearly as many.
const MAX_REASON: usize = 255;
/// Pauses between calls of StopTask for a task that ECS does not know yet. Each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_millis(1600);

/// The result of a request to stop an execution.
#[derive(Debug)]
pub enum KillOutcome {
    /// The task gets SIGTERM. Holds the execution after the change.
    Initiated(Box<ExecutionRecord>),
    /// There was nothing to stop: the execution has ended, or is being stopped already.
    NothingToStop,
}

/// Asks ECS to stop an execution's task: SIGTERM at once, SIGKILL after the task's stop timeout.
///
/// # Errors
/// [`Error::Aws`] when ECS or DynamoDB fails; the call can be repeated.
pub async fn kill(app: &App, record: &ExecutionRecord, by: &Principal, actor: &Actor) -> Result<KillOutcome> {
    let id = &record.execution.execution_id;
    if !record.execution.status.can_become(Status::Terminating) {
        return Ok(KillOutcome::NothingToStop);
    }
    // ECS takes part in no transaction, so the entry comes first.
    audit::write(app, &Entry::done(app, actor, Action::KillExecution, format!("execution:{id}"))).await?;
    stop_task(app, record, by).await?;
    let transition = Transition { request_id: Some(actor.request_id.clone()), ..Transition::default() };
    Ok(match super::change(app, id, Status::Terminating, transition).await? {
        // If the task's end was written meanwhile, it stands.
        Changed::Yes(record) | Changed::No(record) => KillOutcome::Initiated(record),
        Changed::Missing => KillOutcome::NothingToStop,
    })
}

/// Calls StopTask, again if ECS does not know yet a task that it has just started.
async fn stop_task(app: &App, record: &ExecutionRecord, by: &Principal) -> Result<()> {
    let id = &record.execution.execution_id;
    let call = app
        .aws
        .ecs
        .stop_task()
        .cluster(&app.config.ecs_cluster)
        .task(id.as_str())
        .reason(format!("killed by {}", by.email).chars().take(MAX_REASON).collect::<String>());
    let mut pause = FIRST_PAUSE;
    loop {
        match call.clone().send().await {
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.as_service_error(), Some(StopTaskError::InvalidParameterException(_))) => {}
            Err(error) => return Err(Error::aws(Service::Ecs)(error)),
        }
        if task::is_consistent(app, record.execution.started_at) {
            // ECS forgets a task an hour after its end. The events of this one were lost, and reconcile will close the execution.
            return Ok(());
        }
        if pause > LAST_PAUSE {
            return Err(task::not_known_yet(id));
        }
        app.sleep(pause).await;
        pause *= 2;
    }
}
