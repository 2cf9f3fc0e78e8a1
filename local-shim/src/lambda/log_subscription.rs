//! The subscription of a log group: hands new lines to a function, in order unless a batch takes long.

use std::{io::Write, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::Function;
use crate::{aws::logs::Event, stack::ACCOUNT};

/// How long a batch waits for the previous one, so that lines are stored in the order in which they were printed. After that it is
/// sent, because a viewer that is slow to take one batch must not keep other viewers from the next.
const IN_ORDER: Duration = Duration::from_secs(1);
/// Batches of one task that are handled at the same time. The limit keeps memory from growing with a log.
const IN_FLIGHT: usize = 8;

/// Hands the batches of one task to a function, until the task drops its end of the channel.
pub(super) async fn run(function: Function, log_group: String, mut batches: mpsc::Receiver<(String, Vec<Event>)>) {
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
    while let Some((stream, events)) = batches.recv().await {
        // The semaphore is never closed.
        let permit = in_flight.clone().acquire_owned().await;
        let event = match event(&log_group, &stream, &events) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(%error, stream, "a batch of lines could not be compressed");
                continue;
            }
        };
        let handled = function.send("log batch", event.to_string().into_bytes());
        let handled = tokio::spawn(async move {
            handled.await;
            drop(permit);
        });
        if !function.reorders() {
            let _ = tokio::time::timeout(IN_ORDER, handled).await;
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    message_type: &'static str,
    owner: &'static str,
    log_group: &'a str,
    log_stream: &'a str,
    subscription_filters: [&'static str; 1],
    log_events: Vec<LogEvent<'a>>,
}

#[derive(Serialize)]
struct LogEvent<'a> {
    id: &'a str,
    timestamp: i64,
    message: &'a str,
}

/// The event that Lambda is invoked with ("Subscription filters with AWS Lambda").
///
/// # Errors
/// The lines cannot be serialized or compressed, which does not happen for lines in memory.
pub fn event(log_group: &str, log_stream: &str, events: &[Event]) -> anyhow::Result<Value> {
    let data = Data {
        message_type: "DATA_MESSAGE",
        owner: ACCOUNT,
        log_group,
        log_stream,
        subscription_filters: ["runvoy"],
        log_events: events
            .iter()
            .map(|event| LogEvent { id: &event.event_id, timestamp: event.timestamp, message: &event.message })
            .collect(),
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&serde_json::to_vec(&data)?)?;
    let data = STANDARD.encode(gzip.finish()?);
    Ok(json!({"awslogs": {"data": data}}))
}
