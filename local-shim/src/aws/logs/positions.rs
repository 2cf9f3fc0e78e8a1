//! Keeps how far a subscription has come in each log stream, and which streams have lines for it.
//!
//! A position is the number of bytes of a stream that are handled without a gap. Streams that are handled to their end are
//! forgotten, so that the store has those of running tasks only.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use tokio::sync::Notify;

use crate::aws::state_file::{StateFile, replace_unsynced};

/// The file of the positions, in the data directory.
const FILE: &str = "log-positions.json";
/// The time that changes are collected before they are written. What is lost with them is handed over once more.
const WRITE_BEHIND: Duration = Duration::from_millis(200);
/// Hand-overs of one stream at the same time.
const IN_FLIGHT: usize = 8;

/// The positions of a subscription.
#[derive(Default)]
pub struct Positions {
    state: Mutex<State>,
    /// Notified when a stream has lines that may be handed over.
    ready: Notify,
    /// Notified when positions have changed, so that they are written.
    changed: Notify,
    /// Notified when lines have been handled.
    progress: Notify,
    /// Tells whether hand-overs of a stream need not wait for each other.
    reorders: bool,
    path: Option<std::path::PathBuf>,
}

#[derive(Default)]
struct State {
    /// Positions of an earlier run of the program, until their streams are found.
    earlier: BTreeMap<String, u64>,
    streams: HashMap<String, Followed>,
    /// The streams with lines that may be handed over, each once.
    queue: VecDeque<String>,
}

/// A stream, with offsets in bytes.
#[derive(Default)]
struct Followed {
    written: u64,
    /// Up to here, lines are handed over.
    taken: u64,
    /// Up to here, lines are handled.
    handled: u64,
    /// Hand-overs after `handled`, by where they begin.
    under_way: BTreeMap<u64, HandOver>,
    /// Tells whether it is in the queue, or is being read.
    is_queued: bool,
    has_ended: bool,
}

struct HandOver {
    end: u64,
    is_done: bool,
    /// Tells whether the next one need not wait for it any longer.
    is_late: bool,
}

/// Lines that may be handed over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) stream: String,
    pub(crate) offset: u64,
    /// The bytes that have been written after the offset.
    pub(crate) bytes: u64,
}

impl Followed {
    fn may_go(&self, reorders: bool) -> bool {
        let mut under_way = self.under_way.values().filter(|hand_over| !hand_over.is_done);
        let in_turn = |hand_over: &HandOver| reorders || hand_over.is_late;
        !self.is_queued && self.taken < self.written && under_way.clone().count() < IN_FLIGHT && under_way.all(in_turn)
    }

    fn is_handled(&self) -> bool {
        self.handled == self.written
    }
}

