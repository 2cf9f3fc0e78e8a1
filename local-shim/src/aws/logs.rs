//! CloudWatch Logs: groups of streams of lines.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{
    AwsError,
    error::{parse, write},
    state_file::private_if_new,
};

/// Events and bytes of one answer of FilterLogEvents (Amazon CloudWatch Logs API Reference).
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1024 * 1024;
/// The file of a stream is named as the stream is, with this in place of slashes.
const FILE_SUFFIX: &str = ".jsonl";
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

#[derive(Clone)]
pub struct CloudWatchLogs(Arc<BTreeMap<String, LogGroup>>);

/// A log group. Its streams belong to the containers of tasks, or to the instances of a function.
#[derive(Clone)]
pub struct LogGroup(Arc<Inner>);

struct Inner {
    name: String,
    /// The folder with a file for each stream. Without it, streams are in memory.
    directory: Option<PathBuf>,
    streams: Mutex<HashMap<String, Arc<Mutex<Stream>>>>,
    /// The next event id. It begins with the time in microseconds, so that ids ascend over restarts of the program.
    next: Arc<AtomicU64>,
}

enum Stream {
    File { file: File, path: PathBuf, length: u64 },
    Memory(Vec<u8>),
}

/// An event as `FilterLogEvents` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilteredEvent<'a> {
    log_stream_name: &'a str,
    ingestion_time: i64,
    #[serde(flatten)]
    event: Event,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilteredEvents<'a> {
    events: Vec<FilteredEvent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterLogEvents {
    log_group_name: Option<String>,
    #[serde(default)]
    log_stream_names: Vec<String>,
    filter_pattern: Option<String>,
    start_time: Option<i64>,
    /// Events later than this are left out.
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<usize>,
}

/// What one call of `FilterLogEvents` shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Lines later than this, in milliseconds since 1970, are not shown yet.
    pub until: i64,
    /// Whether the first page is empty and has a token. AWS may answer so, and the next page has the lines.
    pub begins_empty: bool,
}

impl Shown {
    /// Every line that was put, at once.
    pub const ALL: Self = Self { until: i64::MAX, begins_empty: false };
}

impl CloudWatchLogs {
    /// Opens these groups, each in a folder of its own, or in memory without a directory.
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
    /// What AWS answers to a call that it refuses.
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

    /// Creates a stream, as the log driver does when its container starts.
    pub fn create_stream(&self, name: &str) -> Result<()> {
        let stream = match self.path(name) {
            Some(path) => Stream::open(path)?,
            None => Stream::Memory(Vec::new()),
        };
        let mut streams = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(name.to_owned()).or_insert_with(|| Arc::new(Mutex::new(stream)));
        Ok(())
    }

    /// Writes lines to a stream and gives them their ids. All lines are written, or none.
    ///
    /// # Errors
    /// The stream does not exist, or its file cannot be written.
    pub fn put(&self, stream: &str, lines: &[(i64, String)]) -> Result<Vec<Event>> {
        let stream = self.stream(stream)?.context("the log stream does not exist")?;
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = Vec::new();
        let mut events = Vec::with_capacity(lines.len());
        for (timestamp, message) in lines {
            let number = self.0.next.fetch_add(1, Ordering::Relaxed);
            let event = Event {
                event_id: format!("{timestamp:013}{number:043}"),
                timestamp: *timestamp,
                message: message.clone(),
            };
            serde_json::to_writer(&mut written, &event)?;
            written.push(b'\n');
            events.push(event);
        }
        match &mut *stream {
            Stream::File { file, length, .. } => {
                if let Err(error) = file.write_all(&written) {
                    // A part may have been written. Without it, the next line does not continue half a line.
                    file.set_len(*length)?;
                    return Err(error).context("the log stream cannot be written");
                }
                *length += written.len() as u64;
            }
            Stream::Memory(bytes) => bytes.extend_from_slice(&written),
        }
        Ok(events)
    }

