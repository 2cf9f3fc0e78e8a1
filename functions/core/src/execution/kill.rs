//! Stopping the ECS task of an execution.

use aws_sdk_ecs::operation::stop_task::StopTaskError;

use super::{Changed, ExecutionRecord, Status, Transition};
use crate::{App, Error, RequestId, Result, auth::Principal, error::Service};

/// Asks ECS to stop an execution's task: SIGTERM at once, SIGKILL after the task's stop timeout. Returns the execution after the
/// change; `None` when there was nothing to stop, because it has ended or is being stopped already.
///
/// # Errors
/// [`Error::Aws`] when ECS or DynamoDB fails; the call can be repeated.
pub async fn kill(
    app: &App,
    record: &ExecutionRecord,
    by: &Principal,
    request_id: &RequestId,
) -> Result<Option<Box<ExecutionRecord>>> {
    let id = &record.execution.execution_id;
    if !record.execution.status.can_become(Status::Terminating) {
        return Ok(None);
    }
    let stopped = app
        .aws
        .ecs
        .stop_task()
        .cluster(&app.config.ecs_cluster)
        .task(id.as_str())
        .reason(format!("killed by {}", by.email))
        .send()
        .await;
    match stopped {
        Ok(_) => {}
        // ECS forgets a task an hour after its end. The events of this one were lost, and reconcile will close the execution.
        Err(error) if matches!(error.as_service_error(), Some(StopTaskError::InvalidParameterException(_))) => {}
        Err(error) => return Err(Error::aws(Service::Ecs)(error)),
    }
    let transition = Transition { request_id: Some(request_id.clone()), ..Transition::default() };
    Ok(match super::change(app, id, Status::Terminating, transition).await? {
        // If the task's end was written meanwhile, it stands.
        Changed::Yes(record) | Changed::No(record) => Some(record),
        Changed::Missing => None,
    })
}
