//! Puts messages into the queue of notifications, and tells the queue when to hand one over again.

use std::time::Duration;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{NotificationEvent, NotificationRecord};
use crate::{App, Error, RequestId, Result, backoff::Backoff, error::Service, execution::ExecutionId, time};

/// Messages of one call ("SendMessageBatch", Amazon SQS API Reference).
const MAX_BATCH: usize = 10;
/// The longest delay of a message ("SendMessage").
const MAX_DELAY: Duration = Duration::from_mins(15);
/// The longest time for which a message that was received can be hidden: 12 hours from its receipt ("ChangeMessageVisibility"), less an
/// invocation's time.
const MAX_HIDDEN: Duration = Duration::from_mins(710);
/// The number of times that a batch is sent until SQS has taken all of it.
const ATTEMPTS: u32 = 4;
/// The first and the longest pause before a repetition.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// A message in the queue: one change for one notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub(super) name: String,
    pub(super) notification_id: String,
    pub(super) event: NotificationEvent,
    /// The id of the change.
    pub(super) change: String,
    #[serde(with = "time::as_rfc3339")]
    pub(super) time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) execution_id: Option<ExecutionId>,
    /// The time before which the message is not sent: that from which an execution that still runs is slow.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<Timestamp>,
}

impl Message {
    pub(super) fn test(record: &NotificationRecord, request_id: &RequestId, now: Timestamp) -> Self {
        Self {
            name: record.notification.name.to_string(),
            notification_id: record.id.clone(),
            event: NotificationEvent::Test,
            change: format!("test-{request_id}"),
            time: now,
            execution_id: None,
            due: None,
        }
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that this program has not written.
    pub fn parse(body: &str) -> Result<Self> {
        serde_json::from_str(body).map_err(|error| Error::invalid(format!("the message cannot be read: {error}")))
    }
}

/// Puts messages into the queue, each at least once.
///
/// # Errors
/// [`Error::Aws`] when SQS fails or does not take all of them.
pub(super) async fn send(app: &App, messages: &[Message]) -> Result<()> {
    for batch in messages.chunks(MAX_BATCH) {
        send_batch(app, batch).await?;
    }
    Ok(())
}

async fn send_batch(app: &App, messages: &[Message]) -> Result<()> {
    let mut entries =
        messages.iter().enumerate().map(|(number, message)| entry(app, number, message)).collect::<Result<Vec<_>>>()?;
    let mut pauses = Backoff::new(PAUSES);
    for _ in 0..ATTEMPTS {
        let sent = app.aws.sqs.send_message_batch().queue_url(&app.config.notifications_queue);
        let answer = sent.set_entries(Some(entries.clone())).send().await.map_err(Error::aws(Service::Sqs))?;
        let failed = answer.failed();
        if failed.is_empty() {
            return Ok(());
        }
        entries.retain(|entry| failed.iter().any(|failure| failure.id() == entry.id()));
        pauses.wait(app).await;
    }
    Err(Error::unavailable(Service::Sqs, "the queue of notifications does not take messages"))
}

fn entry(app: &App, number: usize, message: &Message) -> Result<SendMessageBatchRequestEntry> {
    let body = serde_json::to_string(message)
        .map_err(|error| Error::internal_with("a message could not be serialized", error))?;
    let delay = message.due.map_or(Duration::ZERO, |due| until(app, due)).min(MAX_DELAY);
    let delay = i32::try_from(delay.as_secs()).unwrap_or_default();
    Ok(SendMessageBatchRequestEntry::builder()
        .id(number.to_string())
        .message_body(body)
        .delay_seconds(delay)
        .build()?)
}

/// The time until a moment, in whole seconds rounded up, none if it has passed.
pub(super) fn until(app: &App, due: Timestamp) -> Duration {
    let left = u128::try_from(due.duration_since(app.now()).as_millis()).unwrap_or_default();
    Duration::from_secs(u64::try_from(left.div_ceil(1000)).unwrap_or(u64::MAX))
}

/// Lets the queue hand a message over again after this time, or after as long as it can be hidden.
///
/// # Errors
/// [`Error::Aws`] when SQS fails. The message comes again when the queue's own time is over.
pub async fn hide(app: &App, receipt: &str, time: Duration) -> Result<()> {
    let seconds = i32::try_from(time.min(MAX_HIDDEN).as_secs()).unwrap_or(i32::MAX);
    let change = app.aws.sqs.change_message_visibility().queue_url(&app.config.notifications_queue);
    change.receipt_handle(receipt).visibility_timeout(seconds).send().await.map(drop).map_err(Error::aws(Service::Sqs))
}
