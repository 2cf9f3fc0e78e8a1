//! Keeps the events that a function failed to handle each time, as the queue of failed events does in AWS.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, futures::Notified, oneshot};

use super::{invoke_error::InvokeError, kind::Kind};
use crate::aws::state_file::replace_unsynced;

/// The folder of failed events, in the data directory.
const FOLDER: &str = "failed-events";
/// The pause before an event is tried again for the first time, which doubles with each try, and the longest one.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// The time that an event is kept, as `MessageRetentionPeriod` of the queue in AWS.
pub(super) const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(14 * 24);
/// Events that are kept. A further one takes the place of the oldest.
const MOST: usize = 10_000;

/// The content of an event that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    /// The event, which is JSON.
    Payload(String),
    /// Lines of a log stream, between two offsets in bytes. They stay in the stream.
    Lines { log_group: String, stream: String, from: u64, to: u64 },
}

impl Body {
    pub(super) fn payload(bytes: Vec<u8>) -> Self {
        Self::Payload(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) kind: Kind,
    pub(super) body: Body,
    pub(super) failed_at: Timestamp,
    pub(super) error: String,
}

/// An event in the queue.
pub(super) struct Kept {
    pub(super) letter: Letter,
    /// Tells whether its file is written.
    pub(super) is_written: bool,
    pub(super) due: Instant,
    /// Tries that have failed since it is kept.
    pub(super) failures: u32,
    pub(super) handled: Option<oneshot::Sender<()>>,
}

/// The queue of failed events.
#[derive(Clone)]
pub(crate) struct DeadLetters(Arc<Inner>);

struct Inner {
    /// The folder with a file for each event. Without it, events end with the program.
    folder: Option<PathBuf>,
    /// By the name of the file, which sorts by age.
    kept: Mutex<BTreeMap<String, Kept>>,
    added: Notify,
}

impl DeadLetters {
    /// Opens the queue with the events of earlier runs of the program.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self> {
        let folder = directory.map(|directory| directory.join(FOLDER));
        let mut kept = BTreeMap::new();
        if let Some(folder) = &folder {
            let cannot = || format!("{} cannot be used", folder.display());
            std::fs::create_dir_all(folder).with_context(cannot)?;
            for entry in std::fs::read_dir(folder).with_context(cannot)? {
                let path = entry.with_context(cannot)?.path();
                let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".json"))
                else {
                    continue;
                };
                match read(&path) {
                    Ok(letter) => drop(kept.insert(name.to_owned(), Kept::new(letter, true, Instant::now()))),
                    Err(error) => {
                        tracing::error!(path = %path.display(), error = format!("{error:#}"), "a failed event cannot be read; it is left there");
                    }
                }
            }
        }
        if !kept.is_empty() {
            tracing::warn!(events = kept.len(), "events that failed in an earlier run are tried again");
        }
        Ok(Self(Arc::new(Inner { folder, kept: Mutex::new(kept), added: Notify::new() })))
    }

    /// Keeps an event. The channel tells when it has been handled after all, and is closed when it is given up.
    pub(super) fn keep(&self, kind: Kind, body: Body, error: &InvokeError) -> oneshot::Receiver<()> {
        let (handled, later) = oneshot::channel();
        let letter = Letter { kind, body, failed_at: Timestamp::now(), error: error.to_string() };
        let name = format!("{:020}-{}.json", letter.failed_at.as_microsecond(), uuid::Uuid::new_v4().simple());
        tracing::error!(
            event = %kind,
            %error,
            "an event failed for the last time; it is kept, and tried again when the disk has room and at the next start"
        );
        let mut new = Kept::new(letter, false, Instant::now() + PAUSES.0);
        new.is_written = self.write(&name, &new.letter);
        new.handled = Some(handled);
        let mut kept = self.lock();
        kept.insert(name, new);
        if kept.len() > MOST
            && let Some((name, oldest)) = kept.pop_first()
        {
            drop(kept);
            self.give_up(&name, &oldest);
        }
        self.0.added.notify_one();
        later
    }

    /// The number of events that are kept.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Drops the channels on which callers wait for the success of an event, because the program ends. The files stay for the next start.
    pub(crate) fn close(&self) {
        for kept in self.lock().values_mut() {
            kept.handled = None;
        }
    }

    pub(super) fn give_up(&self, name: &str, kept: &Kept) {
        let Letter { kind, failed_at, error, .. } = &kept.letter;
        tracing::error!(event = %kind, %failed_at, error, "a failed event is given up");
        self.remove(name);
    }

    /// Writes an event to its file. Returns whether that was possible.
    pub(super) fn write(&self, name: &str, letter: &Letter) -> bool {
        let Some(folder) = &self.0.folder else { return true };
        let written = serde_json::to_vec(letter)
            .map_err(Into::into)
            .and_then(|letter| replace_unsynced(&folder.join(name), &letter));
        if let Err(error) = &written {
            tracing::error!(
                error = format!("{error:#}"),
                "a failed event is kept in memory only, because it cannot be written"
            );
        }
        written.is_ok()
    }

    pub(super) fn remove(&self, name: &str) {
        if let Some(folder) = &self.0.folder {
            let _ = std::fs::remove_file(folder.join(name));
        }
    }

    /// The folder with a file for each event.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// Waits until an event is added.
    pub(super) fn added(&self) -> Notified<'_> {
        self.0.added.notified()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    pub(super) fn new(letter: Letter, is_written: bool, due: Instant) -> Self {
        Self { letter, is_written, due, failures: 0, handled: None }
    }
}

fn read(path: &Path) -> Result<Letter> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}
