//! Answers FilterLogEvents.

use serde::{Deserialize, Serialize};

use super::{
    event::{Event, events_of},
    group::LogGroup,
};
use crate::aws::{AwsError, error::write};

/// Events of one answer. This and the next are from "FilterLogEvents", Amazon CloudWatch Logs API Reference.
const MAX_EVENTS: usize = 10_000;
/// Bytes of one answer.
const MAX_BYTES: usize = 1024 * 1024;
/// Bytes of a stream that are read at a time.
const READ: usize = 256 * 1024;

/// An event as `FilterLogEvents` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilteredEvent<'a> {
    log_stream_name: &'a str,
    ingestion_time: i64,
    #[serde(flatten)]
    event: Event,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilteredEvents<'a> {
    events: Vec<FilteredEvent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FilterLogEvents {
    pub(super) log_group_name: Option<String>,
    #[serde(default)]
    log_stream_names: Vec<String>,
    filter_pattern: Option<String>,
    start_time: Option<i64>,
    /// Events later than this are left out.
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<usize>,
}

/// The lines that one call of `FilterLogEvents` shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Lines later than this, in milliseconds since 1970, are not shown yet.
    pub until: i64,
    /// Tells whether the first page is empty and has a token. AWS may answer so, and the next page has the lines.
    pub begins_empty: bool,
}

impl Shown {
    /// Every line that was put, at once.
    pub const ALL: Self = Self { until: i64::MAX, begins_empty: false };
}

impl LogGroup {
    pub(super) fn filter(&self, request: FilterLogEvents, shown: Shown) -> Result<Vec<u8>, AwsError> {
        let invalid = |message: &str| AwsError::new("InvalidParameterException", message);
        if request.log_stream_names.len() > 100 {
            return Err(invalid("At most 100 log streams can be named."));
        }
        let is_name = |name: &String| (1..=512).contains(&name.len()) && !name.contains([':', '*']);
        if !request.log_stream_names.iter().all(is_name) {
            return Err(invalid("The name of a log stream has 1 to 512 characters, without : and *."));
        }
        if request.filter_pattern.as_ref().is_some_and(|pattern| pattern.chars().count() > 1024) {
            return Err(invalid("filterPattern has at most 1024 characters."));
        }
        let names = match request.log_stream_names.as_slice() {
            [] => self.stream_names().map_err(|error| AwsError::internal(&error))?,
            named => named.to_vec(),
        };
        let term = request.filter_pattern.as_deref().map(filter_term).transpose()?.unwrap_or_default();
        let limit = request.limit.unwrap_or(MAX_EVENTS);
        if !(1..=MAX_EVENTS).contains(&limit) {
            return Err(invalid(&format!("limit must be 1 to {MAX_EVENTS}")));
        }
        let start = request.start_time.unwrap_or_default();
        let end = request.end_time.unwrap_or(i64::MAX);
        if start < 0 || end < 0 || start > end {
            let message = "startTime and endTime must be times since 1970, and startTime must not be after endTime";
            return Err(invalid(message));
        }
        let times = start..=end.min(shown.until);
        let bad_token = || invalid("The specified nextToken is invalid.");
        let no_stream = || not_found("The specified log stream does not exist.");
        // AWS checks all names that it is given at first.
        for name in &request.log_stream_names {
            let found = self.length(name).map_err(|error| AwsError::internal(&error))?;
            found.ok_or_else(no_stream)?;
        }
        let (mut at, mut offset) = match request.next_token.as_deref() {
            None if shown.begins_empty => {
                return write(&FilteredEvents { events: Vec::new(), next_token: Some("0.0".to_owned()) });
            }
            None => (0, 0),
            Some(token) => token
                .split_once('.')
                .and_then(|(at, offset)| Some((at.parse::<usize>().ok()?, offset.parse::<u64>().ok()?)))
                .ok_or_else(bad_token)?,
        };
        let mut events = Vec::new();
        let mut size = 0;
        while let Some(name) = names.get(at) {
            let mut more = false;
            loop {
                let read = self.read(name, offset, READ).map_err(|error| AwsError::internal(&error))?;
                // A retention may have deleted it meanwhile.
                let written = read.ok_or_else(no_stream)?;
                if written.is_empty() {
                    break;
                }
                for (event, length) in events_of(&written) {
                    offset += length;
                    let Some(event) = event else { continue };
                    if times.contains(&event.timestamp) && event.message.contains(term) {
                        size += event.message.len() + 26;
                        let ingestion_time = event.timestamp;
                        events.push(FilteredEvent { log_stream_name: name, ingestion_time, event });
                    }
                    more = events.len() >= limit || size >= MAX_BYTES;
                    if more {
                        break;
                    }
                }
                if more {
                    break;
                }
            }
            if more {
                return write(&FilteredEvents { events, next_token: Some(format!("{at}.{offset}")) });
            }
            (at, offset) = (at + 1, 0);
        }
        write(&FilteredEvents { events, next_token: None })
    }
}

/// The term of a filter pattern. The emulation knows patterns of one term in quotes, which a line must contain.
fn filter_term(pattern: &str) -> Result<&str, AwsError> {
    match pattern.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(term) if !term.contains('"') => Ok(term),
        _ if pattern.is_empty() => Ok(""),
        _ => Err(AwsError::new(
            "InvalidParameterException",
            "The emulation knows filter patterns of one quoted term only.",
        )),
    }
}

pub(super) fn not_found(message: &str) -> AwsError {
    AwsError::new("ResourceNotFoundException", message)
}
