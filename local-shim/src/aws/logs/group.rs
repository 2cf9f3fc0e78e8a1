//! Keeps the streams of a log group: those that get lines, and those that have ended.

use std::{
    collections::HashMap,
    io::ErrorKind,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};

use super::{
    ended::Ended,
    event::{Event, NewEvent},
    mover::{Mover, Streams},
    positions::Positions,
    stream::{Last, Stream},
};

/// The ending of the name of a stream's file. The stream's name stands before it.
const FILE_SUFFIX: &str = ".jsonl";
/// Stands for a slash of a stream's name in the name of its file.
const SLASH: &str = "+";

/// A log group. Its streams belong to the containers of tasks, or to the instances of a function.
#[derive(Clone)]
pub struct LogGroup(Arc<Inner>);

struct Inner {
    name: String,
    /// The folder with a file for each stream that gets lines. Without it, streams are in memory.
    directory: Option<PathBuf>,
    ended: Option<(Arc<Ended>, Arc<Mover>)>,
    streams: Mutex<HashMap<String, Arc<Stream>>>,
    /// The next event id. It begins with the time in microseconds, so that ids ascend over restarts of the program.
    next: Arc<AtomicU64>,
    /// The place that a subscription of the group has reached, if there is one.
    subscription: OnceLock<Arc<Positions>>,
}

impl LogGroup {
    /// A group without streams, with its folder, if it has one, and the place of its streams that have ended.
    pub(super) fn new(
        name: &str,
        directory: Option<PathBuf>,
        ended: Option<(Arc<Ended>, Arc<Mover>)>,
        next: Arc<AtomicU64>,
    ) -> Self {
        let subscription = OnceLock::new();
        Self(Arc::new(Inner { name: name.to_owned(), directory, ended, streams: Mutex::default(), next, subscription }))
    }

    /// Its streams, for the mover. They are gone when the group is.
    pub(super) fn streams_to_move(&self) -> Weak<dyn Streams> {
        Arc::downgrade(&self.0) as Weak<dyn Streams>
    }

    /// The name of the group.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Lets a subscription follow the streams that are created from now on, and those of an earlier run of the program that have
    /// lines which it has not handled. `unfinished` names streams of that run whose positions may not have been written.
    pub(crate) fn subscribe(&self, positions: Arc<Positions>, unfinished: &[String]) {
        for stream in positions.names().iter().chain(unfinished) {
            match self.length(stream) {
                Ok(Some(length)) => positions.resume(stream, length),
                // The container did not start, or the stream was deleted.
                Ok(None) => positions.forget(stream),
                Err(error) => {
                    tracing::error!(stream, error = format!("{error:#}"), "a log stream cannot be read");
                    positions.forget(stream);
                }
            }
        }
        // A group has one subscription.
        let _ = self.0.subscription.set(positions);
    }

    /// Creates a stream, as the log driver does when its container starts. One that an earlier run of the program has left goes on.
    ///
    /// # Errors
    /// The file of the stream cannot be made.
    pub fn create_stream(&self, name: &str) -> Result<()> {
        let mut writer = None;
        if let (Some(path), Some((ended, _))) = (self.0.path(name), &self.0.ended)
            // A new stream does not wait for the mover. One that is moved meanwhile is found, because its file is deleted last.
            && (path.exists() || ended.length(self.name(), name)?.is_some())
        {
            // No stream is moved until this one is open.
            writer.insert(ended.writer()).restore(ended, self.name(), name, &path)?;
        }
        let mut streams = self.0.streams();
        if streams.contains_key(name) {
            return Ok(());
        }
        let stream = match self.0.path(name) {
            Some(path) => Stream::append_to(&path)?,
            None => Stream::in_memory(),
        };
        let (length, last) = {
            let written = stream.lock();
            (written.length(), written.last())
        };
        // A clock that was set back between two runs of the program does not let ids descend.
        self.0.next.fetch_max(last.number + 1, Ordering::Relaxed);
        streams.insert(name.to_owned(), Arc::new(stream));
        if let Some(positions) = self.0.subscription.get() {
            positions.begin(name, length);
        }
        Ok(())
    }

    /// Writes lines to a stream and returns them with their ids. All lines are written, or none.
    ///
    /// # Errors
    /// The stream does not exist, or its file cannot be written.
    pub fn put(&self, stream: &str, lines: &[(i64, String)]) -> Result<Vec<Event>> {
        let mut events = Vec::with_capacity(lines.len());
        self.write_each(stream, lines, |event| {
            events.push(Event {
                event_id: event.event_id.to_owned(),
                timestamp: event.timestamp,
                message: event.message.to_owned(),
            });
        })?;
        Ok(events)
    }

    /// Writes lines to a stream. All lines are written, or none.
    ///
    /// # Errors
    /// The stream does not exist, or its file cannot be written.
    pub(crate) fn write(&self, stream: &str, lines: &[(i64, String)]) -> Result<()> {
        self.write_each(stream, lines, |_| ())
    }

