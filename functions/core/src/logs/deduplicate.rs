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

/// Drops the lines that are stored already. No two lines may have one id.
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
    let mut marks = Marks::new(&events);
    let mut reader = Reader::new(app, id);
    for range in ranges(app, id, first).await? {
        if range.first_event_id.as_str() <= last {
            reader.take_ids(range.sequence, |id| marks.mark(id)).await?;
        }
    }
    let mut is_stored = marks.is_marked.into_iter();
    events.retain(|_| is_stored.next() == Some(false));
    Ok(events)
}

/// Lines with different ids, of which some are marked. An id that is the next one in text order after the one before is found without a
/// search.
struct Marks<'a> {
    /// Ids in text order, with the places of their lines.
    places: Vec<(&'a str, usize)>,
    /// The entry of `places` that is expected next.
    next: usize,
    is_marked: Vec<bool>,
}

impl<'a> Marks<'a> {
    fn new(events: &'a [LogEvent]) -> Self {
        let mut places: Vec<_> = events.iter().map(|event| event.event_id.as_str()).zip(0..).collect();
        places.sort_unstable();
        Self { places, next: 0, is_marked: vec![false; events.len()] }
    }

    fn mark(&mut self, id: &str) {
        let is_next = self.places.get(self.next).is_some_and(|(next, _)| *next == id);
        let found =
            if is_next { Ok(self.next) } else { self.places.binary_search_by(|(other, _)| str::cmp(other, id)) };
        if let Ok(at) = found {
            self.is_marked[self.places[at].1] = true;
            self.next = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn lines_are_marked_whatever_the_order_of_their_ids(
            lines in vec(0_u8..20, 0..20),
            stored in vec(0_u8..20, 0..20),
        ) {
            let line = |id: &u8| LogEvent { event_id: format!("{id:02}"), ..LogEvent::default() };
            let lines = without_repeated(lines.iter().map(line).collect());
            let mut marks = Marks::new(&lines);
            stored.iter().for_each(|id| marks.mark(&format!("{id:02}")));
            let expected: Vec<bool> =
                lines.iter().map(|line| stored.iter().any(|id| format!("{id:02}") == line.event_id)).collect();
            prop_assert_eq!(marks.is_marked, expected);
        }
    }
}
