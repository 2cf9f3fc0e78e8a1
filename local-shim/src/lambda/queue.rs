//! Maps an SQS queue to a function, as an event source mapping does: hands messages to a function, and deletes those that the function
//! has handled.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Function, function::request_id};
use crate::{
    aws::sqs::{Queue, Received, Sqs, md5_of},
    blocking::blocking,
    stack::REGION,
};

/// The longest pause between two looks into a queue that has hidden messages. A test may move the clock by which they become visible.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A mapping of a queue to a function.
pub(crate) struct Mapping {
    pub(crate) function: Function,
    pub(crate) sqs: Sqs,
    queue: Queue,
    batch_size: usize,
    concurrency: usize,
}

impl Mapping {
    /// From the properties of an `SQS` event in the template. `None` for a queue that the template does not have.
    pub(crate) fn from_template(properties: &Value, function: Function, sqs: Sqs) -> Option<Self> {
        let queue = sqs.queue_of_arn(properties["Queue"].as_str()?)?.clone();
        let number =
            |value: &Value, default| value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(default);
        let batch_size = number(&properties["BatchSize"], 10);
        let concurrency = number(&properties["ScalingConfig"]["MaximumConcurrency"], 5);
        Some(Self { function, sqs, queue, batch_size, concurrency })
    }

    /// Hands messages over for as long as the program runs.
    pub(crate) async fn run(self) {
        let mapping = Arc::new(self);
        let invocations = Arc::new(Semaphore::new(mapping.concurrency));
        let changed = mapping.sqs.changed();
        loop {
            let notified = changed.notified();
            tokio::pin!(notified);
            // The notification is registered before the look, so that a message that comes in between is not missed.
            notified.as_mut().enable();
            // The semaphore is never closed.
            let Ok(permit) = invocations.clone().acquire_owned().await else { return };
            let Mapping { sqs, queue, batch_size, .. } = &*mapping;
            let received = match blocking(|| sqs.receive(queue, *batch_size, queue.visibility)) {
                Ok(received) => received,
                Err(error) => {
                    tracing::error!(%error, queue = mapping.queue.name, "a queue cannot be read");
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
            };
            if received.is_empty() {
                drop(permit);
                match blocking(|| mapping.sqs.due_in(&mapping.queue)) {
                    Ok(None) => notified.await,
                    Ok(Some(due)) => {
                        let pause = Duration::from_millis(due.try_into().unwrap_or_default());
                        let pause = pause.clamp(Duration::from_millis(1), LOOK_EVERY);
                        let _ = tokio::time::timeout(pause, notified).await;
                    }
                    Err(error) => {
                        tracing::error!(%error, queue = mapping.queue.name, "a queue cannot be read");
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                }
                continue;
            }
            let mapping = mapping.clone();
            tokio::spawn(async move {
                mapping.deliver(received).await;
                drop(permit);
            });
        }
    }

    async fn deliver(&self, received: Vec<Received>) {
        let records: Vec<Value> = received.iter().map(|message| record(message, &self.queue)).collect();
        let payload = json!({"Records": records}).to_string().into_bytes();
        let answer = match self.function.deliver(&request_id(), payload, false).await {
            Ok(answer) => serde_json::from_slice::<Value>(&answer).unwrap_or_default(),
            Err(error) => {
                // The messages come again when they become visible.
                tracing::warn!(%error, "messages of a queue failed");
                return;
            }
        };
        let failures = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
        for message in received {
            let stays = failures.iter().any(|failure| failure["itemIdentifier"] == message.id.as_str());
            if !stays && let Err(error) = blocking(|| self.sqs.delete(&self.queue, &message.receipt)) {
                tracing::error!(%error, "a message that was handled stays in its queue");
            }
        }
    }
}

/// A message as Lambda hands it over ("Using Lambda with Amazon SQS", AWS Lambda Developer Guide).
fn record(message: &Received, queue: &Queue) -> Value {
    json!({
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": message.receives.to_string(),
            "SentTimestamp": message.sent.to_string(),
            "SenderId": "AROALOCAL",
            "ApproximateFirstReceiveTimestamp": message.first_received.to_string(),
        },
        "messageAttributes": {},
        "md5OfBody": md5_of(&message.body),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.arn(),
        "awsRegion": REGION,
    })
}
