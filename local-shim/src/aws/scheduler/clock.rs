//! Sends the events of schedules when their times come.
//!
//! A time counts as over when its event is handled, so that a program that ends before sends it again at its next start. Of the times
//! that came while the program did not run, each schedule sends the last one, because AWS would have sent the others long ago.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Scheduler, definition::Definition, store::Entry};
use crate::blocking::blocking;

/// The longest sleep, after which the clock is read again: a laptop may have slept, or its clock may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// The longest sleep by a clock that is not the system's, which may be moved at any moment.
const LONGEST_SLEEP_BY_OTHER_CLOCK: Duration = Duration::from_millis(20);
/// The time after which a schedule is read again that could not be read.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The delay after which the Scheduler no longer hands a time over: its longest `MaximumEventAgeInSeconds`.
const LATEST: SignedDuration = SignedDuration::from_secs(86_400);

/// An event that is due.
struct Due {
    key: String,
    entry: Entry,
    time: Timestamp,
}

impl Scheduler {
    /// Sends events for as long as the program runs. `send` hands one over, and says whether it was handled. If it was not, the next
    /// start of the program sends it again.
    pub(crate) async fn run<F>(self, send: impl Fn(Vec<u8>) -> F + Clone + Send + 'static)
    where
        F: Future<Output = bool> + Send + 'static,
    {
        blocking(|| self.load());
        let longest = if self.0.clock.is_some() { LONGEST_SLEEP_BY_OTHER_CLOCK } else { LONGEST_SLEEP };
        loop {
            let now = self.now();
            for due in blocking(|| self.take_due(now)) {
                tokio::spawn(self.clone().send(send.clone(), due));
            }
            let next = self.state().queue.first();
            let wait = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
            // One that is due now could not be read.
            let wait = wait.map(|wait| if wait.is_zero() { RETRY_AFTER } else { wait });
            let wait = wait.map_or(longest, |wait| wait.min(longest));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.0.changed.notified() => {}
            }
        }
    }

    fn load(&self) {
        let mut state = self.state();
        match state.store.all() {
            Ok(entries) => {
                for entry in entries {
                    state.queue.set(&entry.definition.key(), entry.next());
                }
            }
            Err(error) => tracing::error!(error = error.message, "the schedules cannot be read"),
        }
    }

    /// The events that are due. Each schedule goes on to its next time.
    fn take_due(&self, now: Timestamp) -> Vec<Due> {
        let mut state = self.state();
        let (mut due, mut unread) = (Vec::new(), Vec::new());
        while let Some((first, key)) = state.queue.take(now) {
            let entry = match state.store.find(&key) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(
                        schedule = key,
                        error = error.message,
                        "a schedule cannot be read, and is tried again"
                    );
                    unread.push((key, first));
                    continue;
                }
            };
            let (last, next) = last_until(&entry, first, now);
            state.queue.set(&key, next);
            due.extend(last.map(|time| Due { key, entry, time }));
        }
        for (key, first) in unread {
            state.queue.set(&key, Some(first));
        }
        due
    }

    async fn send<F: Future<Output = bool>>(self, send: impl Fn(Vec<u8>) -> F, due: Due) {
        let Due { key, entry, time } = due;
        let input = event(&entry.definition, time);
        if !send(input.into_bytes()).await {
            return;
        }
        let note = || {
            let state = self.state();
            if entry.ends_with(time) {
                state.store.remove_over(&key, entry.begun)
            } else {
                state.store.note_done(&key, entry.begun, time)
            }
        };
        if let Err(error) = blocking(note) {
            tracing::warn!(
                schedule = key,
                error = error.message,
                "the time of a schedule is sent again at the next start"
            );
        }
    }
}

/// The last time up to now, if it is not too late to send it, and the next one.
fn last_until(entry: &Entry, first: Timestamp, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let after = |time| entry.definition.after(time, entry.begun);
    let earliest = now.checked_sub(LATEST).unwrap_or(now);
    let mut last = None;
    let mut time = if first < earliest { after(earliest) } else { Some(first) };
    while let Some(due) = time.filter(|time| *time <= now) {
        last = Some(due);
        time = after(due);
    }
    (last, time)
}

/// The event, with what AWS puts in ("Adding context attributes", EventBridge Scheduler User Guide).
fn event(definition: &Definition, time: Timestamp) -> String {
    let input = definition.target.input.clone().unwrap_or_else(|| "{}".to_owned());
    input
        .replace("<aws.scheduler.scheduled-time>", &time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .replace("<aws.scheduler.schedule-arn>", &definition.arn())
        .replace("<aws.scheduler.execution-id>", &uuid::Uuid::new_v4().to_string())
        .replace("<aws.scheduler.attempt-number>", "1")
}
