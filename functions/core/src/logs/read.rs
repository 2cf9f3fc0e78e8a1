//! Reads the log of an execution that has ended, in pages that fit into Lambda's answer.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::DeflateEncoder};
use jiff::Timestamp;

use super::{
    LogEvent, LogHead,
    cloudwatch::{self, Span},
    completion, head, split, store,
};
use crate::{
    App, Error, Result,
    execution::{ExecutionId, ExecutionRecord},
    table,
};

/// Bytes that the lines of one answer may have. Lambda answers with 6 MB at most, and a plain body is a JSON string within that
/// answer, in which a quote or a backslash counts twice.
const MAX_PLAIN: usize = 5 * 1024 * 1024;
/// Bytes that a compressed body may have. It is in Lambda's answer as base64, 4 characters for 3 bytes.
const MAX_COMPRESSED: usize = 4 * 1024 * 1024;
/// Bytes of lines before compression: what the smallest of the functions can hold several copies of.
const MAX_UNCOMPRESSED: usize = 40 * 1024 * 1024;

/// The time that a page of the store is filled. The API answers within 30 seconds, and clients ask for the next page.
const LONGEST_PAGE: Duration = Duration::from_secs(5);
/// After each of so many events, the clock is read.
const EVENTS_A_LOOK: usize = 64;

/// The limit of the size of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageLimit {
    /// The answer is sent as it is.
    Plain,
    /// The answer is compressed.
    Compressed,
}

/// The place where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogCursor {
    /// In the store, by event id.
    Event(String),
    /// In CloudWatch Logs, as its own text form.
    CloudWatch(String),
}

impl LogCursor {
    /// # Errors
    /// [`Error::Invalid`] for a text that no page gave.
    pub fn parse(text: &str) -> Result<Self> {
        let well_formed =
            |text: &str| !text.is_empty() && text.len() <= 1024 && text.bytes().all(|b| b.is_ascii_graphic());
        match text.split_once(':') {
            Some(("e", id)) if well_formed(id) => Some(Self::Event(id.to_owned())),
            Some(("c", place)) if well_formed(place) && cloudwatch::StreamCursor::parse(place).is_some() => {
                Some(Self::CloudWatch(place.to_owned()))
            }
            _ => None,
        }
        .ok_or_else(|| {
            Error::invalid("invalid after parameter")
                .with_hint("take it from the Link header of the previous page")
                .at_field("after")
        })
    }

    pub fn encode(&self) -> String {
        match self {
            Self::Event(id) => format!("e:{id}"),
            Self::CloudWatch(place) => format!("c:{place}"),
        }
    }
}

/// A reader's first look at the store, which needs no more than the execution's id. So it is taken while the key and the execution are
/// read.
#[derive(Debug)]
pub struct FirstLook {
    /// `None` if the log has no head of its own.
    head: Option<LogHead>,
    ranges: Vec<store::Range>,
    /// The first batches, as many as one answer of DynamoDB carries.
    batches: Vec<table::Item>,
}

impl FirstLook {
    /// Reads the head, the ranges of the batches and the first of them at once, or no batches for a page that is not the first.
    ///
    /// # Errors
    /// [`Error::Aws`] when the store cannot be read.
    pub async fn take(app: &App, id: &ExecutionId, after: Option<&LogCursor>) -> Result<Self> {
        Ok(match after {
            None => {
                let look = (head::own(app, id), store::ranges(app, id, ""), store::items_after(app, id, 0));
                let (head, ranges, batches) = tokio::try_join!(look.0, look.1, look.2)?;
                Self { head, ranges, batches }
            }
            Some(LogCursor::Event(from)) => {
                let (head, ranges) = tokio::try_join!(head::own(app, id), store::ranges(app, id, from))?;
                Self { head, ranges, batches: Vec::new() }
            }
            Some(LogCursor::CloudWatch(_)) => {
                Self { head: head::own(app, id).await?, ranges: Vec::new(), batches: Vec::new() }
            }
        })
    }

    /// Tells whether the ranges are those of all batches that this head counts. The head may have been read after them.
    fn has_all(&self, head: &LogHead) -> bool {
        self.ranges.iter().any(|range| range.sequence == head.sequence)
    }
}

/// A page of a log.
#[derive(Debug)]
pub struct LogPage {
    pub events: Vec<LogEvent>,
    /// Where the page ended, if there is more.
    pub next: Option<LogCursor>,
    /// Tells whether the log was compared with CloudWatch to its end. Otherwise lines may be missing.
    pub is_whole: bool,
}

