//! Emulates CloudWatch Logs: groups of streams of lines. A stream that gets lines is a file; one that has ended is in a database with
//! all others that have.

mod ended;
mod filter;
mod mover;
pub mod positions;
mod stream;

use std::{
    collections::{BTreeMap, HashMap},
    io::ErrorKind,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use self::filter::Shown;
use self::{
    ended::Ended,
    filter::FilterLogEvents,
    mover::Mover,
    positions::Positions,
    stream::{Last, Stream},
};
use super::{AwsError, error::parse};

/// The ending of the name of a stream's file. The stream's name stands before it.
const FILE_SUFFIX: &str = ".jsonl";
/// Stands for a slash of a stream's name in the name of its file.
const SLASH: &str = "+";

/// A line in a log stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub event_id: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub message: String,
}

/// A line on its way into a stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewEvent<'a> {
    event_id: &'a str,
    timestamp: i64,
    message: &'a str,
}

/// The emulated CloudWatch Logs.
#[derive(Clone)]
pub struct CloudWatchLogs {
    groups: Arc<BTreeMap<String, LogGroup>>,
    /// Absent where streams are in memory.
    ended: Option<(Arc<Ended>, Arc<Mover>)>,
}

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

impl CloudWatchLogs {
    /// Opens these groups, each in a folder of its own, or in memory without a directory.
    ///
    /// # Errors
    /// A folder cannot be made or read.
    pub fn open<'a>(directory: Option<PathBuf>, groups: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let start = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default();
        let next = Arc::new(AtomicU64::new(start));
        let open = |directory| -> Result<_> { Ok((Arc::new(Ended::open(directory)?), Arc::new(Mover::new()))) };
        let ended = directory.as_deref().map(open).transpose()?;
        let groups = groups.into_iter().map(|name| {
            let directory =
                directory.as_ref().map(|directory| directory.join(name.trim_matches('/').replace('/', "_")));
            if let Some(directory) = &directory {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("{} cannot be made", directory.display()))?;
            }
            let group = LogGroup(Arc::new(Inner {
                name: name.to_owned(),
                directory,
                ended: ended.clone(),
                streams: Mutex::default(),
                next: next.clone(),
                subscription: OnceLock::new(),
            }));
            Ok((name.to_owned(), group))
        });
        Ok(Self { groups: Arc::new(groups.collect::<Result<_>>()?), ended })
    }

    /// Moves, from now on, streams that have ended to the database, where they take less room.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn move_ended(&self) -> Result<()> {
        let groups = self.groups.values().cloned().collect();
        self.ended.as_ref().map_or(Ok(()), |(_, mover)| mover.start(groups))
    }

    /// Stops moving streams, so that another run of the program can use the folder.
    pub(crate) fn stop_moving(&self) {
        if let Some((_, mover)) = &self.ended {
            mover.stop();
        }
    }

    /// Deletes the streams that have ended and whose last line is older than this. Returns how many there were.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub(crate) fn delete_older(&self, kept: Duration) -> Result<usize> {
        let before = jiff::Timestamp::now().as_millisecond() - i64::try_from(kept.as_millis())?;
        self.ended.as_ref().map_or(Ok(0), |(ended, _)| ended.delete_before(before))
    }

    pub fn group(&self, name: &str) -> Option<&LogGroup> {
        self.groups.get(name)
    }

    /// Answers one call.
    ///
    /// # Errors
    /// AWS's answer to a call that it refuses.
    pub fn call(&self, operation: &str, body: &[u8], shown: Shown) -> Result<Vec<u8>, AwsError> {
        match operation {
            "FilterLogEvents" => {
                let request: FilterLogEvents = parse(body)?;
                let group = request.log_group_name.as_deref().and_then(|name| self.group(name));
                group.ok_or_else(|| not_found("The specified log group does not exist."))?.filter(request, shown)
            }
            _ => Err(AwsError::unknown_operation()),
        }
    }
}

impl LogGroup {
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
        if let (Some(path), Some((ended, _))) = (self.path(name), &self.0.ended)
            // A new stream does not wait for the mover. One that is moved meanwhile is found, because its file is deleted last.
            && (path.exists() || ended.length(self.name(), name)?.is_some())
        {
            // No stream is moved until this one is open.
            writer.insert(ended.writer()).restore(ended, self.name(), name, &path)?;
        }
        let mut streams = self.streams();
        if streams.contains_key(name) {
            return Ok(());
        }
        let stream = match self.path(name) {
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
        let stream = self.streams().get(name).cloned().context("the log stream does not exist")?;
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
    fn length(&self, name: &str) -> Result<Option<u64>> {
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
        if let Some(stream) = self.streams().get(name) {
            return Ok(Some(stream.clone()));
        }
        let Some(path) = self.path(name) else { return Ok(None) };
        match Stream::read_only(&path) {
            Ok(stream) => Ok(Some(Arc::new(stream))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Ends a stream and closes its file. A later read opens it for the time of the read.
    pub fn close_stream(&self, name: &str) {
        if self.0.directory.is_some() {
            self.streams().remove(name);
        }
        if let Some(positions) = self.0.subscription.get() {
            positions.ended(name);
        }
        if let Some((_, mover)) = &self.0.ended {
            mover.ended(&self.0, name);
        }
    }

    /// Moves a stream that has ended and whose lines are handled to the database. Returns `false` if it must be tried again later.
    fn move_ended(&self, name: &str, stops: &AtomicBool) -> Result<bool> {
        let (Some(path), Some((ended, _))) = (self.path(name), &self.0.ended) else { return Ok(true) };
        let is_open = || self.streams().contains_key(name);
        if is_open() {
            // It is queued again when it ends.
            return Ok(true);
        }
        if self.0.subscription.get().is_some_and(|positions| positions.follows(name)) {
            return Ok(false);
        }
        let has_gone = ended.keep(self.name(), name, &path, || !stops.load(Ordering::Relaxed) && !is_open())?;
        Ok(has_gone || is_open())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        // A slash in a file name would name a folder.
        self.0.directory.as_ref().map(|directory| directory.join(format!("{}{FILE_SUFFIX}", name.replace('/', SLASH))))
    }

    /// The names of all streams, from this run of the program and earlier ones, sorted.
    fn stream_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.streams().keys().cloned().collect();
        names.extend(self.files()?);
        if let Some((ended, _)) = &self.0.ended {
            names.extend(ended.names(self.name())?);
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The names of the streams that have a file.
    fn files(&self) -> Result<Vec<String>> {
        let Some(directory) = &self.0.directory else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(FILE_SUFFIX).map(|name| name.replace(SLASH, "/")));
        }
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
            self.streams().remove(name);
            match self.path(name).map(std::fs::remove_file) {
                Some(Err(error)) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            if let Some(writer) = &mut writer {
                writer.delete(self.name(), name)?;
            }
        }
        Ok(())
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, Arc<Stream>>> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of a part of a stream, each with the number of bytes that it takes there. A line that is no event is `None`.
pub(crate) fn events_of(written: &[u8]) -> impl Iterator<Item = (Option<Event>, u64)> {
    written.split_inclusive(|byte| *byte == b'\n').map(|line| (serde_json::from_slice(line).ok(), line.len() as u64))
}

fn not_found(message: &str) -> AwsError {
    AwsError::new("ResourceNotFoundException", message)
}

#[cfg(test)]
mod tests;
