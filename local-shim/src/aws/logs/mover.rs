//! Moves log streams that have ended from their files to the store of ended streams, one after the other, in a thread of its own.
//!
//! A stream that is not moved when the program ends stays a file, and the next start moves it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Result;

/// The pause before a stream is looked at again that could not be moved: its lines are not handled yet, or the disk is full.
const RETRY: Duration = Duration::from_secs(1);

/// Streams of which some have ended.
pub(super) trait Streams: Send + Sync {
    /// The names of the streams that have a file.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn files(&self) -> Result<Vec<String>>;

    /// Moves a stream that has ended and whose lines are handled to the database. Returns `false` if it must be tried again later.
    ///
    /// # Errors
    /// The file cannot be read, or the database cannot be written.
    fn move_ended(&self, name: &str, stops: &AtomicBool) -> Result<bool>;
}

/// A stream that has ended.
type Stream = (Weak<dyn Streams>, String);

/// The thread that moves streams, and the channel to it.
pub(super) struct Mover {
    /// `None` wakes the thread, so that it stops.
    ended: Sender<Option<Stream>>,
    queue: Mutex<Option<Receiver<Option<Stream>>>>,
    stops: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Mover {
    pub(super) fn new() -> Self {
        let (ended, queue) = mpsc::channel();
        Self { ended, queue: Mutex::new(Some(queue)), stops: Arc::default(), thread: Mutex::default() }
    }

    /// Starts to move: the streams that ended in earlier runs of the program, and those that end from now on.
    pub(super) fn start(&self, groups: Vec<Weak<dyn Streams>>) -> Result<()> {
        let Some(queue) = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let stops = self.stops.clone();
        let thread = std::thread::Builder::new().name("ended-logs".to_owned());
        let thread = thread.spawn(move || run(&queue, groups, &stops))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Notes that a stream has ended.
    pub(super) fn ended(&self, group: Weak<dyn Streams>, name: &str) {
        // The thread may have stopped, because the program ends.
        let _ = self.ended.send(Some((group, name.to_owned())));
    }

    /// Waits until no stream is being moved, and moves no more.
    pub(super) fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
        let _ = self.ended.send(None);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that moves ended log streams has failed");
        }
    }
}

fn run(queue: &Receiver<Option<Stream>>, groups: Vec<Weak<dyn Streams>>, stops: &AtomicBool) {
    let mut waiting = VecDeque::new();
    for group in groups {
        let Some(found) = group.upgrade() else { continue };
        match found.files() {
            Ok(names) => waiting.extend(names.into_iter().map(|name| (group.clone(), name))),
            Err(error) => tracing::error!(error = format!("{error:#}"), "the files of log streams cannot be listed"),
        }
    }
    let mut is_told = false;
    while !stops.load(Ordering::Relaxed) {
        for _ in 0..waiting.len() {
            let Some((group, name)) = waiting.pop_front() else { break };
            let Some(found) = group.upgrade() else { continue };
            match found.move_ended(&name, stops) {
                Ok(true) => is_told = false,
                Ok(false) => waiting.push_back((group, name)),
                Err(error) => {
                    if !is_told {
                        tracing::warn!(
                            stream = name,
                            error = format!("{error:#}"),
                            "a log stream stays a file for now"
                        );
                    }
                    is_told = true;
                    waiting.push_back((group, name));
                    break;
                }
            }
            if stops.load(Ordering::Relaxed) {
                return;
            }
        }
        let next = if waiting.is_empty() {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            queue.recv_timeout(RETRY)
        };
        match next {
            // It comes before those that could not be moved.
            Ok(Some(stream)) => waiting.push_front(stream),
            Ok(None) => {}
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        waiting.extend(queue.try_iter().flatten());
    }
}
