//! Finds which lines of a delivery are new: a batch of CloudWatch Logs may come twice, out of order, or cut differently.

use std::collections::HashSet;

use super::{
    LogEvent, LogHead,
    store::{Reader, ranges},
};
use crate::{App, Result, execution::ExecutionId};

/// Drops the lines that a delivery has twice.
pub(super) fn without_repeated(mut events: Vec<LogEvent>) -> Vec<LogEvent> {
    // CloudWatch delivers lines in this order, with few exceptions.
    let is_ascending = events.is_sorted_by(|one, next| one.event_id < next.event_id);
    if !is_ascending {
        let mut seen = HashSet::new();
        events.retain(|event| seen.insert(event.event_id.clone()));
    }
    events
}

/// Tells whether all of these lines come after every stored line.
pub(super) fn comes_after<'a>(head: &LogHead, mut events: impl Iterator<Item = &'a LogEvent>) -> bool {
    match &head.last_event_id {
        None => true,
        Some(last) => events.all(|event| event.event_id > *last),
    }
}

/// Drops the lines that are stored already.
pub(super) async fn without_stored(
    app: &App,
    id: &ExecutionId,
    head: &LogHead,
    mut events: Vec<LogEvent>,
) -> Result<Vec<LogEvent>> {
    if comes_after(head, events.iter()) {
        return Ok(events);
    }
    let ids = || events.iter().map(|event| event.event_id.as_str());
    let (Some(first), Some(last)) = (ids().min(), ids().max()) else { return Ok(events) };
    let mut stored = HashSet::new();
    let mut reader = Reader::new(app, id);
    for range in ranges(app, id, first).await? {
        if range.first_event_id.as_str() <= last
            && let Some(batch) = reader.take(range.sequence).await?
        {
            stored.extend(batch.events.into_iter().map(|event| event.event_id));
        }
    }
    events.retain(|event| !stored.contains(&event.event_id));
    Ok(events)
}
