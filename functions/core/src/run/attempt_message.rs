//! Sends messages that come when an attempt of an execution is to begin, or when its start is to be looked at again. They wait in the queue of
//! notifications. One that is lost is made up for by the sweep of each minute.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Result,
    error::Service,
    execution::{self, ExecutionId, ExecutionRecord},
};

/// The longest delay of a message ("SendMessage", Amazon SQS API Reference).
const MAX_DELAY: Duration = Duration::from_mins(15);

/// A message that waits in the queue until an attempt is to begin.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextAttempt {
    pub(super) execution_id: ExecutionId,
    /// The number of the attempt.
    pub(super) next_attempt: u32,
}

impl NextAttempt {
    /// Reads the body of a message. `None` for that of a notification.
    pub fn parse(body: &str) -> Option<Self> {
        serde_json::from_str(body).ok()
    }
}

/// Sees to it that an execution is looked at again that is being started, or was killed meanwhile, when the lease of the invocation that starts
/// its task is over, because that invocation may die. Does nothing for any other execution.
///
/// # Errors
/// [`Error::Aws`] when AWS fails, so that the caller's event is delivered again.
pub(super) async fn look_after_lease(app: &App, id: &ExecutionId) -> Result<()> {
    let Some(record) = execution::find(app, id).await?.filter(ExecutionRecord::is_without_task) else { return Ok(()) };
    let left = record.start_lease().and_then(|lease| lease.time_left(app.now()));
    let (Some(left), Some(next_attempt)) = (left, record.execution.attempt) else { return Ok(()) };
    // A second more, for clocks that differ.
    let left = Duration::from_secs(left.unsigned_abs().as_secs() + 2);
    send(app, NextAttempt { execution_id: id.clone(), next_attempt }, left).await
}

/// Puts a message into the queue that comes after this time, or after [`MAX_DELAY`] if that is sooner.
///
/// # Errors
/// [`Error::Aws`] when AWS fails.
pub(super) async fn send(app: &App, message: NextAttempt, left: Duration) -> Result<()> {
    let body = serde_json::to_string(&message)
        .map_err(|error| Error::internal_with("a message could not be serialized", error))?;
    let send = app.aws.sqs.send_message().queue_url(&app.config.notifications_queue).message_body(body);
    let delay = i32::try_from(left.min(MAX_DELAY).as_secs()).unwrap_or_default();
    send.delay_seconds(delay).send().await.map(drop).map_err(Error::aws(Service::Sqs))
}
