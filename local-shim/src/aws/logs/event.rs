//! A line of a log, as a stream keeps it: JSON, in a line of its own.

use serde::{Deserialize, Serialize};

/// A line in a log stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub event_id: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub message: String,
}

/// A line on its way into a stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewEvent<'a> {
    pub(super) event_id: &'a str,
    pub(super) timestamp: i64,
    pub(super) message: &'a str,
}

/// The lines of a part of a stream, each with the number of bytes that it takes there. A line that is no event is `None`.
pub(crate) fn events_of(written: &[u8]) -> impl Iterator<Item = (Option<Event>, u64)> {
    written.split_inclusive(|byte| *byte == b'\n').map(|line| (serde_json::from_slice(line).ok(), line.len() as u64))
}