/// One page of the log of an execution that has ended, completed for its reader if it is the first one. It is
/// sorted by timestamp and then by arrival, and comes with the place where it ended if there is more. Reads the store, or CloudWatch
/// Logs when the store has expired. When there is more, or lines may be missing, the last event says so, for clients that read neither the
/// `Link` header nor `complete`.
///
/// # Errors
/// [`Error::Aws`] when the log cannot be read.
pub async fn page(
    app: &App,
    record: &ExecutionRecord,
    mut look: FirstLook,
    after: Option<&LogCursor>,
    limit: PageLimit,
) -> Result<LogPage> {
    let mut head = look.head.take();
    let start = || cloudwatch::StreamCursor::start(record.execution.asked.git_repo.is_some());
    let page = match after {
        Some(LogCursor::CloudWatch(place)) => {
            let place = cloudwatch::StreamCursor::parse(place).unwrap_or_default();
            from_cloudwatch(app, record, place, limit).await?
        }
        Some(LogCursor::Event(id)) => from_store(app, record, id, look, limit).await?,
        None => {
            let completed = completion::complete_for_reader(app, record, head.take()).await?;
            if completed.sequence > 0 && !look.has_all(&completed) {
                look.ranges = store::ranges(app, &record.execution.execution_id, "").await?;
            }
            head = Some(completed);
            let page = from_store(app, record, "", look, limit).await?;
            if page.events.is_empty() { from_cloudwatch(app, record, start(), limit).await? } else { page }
        }
    };
    let is_whole = head.unwrap_or_else(|| LogHead::of_record(record)).is_whole();
    let (mut events, next) = page.finish(record);
    if next.is_none() && !is_whole {
        events.extend(note_of_missing_lines(events.last()));
    }
    Ok(LogPage { events, next, is_whole })
}

/// The event that tells of a log that has not been compared with CloudWatch as a whole.
fn note_of_missing_lines(last: Option<&LogEvent>) -> Option<LogEvent> {
    last.map(|last| LogEvent {
        event_id: format!("{}-incomplete", last.event_id),
        timestamp: last.timestamp,
        message: "### runvoy: this log has not been compared with CloudWatch Logs to its end; lines may be missing until it is read again"
            .to_owned(),
        exit_code: None,
    })
}

/// The lines of an execution that are stored so far, as many as fit into one answer.
///
/// # Errors
/// [`Error::Aws`] when the store cannot be read.
pub async fn so_far(app: &App, record: &ExecutionRecord) -> Result<Vec<LogEvent>> {
    let look = FirstLook::take(app, &record.execution.execution_id, None).await?;
    Ok(from_store(app, record, "", look, PageLimit::Plain).await?.finish(record).0)
}

/// The lines of an execution that has not ended, which are stored after one of them, as many as fit into one answer. For viewers that could
/// not be sent a line.
///
/// # Errors
/// [`Error::Aws`] when the store cannot be read.
pub async fn stored_after(
    app: &App,
    record: &ExecutionRecord,
    look: FirstLook,
    event_id: &str,
) -> Result<Vec<LogEvent>> {
    Ok(from_store(app, record, event_id, look, PageLimit::Plain).await?.events)
}

async fn from_store(
    app: &App,
    record: &ExecutionRecord,
    after: &str,
    look: FirstLook,
    limit: PageLimit,
) -> Result<Page> {
    let id = &record.execution.execution_id;
    let FirstLook { mut ranges, batches, .. } = look;
    ranges.sort_by(|a, b| a.first_event_id.cmp(&b.first_event_id));
    let mut ranges = ranges.into_iter().peekable();
    let mut page = Page::new(limit);
    let mut last = after.to_owned();
    let mut reader = store::Reader::new(app, id).with(batches);
    let ends = app.now() + LONGEST_PAGE;
    // Lines that were read and are not on the page yet, latest first. A line may go onto the page once it precedes every batch
    // that has not been read.
    let mut waiting: Vec<LogEvent> = Vec::new();
    while let Some(range) = ranges.next() {
        if let Some(batch) = reader.take(range.sequence).await? {
            waiting.extend(batch.events.into_iter().filter(|event| event.event_id.as_str() > after));
            waiting.sort_by(|a, b| b.event_id.cmp(&a.event_id));
        }
        let next = ranges.peek().map(|range| &range.first_event_id);
        while let Some(event) = waiting.pop_if(|event| next.is_none_or(|next| event.event_id < *next)) {
            let event_id = event.event_id.clone();
            if page.is_overdue(app, ends) || !page.push(event)? {
                let unread: Option<usize> = ranges.map(|range| range.lines).sum();
                page.missing = unread.map(|lines| lines + waiting.len() + 1);
                page.next = Some(LogCursor::Event(last));
                return Ok(page);
            }
            last = event_id;
        }
    }
    Ok(page)
}

