//! Asks ECS to stop a task, again while ECS does not know it yet.

use std::time::Duration;

use aws_sdk_ecs::operation::stop_task::StopTaskError;
use jiff::Timestamp;

use super::{
    TaskId,
    consistency::{is_consistent, not_known_yet},
};
use crate::{App, Error, Result, backoff::Backoff, error::Service};

/// Characters that ECS takes ("StopTask", Amazon ECS API Reference). An email may have nearly as many.
const MAX_REASON: usize = 255;

/// The first and the longest pause between calls of StopTask for a task that ECS does not know yet.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1600));

/// The time in which ECS knows each task.
const KNOWN_AFTER: Duration = Duration::from_secs(3);

/// Calls StopTask, again if ECS does not know yet a task that it has just started, at `since`.
///
/// # Errors
/// [`Error::Aws`] when ECS fails; the call can be repeated.
pub(super) async fn stop_task(app: &App, task: &TaskId, since: Timestamp, reason: &str) -> Result<()> {
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
        if is_consistent(app, since) {
            // ECS forgets a task an hour after its end. The events of this one were lost, and reconcile will close the execution.
            return Ok(());
        }
        if app.now() >= gives_up {
            return Err(not_known_yet(task));
        }
        pauses.wait(app).await;
    }
}
