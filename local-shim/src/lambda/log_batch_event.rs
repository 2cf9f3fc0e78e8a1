//! Makes the event of a batch of lines ("Subscription filters with AWS Lambda").

use std::io::Write;

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    aws::logs::{Event, events_of},
    stack::ACCOUNT,
};

/// The event for lines of a stream, as they are written there.
///
/// # Errors
/// The lines cannot be compressed, which does not happen in memory.
pub(super) fn payload(log_group: &str, stream: &str, written: &[u8]) -> Result<Vec<u8>> {
    let events: Vec<Event> = events_of(written).filter_map(|(event, _)| event).collect();
    Ok(event(log_group, stream, &events)?.to_string().into_bytes())
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
pub fn event(log_group: &str, log_stream: &str, events: &[Event]) -> Result<Value> {
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