async fn from_cloudwatch(
    app: &App,
    record: &ExecutionRecord,
    mut place: cloudwatch::StreamCursor,
    limit: PageLimit,
) -> Result<Page> {
    let mut page = Page::new(limit);
    loop {
        let (events, next) = cloudwatch::page(app, record, Span::default(), place.clone()).await?;
        let before = page.events.len();
        for event in events.into_iter().flat_map(split::split) {
            // The next page begins where an answer of CloudWatch does, so a part of one is taken back.
            if !page.push(event)? && before > 0 {
                page.events.truncate(before);
                page.next = Some(LogCursor::CloudWatch(place.encode()));
                return Ok(page);
            }
        }
        match next {
            Some(next) => place = next,
            None => return Ok(page),
        }
    }
}

/// A page while it is filled.
struct Page {
    events: Vec<LogEvent>,
    limit: PageLimit,
    size: usize,
    /// Compresses what is on the page, to learn how large it becomes.
    compressor: DeflateEncoder<ByteCount>,
    /// The number of lines that are not on this page, where that is known.
    missing: Option<usize>,
    next: Option<LogCursor>,
}

/// Counts the bytes that are written to it.
#[derive(Default)]
struct ByteCount(usize);

impl Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn new(limit: PageLimit) -> Self {
        let compressor = DeflateEncoder::new(ByteCount::default(), Compression::fast());
        Self { events: Vec::new(), limit, size: 0, compressor, missing: None, next: None }
    }

    /// Tells whether the page has taken so long that it ends here. A page has one event at least, so that the next page is another one.
    fn is_overdue(&self, app: &App, ends: Timestamp) -> bool {
        self.events.len() % EVENTS_A_LOOK == 1 && app.now() >= ends
    }

    /// Adds an event if there is room. Returns whether there was. The first event always fits.
    fn push(&mut self, event: LogEvent) -> Result<bool> {
        let size = answered_size(&event);
        let is_full = match self.limit {
            PageLimit::Plain => self.size + size > MAX_PLAIN,
            PageLimit::Compressed => {
                // A line that compresses badly counts as it is, so that the compressor may lag behind by its buffer.
                self.size + size > MAX_UNCOMPRESSED || self.compressor.get_ref().0 + size > MAX_COMPRESSED
            }
        };
        if is_full && !self.events.is_empty() {
            return Ok(false);
        }
        self.size += size;
        if self.limit == PageLimit::Compressed {
            serde_json::to_writer(&mut self.compressor, &event)
                .map_err(|error| Error::internal_with("a line could not be compressed", error))?;
        }
        self.events.push(event);
        Ok(true)
    }

    /// The events by timestamp, then in the order of their ids; and where the next page starts.
    fn finish(mut self, record: &ExecutionRecord) -> (Vec<LogEvent>, Option<LogCursor>) {
        self.events.sort_by_key(|event| event.timestamp);
        if let (Some(_), Some(last)) = (&self.next, self.events.last()) {
            let count = self.missing.map_or_else(|| "more".to_owned(), |missing| missing.to_string());
            let message = format!(
                "### runvoy: {count} lines follow; get them from the Link header of this answer, or with `runvoy logs {}`",
                record.execution.execution_id
            );
            let event = LogEvent {
                event_id: format!("{}-more", last.event_id),
                timestamp: last.timestamp,
                message,
                exit_code: None,
            };
            self.events.push(event);
        }
        (self.events, self.next)
    }
}

/// Bytes that an event has in Lambda's answer, overestimated a little.
fn answered_size(event: &LogEvent) -> usize {
    let escaped_twice = |c: char| match c {
        '"' | '\\' => 4,
        '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 3,
        c if c < ' ' => 7,
        c => c.len_utf8(),
    };
    event.message.chars().map(escaped_twice).sum::<usize>() + event.event_id.len() + 80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_an_answer_is_not_underestimated() {
        for message in ["plain", "\"\\\n\u{1}é", "日本語"] {
            let event = LogEvent {
                event_id: "1".repeat(56),
                timestamp: 1_730_973_220_123,
                message: message.to_owned(),
                exit_code: None,
            };
            let once = serde_json::to_string(&event).unwrap();
            let twice = serde_json::to_string(&once).unwrap();
            assert!(answered_size(&event) >= twice.len() - 2, "{message}");
        }
    }

    #[test]
    fn a_place_in_a_log_reads_back_and_nonsense_does_not() {
        let first = cloudwatch::StreamCursor::default().encode();
        for after in
            [LogCursor::Event("1".to_owned()), LogCursor::CloudWatch("1:a/b=".to_owned()), LogCursor::CloudWatch(first)]
        {
            assert_eq!(LogCursor::parse(&after.encode()).unwrap(), after);
        }
        for bad in ["", "e:", "x:1", "e", "e:a b", "c:30:x", "c:x"] {
            assert!(LogCursor::parse(bad).is_err(), "{bad}");
        }
    }
}