    /// The stream with this name. One that has ended is opened for the time of the caller's read.
    fn stream(&self, name: &str) -> Result<Option<Arc<Mutex<Stream>>>> {
        if let Some(stream) = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Some(stream.clone()));
        }
        match self.path(name).filter(|path| path.exists()) {
            Some(path) => Ok(Some(Arc::new(Mutex::new(Stream::open(path)?)))),
            None => Ok(None),
        }
    }

    fn has_stream(&self, name: &str) -> bool {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
            || self.path(name).is_some_and(|path| path.exists())
    }

    /// Closes the file of a stream that has ended. A later read opens it for the time of the read.
    pub fn close_stream(&self, name: &str) {
        if self.0.directory.is_some() {
            self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        // A slash in a file name would name a folder.
        self.0.directory.as_ref().map(|directory| directory.join(format!("{}{FILE_SUFFIX}", name.replace('/', SLASH))))
    }

    /// The names of all streams, from this run of the program and earlier ones, sorted.
    fn stream_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> =
            self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
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
    pub fn keep_last(&self, count: usize) -> Result<()> {
        let names = self.stream_names()?;
        for name in &names[..names.len().saturating_sub(count)] {
            self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            if let Some(path) = self.path(name) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn filter(&self, request: FilterLogEvents, shown: Shown) -> Result<Vec<u8>, AwsError> {
        let invalid = |message: &str| AwsError::new("InvalidParameterException", message);
        if request.log_stream_names.len() > 100 {
            return Err(invalid("At most 100 log streams can be named."));
        }
        let is_name = |name: &String| (1..=512).contains(&name.len()) && !name.contains([':', '*']);
        if !request.log_stream_names.iter().all(is_name) {
            return Err(invalid("The name of a log stream has 1 to 512 characters, without : and *."));
        }
        if request.filter_pattern.as_ref().is_some_and(|pattern| pattern.chars().count() > 1024) {
            return Err(invalid("filterPattern has at most 1024 characters."));
        }
        let names = match request.log_stream_names.as_slice() {
            [] => self.stream_names().map_err(|error| AwsError::internal(&error))?,
            named => named.to_vec(),
        };
        let term = request.filter_pattern.as_deref().map(filter_term).transpose()?.unwrap_or_default();
        let limit = request.limit.unwrap_or(MAX_EVENTS);
        if !(1..=MAX_EVENTS).contains(&limit) {
            return Err(invalid(&format!("limit must be 1 to {MAX_EVENTS}")));
        }
        let start = request.start_time.unwrap_or_default();
        let end = request.end_time.unwrap_or(i64::MAX);
        if start < 0 || end < 0 || start > end {
            let message = "startTime and endTime must be times since 1970, and startTime must not be after endTime";
            return Err(invalid(message));
        }
        let times = start..=end.min(shown.until);
        let bad_token = || invalid("The specified nextToken is invalid.");
        let no_stream = || not_found("The specified log stream does not exist.");
        // AWS checks all names that it is given at first.
        if !request.log_stream_names.iter().all(|name| self.has_stream(name)) {
            return Err(no_stream());
        }
        let (mut at, mut offset) = match request.next_token.as_deref() {
            None if shown.begins_empty => {
                return write(&FilteredEvents { events: Vec::new(), next_token: Some("0.0".to_owned()) });
            }
            None => (0, 0),
            Some(token) => token
                .split_once('.')
                .and_then(|(at, offset)| Some((at.parse::<usize>().ok()?, offset.parse::<u64>().ok()?)))
                .ok_or_else(bad_token)?,
        };
        let mut events = Vec::new();
        let mut size = 0;
        while let Some(name) = names.get(at) {
            let stream = self.stream(name).map_err(|error| AwsError::internal(&error))?;
            // A retention may have deleted it meanwhile.
            let stream = stream.ok_or_else(no_stream)?;
            let more = stream
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .read_from(&mut offset, |event| {
                    if times.contains(&event.timestamp) && event.message.contains(term) {
                        size += event.message.len() + 26;
                        let ingestion_time = event.timestamp;
                        events.push(FilteredEvent { log_stream_name: name, ingestion_time, event });
                    }
                    events.len() < limit && size < MAX_BYTES
                })
                .map_err(|error| AwsError::internal(&error))?;
            if more {
                return write(&FilteredEvents { events, next_token: Some(format!("{at}.{offset}")) });
            }
            (at, offset) = (at + 1, 0);
        }
        write(&FilteredEvents { events, next_token: None })
    }
}

/// The term of a filter pattern. The emulation knows patterns of one term in quotes, which a line must contain.
fn filter_term(pattern: &str) -> Result<&str, AwsError> {
    match pattern.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(term) if !term.contains('"') => Ok(term),
        _ if pattern.is_empty() => Ok(""),
        _ => Err(AwsError::new(
            "InvalidParameterException",
            "The emulation knows filter patterns of one quoted term only.",
        )),
    }
}

fn not_found(message: &str) -> AwsError {
    AwsError::new("ResourceNotFoundException", message)
}

impl Stream {
    fn open(path: PathBuf) -> Result<Self> {
        let file = private_if_new(&path)?;
        let length = file.metadata()?.len();
        Ok(Self::File { file, path, length })
    }

    /// Reads lines from an offset on, until `take` returns `false`. Moves the offset, and returns whether it stopped before the end.
    fn read_from(&mut self, offset: &mut u64, mut take: impl FnMut(Event) -> bool) -> Result<bool> {
        let mut opened;
        let mut memory;
        let reader: &mut dyn BufRead = match self {
            Self::File { path, length, .. } => {
                if *offset >= *length {
                    return Ok(false);
                }
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(*offset))?;
                opened = BufReader::with_capacity(256 * 1024, file);
                &mut opened
            }
            Self::Memory(bytes) => {
                memory = bytes.get(usize::try_from(*offset)?..).unwrap_or_default();
                &mut memory
            }
        };
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            // A program that was killed may have left half a line at the end of the file.
            if read == 0 || !line.ends_with(b"\n") {
                return Ok(false);
            }
            *offset += read as u64;
            if let Ok(event) = serde_json::from_slice(&line)
                && !take(event)
            {
                return Ok(true);
            }
        }
    }
}
