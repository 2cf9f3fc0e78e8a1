//! Handles the queue of notifications: each message is sent, or handed back to the queue until it is time for the next try. Other messages
//! begin the next attempts of executions.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use runvoy_core::{
    App, Error,
    notification::{
        queue,
        send::{self, Handled},
    },
    run::NextAttempt,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::EventError;

/// Messages sent at the same time: as many as a batch has, because each may wait for its receiver.
const CONCURRENCY: usize = 10;
/// The pause before a message is handed over again that could not be handled.
const AFTER_ERROR: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

/// A message ("Using Lambda with Amazon SQS", AWS Lambda Developer Guide).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
struct Attributes {
    /// The number of times that the queue has handed the message over, as text.
    #[serde(rename = "ApproximateReceiveCount", default)]
    receives: String,
}

/// Handles the messages of a batch. Answers with the ids of those that stay in the queue ("Reporting batch item failures").
pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("batch of messages"))?;
    let stay: Vec<Value> = stream::iter(event.records)
        .map(|record| async move {
            let later = match handle_one(app, &record).await {
                Ok(Handled::Done) => return None,
                Ok(Handled::Later(time)) => time,
                Err(error) => {
                    tracing::error!(error = %error.chain(), message_id = record.message_id, "a message was not handled");
                    AFTER_ERROR
                }
            };
            if let Err(error) = queue::hide(app, &record.receipt_handle, later).await {
                tracing::warn!(error = %error.chain(), message_id = record.message_id, "the queue's own time applies");
            }
            Some(json!({"itemIdentifier": record.message_id}))
        })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    Ok(json!({"batchItemFailures": stay}))
}

async fn handle_one(app: &App, record: &Record) -> Result<Handled, Error> {
    if let Some(next) = NextAttempt::parse(&record.body) {
        return Ok(Box::pin(next.begin(app)).await?.map_or(Handled::Done, Handled::Later));
    }
    Box::pin(send::handle(app, &record.body, record.attributes.receives.parse().unwrap_or(1))).await
}
