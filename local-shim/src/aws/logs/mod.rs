//! Emulates CloudWatch Logs: groups of streams of lines.

mod filter;
pub mod positions;
mod stream;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use self::filter::Shown;
use self::{
    filter::FilterLogEvents,
    positions::Positions,
    stream::{Last, Stream},
};
use super::{AwsError, error::parse};

/// The file of a stream is named as the stream is, with this in place of slashes.
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

#[derive(Clone)]
pub struct CloudWatchLogs(Arc<BTreeMap<String, LogGroup>>);

/// A log group. Its streams belong to the containers of tasks, or to the instances of a function.
#[derive(Clone)]
pub struct LogGroup(Arc<Inner>);

struct Inner {
    name: String,
    /// The folder with a file for each stream. Without it, streams are in memory.
    directory: Option<PathBuf>,
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
                streams: Mutex::default(),
                next: next.clone(),
                subscription: OnceLock::new(),
            }));
            Ok((name.to_owned(), group))
        });
        Ok(Self(Arc::new(groups.collect::<Result<_>>()?)))
    }

    pub fn group(&self, name: &str) -> Option<&LogGroup> {
        self.0.get(name)
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
            match self.stream(stream) {
                Ok(Some(found)) => positions.resume(stream, found.lock().length()),
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

    /// Creates a stream, as the log driver does when its container starts.
    ///
    /// # Errors
    /// The file of the stream cannot be made.
    pub fn create_stream(&self, name: &str) -> Result<()> {
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

    /// The lines of a stream from an offset on, as they are written: about so many bytes, in whole lines, and at least one line if
    /// there is one. `None` without such a stream.
    ///
    /// # Errors
    /// The stream's file cannot be read.
    pub(crate) fn read(&self, name: &str, offset: u64, at_most: usize) -> Result<Option<Vec<u8>>> {
        self.stream(name)?.map(|stream| stream.read(offset, at_most)).transpose()
    }

    /// The stream with this name. One that has ended is opened for the time of the caller's read.
    fn stream(&self, name: &str) -> Result<Option<Arc<Stream>>> {
        if let Some(stream) = self.streams().get(name) {
            return Ok(Some(stream.clone()));
        }
        match self.path(name).filter(|path| path.exists()) {
            Some(path) => Ok(Some(Arc::new(Stream::read_only(&path)?))),
            None => Ok(None),
        }
    }

    fn has_stream(&self, name: &str) -> bool {
        self.streams().contains_key(name) || self.path(name).is_some_and(|path| path.exists())
    }

    /// Ends a stream and closes its file. A later read opens it for the time of the read.
    pub fn close_stream(&self, name: &str) {
        if self.0.directory.is_some() {
            self.streams().remove(name);
        }
        if let Some(positions) = self.0.subscription.get() {
            positions.ended(name);
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        // A slash in a file name would name a folder.
        self.0.directory.as_ref().map(|directory| directory.join(format!("{}{FILE_SUFFIX}", name.replace('/', SLASH))))
    }

    /// The names of all streams, from this run of the program and earlier ones, sorted.
    fn stream_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.streams().keys().cloned().collect();
        if let Some(directory) = &self.0.directory {
            for entry in std::fs::read_dir(directory)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                names.extend(name.strip_suffix(FILE_SUFFIX).map(|name| name.replace(SLASH, "/")));
            }
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
            self.streams().remove(name);
            if let Some(path) = self.path(name) {
                std::fs::remove_file(path)?;
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
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_by_an_hour_changes_neither_the_order_of_lines_nor_of_their_ids() {
        const HOUR: i64 = 3_600_000;
        let directory = tempfile::tempdir().unwrap();
        let name = "task/runner/1";
        let open = || {
            let logs = CloudWatchLogs::open(Some(directory.path().to_owned()), ["group"]).unwrap();
            logs.group("group").unwrap().create_stream(name).unwrap();
            logs
        };
        let line = |at: i64, text: &str| (at, text.to_owned());
        open().group("group").unwrap().write(name, &[line(5 * HOUR, "1"), line(4 * HOUR, "2")]).unwrap();
        // The program is started again after the clock was set back once more.
        let logs = open();
        logs.group("group").unwrap().write(name, &[line(3 * HOUR, "3"), line(6 * HOUR, "4")]).unwrap();
        let followed = logs.group("group").unwrap().read(name, 0, 10_000).unwrap().unwrap();
        let followed: Vec<Event> = events_of(&followed).filter_map(|(event, _)| event).collect();
        let body = br#"{"logGroupName": "group"}"#;
        let shown = logs.call("FilterLogEvents", body, Shown::ALL).unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        let shown: Vec<&str> =
            shown["events"].as_array().unwrap().iter().filter_map(|event| event["message"].as_str()).collect();
        assert_eq!(shown, ["1", "2", "3", "4"]);
        assert!(followed.iter().map(|event| event.message.as_str()).eq(shown));
        assert!(followed.is_sorted_by_key(|event| event.timestamp));
        assert!(followed.is_sorted_by(|one, next| one.event_id < next.event_id));
    }
}