impl Positions {
    /// Reads the positions of an earlier run of the program, if there is a directory. With `reorders`, hand-overs of a stream do not
    /// wait for each other.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn open(directory: Option<&Path>, reorders: bool) -> Result<Self> {
        let state = State { earlier: StateFile::new(directory, FILE).read()?, ..State::default() };
        let path = directory.map(|directory| directory.join(FILE));
        Ok(Self { state: Mutex::new(state), reorders, path, ..Self::default() })
    }

    /// The streams of an earlier run of the program.
    pub(super) fn names(&self) -> Vec<String> {
        self.lock().earlier.keys().cloned().collect()
    }

    /// Goes on with a stream of an earlier run, which has this length and gets no more lines.
    pub(super) fn resume(&self, stream: &str, length: u64) {
        let mut state = self.lock();
        let handled = state.earlier.remove(stream).unwrap_or(0).min(length);
        let followed = Followed { written: length, taken: handled, handled, has_ended: true, ..Followed::default() };
        if !state.streams.contains_key(stream) && !followed.is_handled() {
            state.streams.insert(stream.to_owned(), followed);
            self.queue(&mut state, stream);
        }
        self.changed.notify_one();
    }

    /// Forgets a stream that does not exist.
    pub(crate) fn forget(&self, stream: &str) {
        let mut state = self.lock();
        state.earlier.remove(stream);
        state.streams.remove(stream);
        self.changed.notify_one();
        // It may have been the last that had lines to be handled.
        self.progress.notify_waiters();
    }

    /// Follows a new stream, of which so many bytes need not be handed over.
    pub(super) fn begin(&self, stream: &str, length: u64) {
        let followed = Followed { written: length, taken: length, handled: length, ..Followed::default() };
        self.lock().streams.entry(stream.to_owned()).or_insert(followed);
        self.changed.notify_one();
    }

    /// Notes that a stream has become longer.
    pub(super) fn grown(&self, stream: &str, length: u64) {
        self.change(stream, |followed| followed.written = length);
    }

    /// Notes that a stream gets no more lines.
    pub(super) fn ended(&self, stream: &str) {
        self.change(stream, |followed| followed.has_ended = true);
    }

    /// Waits for lines that may be handed over, from the stream that has waited longest. [`Positions::taken`] must follow.
    pub(crate) async fn ready(&self) -> Ready {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = self.lock();
                while let Some(stream) = state.queue.pop_front() {
                    let Some(followed) = state.streams.get(&stream) else { continue };
                    let offset = followed.taken;
                    return Ready { bytes: followed.written - offset, stream, offset };
                }
            }
            ready.await;
        }
    }

    /// Tells whether a stream has lines, or may get some, that are not handled yet.
    pub(super) fn follows(&self, stream: &str) -> bool {
        let state = self.lock();
        state.streams.contains_key(stream) || state.earlier.contains_key(stream)
    }

    /// Notes that the lines between two offsets are being handed over.
    pub(crate) fn taken(&self, stream: &str, from: u64, to: u64) {
        self.change(stream, |followed| {
            followed.is_queued = false;
            followed.taken = to;
            if from < to {
                followed.under_way.insert(from, HandOver { end: to, is_done: false, is_late: false });
            }
        });
    }

    /// Lets the next lines of a stream go, although those from an offset are not handled yet.
    pub(crate) fn late(&self, stream: &str, from: u64) {
        self.change(stream, |followed| {
            if let Some(hand_over) = followed.under_way.get_mut(&from) {
                hand_over.is_late = true;
            }
        });
    }

    /// Notes that the lines from an offset are handled.
    pub(crate) fn handled(&self, stream: &str, from: u64) {
        self.change(stream, |followed| {
            if let Some(hand_over) = followed.under_way.get_mut(&from) {
                hand_over.is_done = true;
            }
            while let Some(first) = followed.under_way.first_entry()
                && first.get().is_done
            {
                followed.handled = first.remove().end;
            }
        });
    }

    fn change(&self, stream: &str, change: impl FnOnce(&mut Followed)) {
        let mut state = self.lock();
        let Some(followed) = state.streams.get_mut(stream) else { return };
        let before = followed.handled;
        change(followed);
        let (is_over, has_moved) = (followed.has_ended && followed.is_handled(), followed.handled != before);
        if is_over {
            state.streams.remove(stream);
        } else {
            self.queue(&mut state, stream);
        }
        if is_over || has_moved {
            self.changed.notify_one();
            self.progress.notify_waiters();
        }
    }

    fn queue(&self, state: &mut State, stream: &str) {
        if let Some(followed) = state.streams.get_mut(stream)
            && followed.may_go(self.reorders)
        {
            followed.is_queued = true;
            state.queue.push_back(stream.to_owned());
            self.ready.notify_one();
        }
    }

    /// Tells whether all lines that are written are handled.
    pub(crate) fn are_all_handled(&self) -> bool {
        self.lock().streams.values().all(Followed::is_handled)
    }

    /// Waits until all lines that are written are handled.
    pub(crate) async fn all_handled(&self) {
        loop {
            let progress = self.progress.notified();
            if self.are_all_handled() {
                return;
            }
            progress.await;
        }
    }

    /// Writes changes for as long as the program runs.
    pub(crate) async fn write_behind(&self) {
        let mut fails = false;
        loop {
            self.changed.notified().await;
            tokio::time::sleep(WRITE_BEHIND).await;
            let written = self.write();
            if let Err(error) = &written {
                if !fails {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the positions in the logs cannot be written; trying again"
                    );
                }
                self.changed.notify_one();
            }
            fails = written.is_err();
        }
    }

    /// Writes all positions.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let positions: BTreeMap<String, u64> = {
            let state = self.lock();
            let current = state.streams.iter().map(|(stream, followed)| (stream.clone(), followed.handled));
            state.earlier.clone().into_iter().chain(current).collect()
        };
        replace_unsynced(path, &serde_json::to_vec(&positions)?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn ready(positions: &Positions) -> Option<(String, u64, u64)> {
        positions.ready().now_or_never().map(|ready| (ready.stream, ready.offset, ready.bytes))
    }

    #[test]
    fn one_hand_over_takes_what_has_come_and_the_next_waits_for_it_or_until_it_is_late() {
        let positions = Positions::default();
        positions.begin("a", 0);
        positions.grown("a", 10);
        positions.grown("a", 25);
        assert_eq!(ready(&positions), Some(("a".to_owned(), 0, 25)));
        assert_eq!(ready(&positions), None, "a stream is in the queue once");
        positions.taken("a", 0, 25);
        positions.grown("a", 40);
        assert_eq!(ready(&positions), None);
        positions.late("a", 0);
        assert_eq!(ready(&positions), Some(("a".to_owned(), 25, 15)));
        positions.taken("a", 25, 40);
        positions.grown("a", 50);
        positions.handled("a", 25);
        assert_eq!(ready(&positions), Some(("a".to_owned(), 40, 10)), "the first is late, the second is done");
        assert_eq!(positions.lock().streams["a"].handled, 0, "there is a gap");
        positions.handled("a", 0);
        assert_eq!(positions.lock().streams["a"].handled, 40);
        positions.taken("a", 40, 50);
        positions.ended("a");
        positions.handled("a", 40);
        assert!(positions.lock().streams.is_empty());
    }

    #[test]
    fn a_stream_that_is_written_fast_does_not_starve_another() {
        let positions = Positions::default();
        for stream in ["a", "b"] {
            positions.begin(stream, 0);
            positions.grown(stream, 5);
        }
        assert_eq!(ready(&positions).unwrap().0, "a");
        positions.taken("a", 0, 5);
        positions.grown("a", 9);
        positions.handled("a", 0);
        assert_eq!(ready(&positions).unwrap().0, "b");
        assert_eq!(ready(&positions).unwrap().0, "a");
    }

    #[test]
    fn positions_outlive_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Positions::open(Some(directory.path()), false).unwrap();
        let positions = open();
        for stream in ["a", "b"] {
            positions.begin(stream, 0);
            positions.grown(stream, 5);
        }
        assert_eq!(ready(&positions).unwrap().0, "a");
        positions.taken("a", 0, 3);
        positions.handled("a", 0);
        positions.write().unwrap();
        let positions = open();
        assert_eq!(positions.names(), ["a", "b"]);
        positions.resume("a", 5);
        positions.resume("b", 5);
        assert_eq!(ready(&positions), Some(("a".to_owned(), 3, 2)));
        assert_eq!(ready(&positions), Some(("b".to_owned(), 0, 5)));
    }
}
