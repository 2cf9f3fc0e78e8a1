//! Begins the next attempt of an execution when its time has come, and looks again at a start whose invocation may have died: a message waits
//! in the queue of notifications until then. A message that is lost is made up for by the sweep of each minute.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::begin;
use crate::{
    App, Error, Result,
    error::Service,
    execution::{self, ExecutionId, ExecutionRecord, Status},
};

/// The longest delay of a message ("SendMessage", Amazon SQS API Reference).
const MAX_DELAY: Duration = Duration::from_mins(15);

/// A message that waits in the queue until an attempt is to begin.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextAttempt {
    execution_id: ExecutionId,
    /// The number of the attempt.
    next_attempt: u32,
}

impl NextAttempt {
    /// Reads the body of a message. `None` for that of a notification.
    pub fn parse(body: &str) -> Option<Self> {
        serde_json::from_str(body).ok()
    }

    /// Begins the attempt, unless it has begun or the execution has ended, or starts its task if an invocation has died that was to do it.
    /// Returns the time after which the message is to come again, if it came too early.
    ///
    /// # Errors
    /// As [`go_on`](super::go_on).
    pub async fn begin(&self, app: &App) -> Result<Option<Duration>> {
        let Some(record) = execution::find(app, &self.execution_id).await? else { return Ok(None) };
        if record.execution.attempt != Some(self.next_attempt) {
            return Ok(None);
        }
        match record.execution.status {
            Status::Queued => {}
            // The invocation that had the lease of the start may have died.
            Status::Starting => return begin::start_attempt(app, &self.execution_id).await.map(|()| None),
            _ => return Ok(None),
        }
        if let Some(left) = left(app, &record) {
            return Ok(Some(left));
        }
        begin::go_on(app, &self.execution_id).await?;
        Ok(None)
    }
}

/// The time until the next attempt in whole seconds, rounded up. `None` if it has come.
fn left(app: &App, record: &ExecutionRecord) -> Option<Duration> {
    let at = record.execution.next_attempt_at.filter(|_| record.pauses(app.now()))?;
    let milliseconds = u64::try_from(at.duration_since(app.now()).as_millis()).unwrap_or_default();
    Some(Duration::from_secs(milliseconds.div_ceil(1000)))
}

/// Sees to it that the next attempt of an execution begins, which is `QUEUED` for that: now, or when a message comes. Does nothing for any
/// other execution.
///
/// # Errors
/// [`Error::Aws`] when AWS fails, so that the caller's event is delivered again.
pub async fn expect_next_attempt(app: &App, record: &ExecutionRecord) -> Result<()> {
    let execution = &record.execution;
    let (Status::Queued, Some(_), Some(next_attempt)) =
        (execution.status, execution.next_attempt_at, execution.attempt)
    else {
        return Ok(());
    };
    let execution_id = execution.execution_id.clone();
    let Some(left) = left(app, record) else { return begin::go_on(app, &execution_id).await };
    send(app, NextAttempt { execution_id, next_attempt }, left).await
}

/// Sees to it that the start of an execution is looked at again when the lease ends with which another invocation starts its task, because
/// that invocation may die. Does nothing for any other execution.
///
/// # Errors
/// As [`expect_next_attempt`].
pub(super) async fn look_after_lease(app: &App, id: &ExecutionId) -> Result<()> {
    let Some(record) = execution::find(app, id).await?.filter(ExecutionRecord::is_to_start) else { return Ok(()) };
    let (Some(left), Some(next_attempt)) = (record.start_lease_left(app.now()), record.execution.attempt) else {
        return Ok(());
    };
    // A second more, for clocks that differ.
    let left = Duration::from_secs(left.unsigned_abs().as_secs() + 2);
    send(app, NextAttempt { execution_id: id.clone(), next_attempt }, left).await
}

/// Puts a message into the queue that comes after this time, or after [`MAX_DELAY`] if that is sooner.
async fn send(app: &App, message: NextAttempt, left: Duration) -> Result<()> {
    let body = serde_json::to_string(&message)
        .map_err(|error| Error::internal_with("a message could not be serialized", error))?;
    let send = app.aws.sqs.send_message().queue_url(&app.config.notifications_queue).message_body(body);
    let delay = i32::try_from(left.min(MAX_DELAY).as_secs()).unwrap_or_default();
    send.delay_seconds(delay).send().await.map(drop).map_err(Error::aws(Service::Sqs))
}
