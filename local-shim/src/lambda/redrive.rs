//! Tries the events in the queue of failed events again while the disk has room: after growing pauses, and at once when the disk has room
//! again and at each start of the program.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;
use runvoy_core::backoff;

use super::{
    dead_letters::{Body, DeadLetters, KEPT, Kept, PAUSES},
    function::Function,
    log_batch_event,
};
use crate::{aws::logs::CloudWatchLogs, blocking::blocking, data_dir};

/// The pause between two looks through the events, while there are any.
const TICK: Duration = Duration::from_secs(2);

impl DeadLetters {
    /// Tries events again for as long as the program runs.
    pub(crate) async fn run(self, function: Function, logs: CloudWatchLogs) {
        let mut had_room = true;
        loop {
            let added = self.added();
            if self.len() == 0 {
                added.await;
            }
            let has_room = self.has_room();
            if has_room {
                // Events that failed because the disk was full are tried at once when it has room again.
                self.try_due(&function, &logs, !had_room).await;
            }
            had_room = has_room;
            tokio::time::sleep(TICK).await;
        }
    }

    /// Tells whether files can be written.
    fn has_room(&self) -> bool {
        self.folder().is_none_or(data_dir::has_room)
    }

    async fn try_due(&self, function: &Function, logs: &CloudWatchLogs, all: bool) {
        let now = Instant::now();
        let mut due: Vec<String> =
            self.lock().iter().filter(|(_, kept)| all || kept.due <= now).map(|(name, _)| name.clone()).collect();
        while !due.is_empty() {
            let mut succeeded = false;
            for name in std::mem::take(&mut due) {
                succeeded |= self.try_one(&name, function, logs).await;
            }
            if succeeded {
                // The cause of the failures may be over, so events that have not been tried again yet need not wait.
                let waiting = |kept: &Kept| kept.due > now && kept.failures == 0;
                due = self.lock().iter().filter(|(_, kept)| waiting(kept)).map(|(name, _)| name.clone()).collect();
            }
        }
    }

    /// Tries one event. Returns whether it was handled.
    async fn try_one(&self, name: &str, function: &Function, logs: &CloudWatchLogs) -> bool {
        let Some((letter, is_written)) = self.lock().get(name).map(|kept| (kept.letter.clone(), kept.is_written))
        else {
            return false;
        };
        let tried = match blocking(|| payload(&letter.body, logs)) {
            Ok(Some(payload)) => function.try_again(letter.kind, payload).await.map_err(|error| error.to_string()),
            // The retention has deleted the lines.
            Ok(None) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        };
        match tried {
            Ok(()) => {
                let kept = self.lock().remove(name);
                self.remove(name);
                tracing::warn!(event = %letter.kind, failed_at = %letter.failed_at, "an event that had failed is handled now");
                if let Some(handled) = kept.and_then(|kept| kept.handled) {
                    // The receiver may not wait for it.
                    let _ = handled.send(());
                }
                true
            }
            Err(error) if Timestamp::now().duration_since(letter.failed_at) > KEPT => {
                tracing::debug!(error, "the last try of an event");
                if let Some(kept) = self.lock().remove(name) {
                    self.give_up(name, &kept);
                }
                false
            }
            Err(error) => {
                tracing::info!(event = %letter.kind, error, "an event that is kept failed again");
                let is_written = is_written || self.write(name, &letter);
                if let Some(kept) = self.lock().get_mut(name) {
                    kept.is_written = is_written;
                    kept.failures += 1;
                    kept.due = Instant::now() + backoff::after(PAUSES.0, PAUSES.1, kept.failures);
                }
                false
            }
        }
    }
}

/// The event's payload. `None` for lines that have been deleted.
fn payload(body: &Body, logs: &CloudWatchLogs) -> Result<Option<Vec<u8>>> {
    match body {
        Body::Payload(payload) => Ok(Some(payload.clone().into_bytes())),
        Body::Lines { log_group, stream, from, to } => {
            let Some(group) = logs.group(log_group) else { bail!("there is no log group {log_group}") };
            let length = usize::try_from(to.saturating_sub(*from))?;
            let Some(written) = group.read(stream, *from, length)? else { return Ok(None) };
            log_batch_event::payload(log_group, stream, &written).map(Some)
        }
    }
}
