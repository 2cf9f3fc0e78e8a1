//! Leaves out lines that come twice, and puts those into the log's order that come a little late.
//!
//! A batch of lines that the server stores late comes after the next one, with its ids in between. No frame tells that a line is missing, so
//! lines are shown at once until one has come late. From then on each is held back for a while, and shown in the order of the ids.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::Instant;

use super::Line;

/// The time that a line is held back. A line that is stored late is stored within a second or two, unless an invocation fails.
const HELD: Duration = Duration::from_secs(2);

/// The lines that have been returned. Holds a hash of each id, so that a million lines take 16 MB.
#[derive(Default)]
pub(super) struct Seen {
    hasher: RandomState,
    ids: HashSet<u64>,
}

impl Seen {
    pub(super) fn is_new(&mut self, id: &str) -> bool {
        self.ids.insert(self.hasher.hash_one(id))
    }
}

/// Lines on their way to the user.
#[derive(Default)]
pub(super) struct InOrder {
    /// By id. The text order of ids is the order in which the command printed.
    held: BTreeMap<String, Line>,
    /// When the held lines came, with their ids.
    arrivals: VecDeque<(Instant, String)>,
    /// The greatest id of a line that was let through.
    newest: String,
    /// Lines that were let through after a later one.
    late: usize,
}

impl InOrder {
    pub(super) fn late(&self) -> usize {
        self.late
    }

    /// Takes lines as they come. Returns those that need not be held back.
    pub(super) fn take(&mut self, lines: Vec<Line>, now: Instant) -> Vec<Line> {
        let mut through = Vec::with_capacity(lines.len());
        for line in lines {
            if line.event_id < self.newest {
                self.late += 1;
                through.push(line);
            } else if self.late > 0 {
                self.arrivals.push_back((now, line.event_id.clone()));
                self.held.insert(line.event_id.clone(), line);
            } else {
                self.newest.clone_from(&line.event_id);
                through.push(line);
            }
        }
        through
    }

    /// When the next lines are to be let through.
    pub(super) fn due(&self) -> Option<Instant> {
        self.arrivals.front().map(|(came, _)| *came + HELD)
    }

    /// The lines that have been held back long enough, and those before them.
    pub(super) fn release_due(&mut self, now: Instant) -> Vec<Line> {
        let mut last = None;
        while self.due().is_some_and(|due| due <= now)
            && let Some((_, id)) = self.arrivals.pop_front()
        {
            last = last.max(Some(id));
        }
        let Some(last) = last else { return Vec::new() };
        let later = self.held.split_off(&last);
        let mut due = std::mem::replace(&mut self.held, later);
        due.extend(self.held.remove_entry(&last));
        self.let_through(due)
    }

    /// All lines that are held back.
    pub(super) fn release_all(&mut self) -> Vec<Line> {
        self.arrivals.clear();
        let held = std::mem::take(&mut self.held);
        self.let_through(held)
    }

    fn let_through(&mut self, lines: BTreeMap<String, Line>) -> Vec<Line> {
        if let Some((id, _)) = lines.last_key_value() {
            self.newest.clone_from(id);
        }
        lines.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(ids: &[&str]) -> Vec<Line> {
        ids.iter().map(|id| Line { event_id: (*id).to_owned(), ..Line::default() }).collect()
    }

    fn ids(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.event_id).collect()
    }

    #[test]
    fn lines_are_shown_at_once_until_one_is_late_and_in_order_afterwards() {
        let mut order = InOrder::default();
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        assert_eq!(ids(order.take(lines(&["1", "2", "4"]), begun)), ["1", "2", "4"]);
        assert_eq!(ids(order.take(lines(&["3"]), begun)), ["3"]);
        assert_eq!((order.late(), order.due()), (1, None));
        assert_eq!(ids(order.take(lines(&["5", "8"]), begun)), [""; 0]);
        assert_eq!(ids(order.take(lines(&["6", "7"]), after(500))), [""; 0]);
        assert_eq!(order.due(), Some(after(2000)));
        assert_eq!(ids(order.release_due(after(1999))), [""; 0]);
        assert_eq!(ids(order.release_due(after(2000))), ["5", "6", "7", "8"]);
        assert_eq!(ids(order.take(lines(&["9", "91"]), after(2100))), [""; 0]);
        assert_eq!(ids(order.release_all()), ["9", "91"]);
        assert_eq!((order.late(), order.due()), (1, None));
    }
}
