//! Begins the next attempt of an execution when its time has come, and looks again at a start whose invocation may have died: a message of
//! [`attempt_message`] comes then.

use std::time::Duration;

use super::{
    attempt_message::{self, NextAttempt},
    begin, end,
};
use crate::{
    App, Result,
    execution::{self, ExecutionRecord, Status},
};

impl NextAttempt {
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
            Status::Terminating => return end::stop_unstarted(app, &self.execution_id).await.map(|()| None),
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
/// [`Error::Aws`](crate::Error::Aws) when AWS fails, so that the caller's event is delivered again.
pub async fn expect_next_attempt(app: &App, record: &ExecutionRecord) -> Result<()> {
    let execution = &record.execution;
    let (Status::Queued, Some(_), Some(next_attempt)) =
        (execution.status, execution.next_attempt_at, execution.attempt)
    else {
        return Ok(());
    };
    let execution_id = execution.execution_id.clone();
    let Some(left) = left(app, record) else { return begin::go_on(app, &execution_id).await };
    attempt_message::send(app, NextAttempt { execution_id, next_attempt }, left).await
}
