//! Reading a finished log back, in pages that Lambda can answer with.

use super::{LogEvent, cloudwatch, store};
use crate::{App, Error, Result, execution::ExecutionRecord};

/// What the events of one answer may take. Lambda answers 6 MB at most, and the body stands in that answer as a JSON string,
/// in which quotes and backslashes count twice.
const MAX_PAGE: usize = 5 * 1024 * 1024;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// In the store, by event id.
    Event(String),
    /// In CloudWatch Logs.
    Place(cloudwatch::Place),
}

impl After {
    pub fn parse(text: &str) -> Result<Self> {
        let well_formed =
            |text: &str| !text.is_empty() && text.len() <= 1024 && text.bytes().all(|b| b.is_ascii_graphic());
        match text.split_once(':') {
            Some(("e", id)) if well_formed(id) => Some(Self::Event(id.to_owned())),
            Some(("c", place)) if well_formed(place) => cloudwatch::Place::parse(place).map(Self::Place),
            _ => None,
        }
        .ok_or_else(|| Error::invalid("invalid after parameter; take it from the Link header of the page before"))
    }

    pub fn encode(&self) -> String {
        match self {
            Self::Event(id) => format!("e:{id}"),
            Self::Place(place) => format!("c:{}", place.encode()),
        }
    }
}

/// One page of the log of an execution that has ended, and where the next starts.
pub async fn page(
    app: &App,
    record: &ExecutionRecord,
    after: Option<&After>,
) -> Result<(Vec<LogEvent>, Option<After>)> {
    // The store has all of it only once the log is complete, and only until it expires.
    let stored = record.log.log_complete && record.log.log_sequence > 0;
    match after {
        Some(After::Place(place)) => from_cloudwatch(app, record, place.clone()).await,
        Some(After::Event(id)) => from_store(app, record, id).await,
        None if stored => {
            let page = from_store(app, record, "").await?;
            if page.0.is_empty() { from_cloudwatch(app, record, cloudwatch::Place::default()).await } else { Ok(page) }
        }
        None => from_cloudwatch(app, record, cloudwatch::Place::default()).await,
    }
}

async fn from_store(app: &App, record: &ExecutionRecord, after: &str) -> Result<(Vec<LogEvent>, Option<After>)> {
    let id = &record.execution.execution_id;
    let mut ranges = store::ranges(app, id, after).await?;
    ranges.sort_by(|a, b| a.first_event_id.cmp(&b.first_event_id));
    let mut ranges = ranges.into_iter().peekable();
    let mut page = PageOfEvents::default();
    let mut after = after.to_owned();
    // Lines read and not yet answered, latest first. What comes before the next range has no rival any more.
    let mut waiting: Vec<LogEvent> = Vec::new();
    while let Some(range) = ranges.next() {
        if let Some(batch) = store::get(app, id, range.sequence).await? {
            waiting.extend(batch.events.into_iter().filter(|event| event.event_id > after));
            waiting.sort_by(|a, b| b.event_id.cmp(&a.event_id));
        }
        let next = ranges.peek().map(|range| &range.first_event_id);
        while let Some(event) = waiting.pop_if(|event| next.is_none_or(|next| event.event_id < *next)) {
            let event_id = event.event_id.clone();
            if !page.push(event) {
                return Ok((page.sorted(), Some(After::Event(after))));
            }
            after = event_id;
        }
    }
    Ok((page.sorted(), None))
}

async fn from_cloudwatch(
    app: &App,
    record: &ExecutionRecord,
    mut place: cloudwatch::Place,
) -> Result<(Vec<LogEvent>, Option<After>)> {
    let mut page = PageOfEvents::default();
    loop {
        let (events, next) = cloudwatch::page(app, &record.execution.execution_id, place.clone()).await?;
        let events: Vec<LogEvent> = events.into_iter().flat_map(LogEvent::split).collect();
        let size: usize = events.iter().map(answered_size).sum();
        if !page.events.is_empty() && page.size + size > MAX_PAGE {
            return Ok((page.sorted(), Some(After::Place(place))));
        }
        page.size += size;
        page.events.extend(events);
        match next {
            Some(next) => place = next,
            None => return Ok((page.sorted(), None)),
        }
    }
}

#[derive(Default)]
struct PageOfEvents {
    events: Vec<LogEvent>,
    size: usize,
}

impl PageOfEvents {
    /// Takes one more if there is room.
    fn push(&mut self, event: LogEvent) -> bool {
        let size = answered_size(&event);
        if !self.events.is_empty() && self.size + size > MAX_PAGE {
            return false;
        }
        self.size += size;
        self.events.push(event);
        true
    }

    /// By timestamp, then as they arrived.
    fn sorted(mut self) -> Vec<LogEvent> {
        self.events.sort_by_key(|event| event.timestamp);
        self.events
    }
}

/// Bytes that an event takes in Lambda's answer.
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
            let event =
                LogEvent { event_id: "1".repeat(56), timestamp: 1_730_973_220_123, message: message.to_owned() };
            let once = serde_json::to_string(&event).unwrap();
            let twice = serde_json::to_string(&once).unwrap();
            assert!(answered_size(&event) >= twice.len() - 2, "{message}");
        }
    }

    #[test]
    fn a_place_in_a_log_reads_back_and_nonsense_does_not() {
        let place = cloudwatch::Place::parse("1:a/b=").unwrap();
        for after in [After::Event("1".to_owned()), After::Place(place), After::Place(cloudwatch::Place::default())] {
            assert_eq!(After::parse(&after.encode()).unwrap(), after);
        }
        for bad in ["", "e:", "x:1", "e", "e:a b", "c:7:x", "c:x"] {
            assert!(After::parse(bad).is_err(), "{bad}");
        }
    }
}