    fn write_each(&self, name: &str, lines: &[(i64, String)], mut each: impl FnMut(&NewEvent<'_>)) -> Result<()> {
        let stream = self.0.streams().get(name).cloned().context("the log stream does not exist")?;
        let mut bytes = Vec::with_capacity(lines.iter().map(|(_, message)| message.len() + 128).sum());
        let mut written = stream.lock();
        let mut last = written.last();
        for (timestamp, message) in lines {
            // Ids sort by the time. A clock that is set back must not change the order of the lines.
            last.timestamp = last.timestamp.max(*timestamp);
            last.number = self.0.next.fetch_add(1, Ordering::Relaxed);
            let Last { timestamp, number } = last;
            let event = NewEvent { event_id: &format!("{timestamp:013}{number:043}"), timestamp, message };
            serde_json::to_writer(&mut bytes, &event)?;
            bytes.push(b'\n');
            each(&event);
        }
        written.append(&bytes, last)?;
        if let Some(positions) = self.0.subscription.get() {
            positions.grown(name, written.length());
        }
        Ok(())
    }

    /// The lines of a stream from an offset on, as they are written: about `at_most` bytes, in whole lines, and at least one line if
    /// there is one. `None` without such a stream.
    ///
    /// # Errors
    /// The stream's file cannot be read.
    pub(crate) fn read(&self, name: &str, offset: u64, at_most: usize) -> Result<Option<Vec<u8>>> {
        self.find(name, |stream| stream.read(offset, at_most), |ended| ended.read(self.name(), name, offset, at_most))
    }

    /// The number of bytes of a stream.
    pub(super) fn length(&self, name: &str) -> Result<Option<u64>> {
        self.find(name, |stream| Ok(stream.lock().length()), |ended| ended.length(self.name(), name))
    }

    /// Looks for a stream among the files and then in the database. One that is moved between the two looks is found by the second, and
    /// one that becomes a file again is found by another try.
    fn find<T>(
        &self,
        name: &str,
        file: impl Fn(&Stream) -> Result<T>,
        moved: impl Fn(&Ended) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        for _ in 0..2 {
            if let Some(stream) = self.stream(name)? {
                return file(&stream).map(Some);
            }
            let Some((ended, _)) = &self.0.ended else { break };
            if let Some(found) = moved(ended)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The stream with this name, unless it is moved. One that has ended is opened for the time of the caller's read.
    fn stream(&self, name: &str) -> Result<Option<Arc<Stream>>> {
        if let Some(stream) = self.0.streams().get(name) {
            return Ok(Some(stream.clone()));
        }
        let Some(path) = self.0.path(name) else { return Ok(None) };
        match Stream::read_only(&path) {
            Ok(stream) => Ok(Some(Arc::new(stream))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Ends a stream and closes its file. A later read opens it for the time of the read.
    pub fn close_stream(&self, name: &str) {
        if self.0.directory.is_some() {
            self.0.streams().remove(name);
        }
        if let Some(positions) = self.0.subscription.get() {
            positions.ended(name);
        }
        if let Some((_, mover)) = &self.0.ended {
            mover.ended(self.streams_to_move(), name);
        }
    }

    /// The names of all streams, from this run of the program and earlier ones, sorted.
    pub(super) fn stream_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.0.streams().keys().cloned().collect();
        names.extend(self.0.files()?);
        if let Some((ended, _)) = &self.0.ended {
            names.extend(ended.names(self.name())?);
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Deletes all streams except the last ones by name, as a retention would.
    ///
    /// # Errors
    /// A file cannot be deleted.
    pub fn keep_last(&self, count: usize) -> Result<()> {
        let names = self.stream_names()?;
        for name in &names[..names.len().saturating_sub(count)] {
            // No stream is moved while the writer is held.
            let mut writer = self.0.ended.as_ref().map(|(ended, _)| ended.writer());
            self.0.streams().remove(name);
            match self.0.path(name).map(std::fs::remove_file) {
                Some(Err(error)) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            if let Some(writer) = &mut writer {
                writer.delete(self.name(), name)?;
            }
        }
        Ok(())
    }
}

impl Inner {
    fn path(&self, name: &str) -> Option<PathBuf> {
        // A slash in a file name would name a folder.
        self.directory.as_ref().map(|directory| directory.join(format!("{}{FILE_SUFFIX}", name.replace('/', SLASH))))
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams for Inner {
    fn files(&self) -> Result<Vec<String>> {
        let Some(directory) = &self.directory else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(FILE_SUFFIX).map(|name| name.replace(SLASH, "/")));
        }
        Ok(names)
    }

    fn move_ended(&self, name: &str, stops: &AtomicBool) -> Result<bool> {
        let (Some(path), Some((ended, _))) = (self.path(name), &self.ended) else { return Ok(true) };
        let is_open = || self.streams().contains_key(name);
        if is_open() {
            // It is queued again when it ends.
            return Ok(true);
        }
        if self.subscription.get().is_some_and(|positions| positions.follows(name)) {
            return Ok(false);
        }
        let has_gone = ended.keep(&self.name, name, &path, || !stops.load(Ordering::Relaxed) && !is_open())?;
        Ok(has_gone || is_open())
    }
}
