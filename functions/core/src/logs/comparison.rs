//! Compares the store with CloudWatch Logs, and copies the lines that it lacks.

use std::{collections::HashSet, time::Duration};

use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    LogEvent, LogHead,
    append::append,
    batch::Batch,
    cloudwatch::{self, Span, StreamCursor},
    head, store,
};
use crate::{
    App, Error, Result,
    backoff::Backoff,
    boxed,
    execution::{self, ExecutionId, outcome::Stop},
};

/// Lambda tries a failed batch again after one and after two more minutes ("How Lambda handles errors and retries with asynchronous
/// invocation"), so most late batches are from this long before the end.
const RECENT: SignedDuration = SignedDuration::from_mins(5);
/// The store rarely ends further back than this behind CloudWatch.
const NEWEST: SignedDuration = SignedDuration::from_mins(1);
/// A log of so few batches is compared as a whole, since it fits one answer of CloudWatch or a few.
const FEW_BATCHES: u64 = 16;
/// The first and the longest pause before a comparison that has begun asks CloudWatch again. What it has read so far is not read again: of
/// several comparisons that share the 5 calls a second, none would come to its end if each began anew.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// The result of a comparison.
#[derive(Debug)]
pub(super) struct Compared {
    /// Tells whether CloudWatch showed the runner's last line.
    pub(super) seen_end: bool,
    /// The part of the log that there was no time for.
    pub(super) rest: Option<Rest>,
}

/// The part of a log that has not been compared yet.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rest {
    /// Spans of time, in the order in which they are compared.
    spans: Vec<Span>,
    /// Tells whether CloudWatch showed the runner's last line already.
    seen_end: bool,
    /// The place in the first span. CloudWatch forgets it after a day ("FilterLogEvents", Amazon CloudWatch Logs API Reference).
    place: Option<String>,
}

impl Rest {
    /// The whole of a log.
    pub(super) fn whole() -> Self {
        Self { spans: vec![Span::default()], seen_end: false, place: None }
    }

    /// As text, for the log's head.
    pub(super) fn encode(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal_with("the rest of a comparison has no text", error))
    }

    fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::whole())
    }
}

/// Copies the lines that the store lacks, the newest span of time first, while there is time. Goes on where an earlier comparison
/// stopped, if the head says so.
///
/// # Errors
/// [`Error::Aws`] when CloudWatch refuses the first call, or DynamoDB fails. Once CloudWatch has answered, a call that it refuses is
/// repeated while there is time.
#[boxed]
pub(super) async fn compare(
    app: &App,
    id: &ExecutionId,
    head: &LogHead,
    stop: &Stop,
    newest: Option<&Batch>,
    until: Timestamp,
) -> Result<Compared> {
    let mut compared = Compared { seen_end: false, rest: None };
    let Some(record) = execution::find(app, id).await?.filter(|record| !record.tasks().is_empty()) else {
        return Ok(compared);
    };
    let has_sidecar = record.execution.asked.git_repo.is_some();
    let (spans, mut resumed) = match head.uncompared.as_deref().map(Rest::parse) {
        Some(Rest { spans, seen_end, place }) => {
            compared.seen_end = seen_end;
            (spans, place.as_deref().and_then(StreamCursor::parse))
        }
        None => (spans(app, head, stop, newest), None),
    };
    let mut unsure_of_ids = newest;
    let mut has_begun = false;
    for (number, span) in spans.iter().enumerate() {
        let is_resumed = resumed.is_some();
        let mut place = Some(resumed.take().unwrap_or_else(|| StreamCursor::start(has_sidecar)));
        let mut is_first = true;
        let mut pauses = Backoff::new(PAUSES);
        let mut following = None;
        while let Some(at) = place {
            if app.now() >= until {
                tracing::warn!(execution_id = %id, ?span, "the log is too long to be compared at once; the rest follows");
                let (spans, seen_end) = (spans[number..].to_vec(), compared.seen_end);
                compared.rest = Some(Rest { spans, seen_end, place: Some(at.encode()) });
                return Ok(compared);
            }
            let page = match following.take() {
                Some(page) => page,
                None => cloudwatch::page(app, &record, *span, at.clone()).await,
            };
            let (events, next) = match page {
                Ok(page) => page,
                Err(error) if is_resumed && is_first => {
                    // CloudWatch may have forgotten the place. The span is compared from its beginning.
                    tracing::info!(execution_id = %id, error = %error.chain(), "a comparison begins again");
                    (Vec::new(), Some(StreamCursor::start(has_sidecar)))
                }
                Err(error) if has_begun => {
                    tracing::info!(execution_id = %id, error = %error.chain(), "CloudWatch will be asked again");
                    pauses.wait(app).await;
                    // Another invocation may have compared the log meanwhile.
                    if head::get(app, id).await?.ended_with.is_some() {
                        return Ok(Compared { seen_end: true, rest: None });
                    }
                    place = Some(at);
                    continue;
                }
                Err(error) => return Err(error),
            };
            (is_first, has_begun) = (false, true);
            pauses = Backoff::new(PAUSES);
            compared.seen_end |= events.iter().any(is_end);
            if let Some(newest) = unsure_of_ids.take_if(|_| !events.is_empty())
                && are_named_otherwise(app, id, newest, &events).await?
            {
                tracing::error!(
                    execution_id = %id,
                    "CloudWatch names lines otherwise than its subscription does, so the store is taken as it is"
                );
                return Ok(compared);
            }
            if !events.is_empty() {
                // The next page comes while the store is asked for the lines of this one.
                let after = async {
                    Ok(match next.clone() {
                        Some(next) if app.now() < until => Some(cloudwatch::page(app, &record, *span, next).await),
                        _ => None,
                    })
                };
                (_, following) = future::try_join(append(app, id, events, false, None), after).await?;
            }
            place = next;
        }
    }
    Ok(compared)
}

pub(super) fn is_end(event: &LogEvent) -> bool {
    event.exit_code.is_some()
}

/// The spans of time in which lines are compared, newest first.
fn spans(app: &App, head: &LogHead, stop: &Stop, newest: Option<&Batch>) -> Vec<Span> {
    let stored_until = newest.and_then(|batch| batch.events.iter().map(|event| event.timestamp).max());
    let Some(stored_until) = stored_until.filter(|_| head.sequence > FEW_BATCHES) else {
        return vec![Span::default()];
    };
    let end = stop.at.unwrap_or_else(|| app.now()).as_millisecond();
    let newest = stored_until - NEWEST.as_millis() as i64;
    let recent = newest.min(end - RECENT.as_millis() as i64);
    vec![
        Span { from: Some(newest), until: None },
        Span { from: Some(recent), until: Some(newest) },
        Span { from: None, until: Some(recent) },
    ]
    .into_iter()
    .filter(|span| span.from.is_none() || span.from != span.until)
    .collect()
}

/// Tells whether CloudWatch names lines otherwise than its subscription does. That it does not is seen, not documented. If it did, every
/// line would be stored twice.
async fn are_named_otherwise(app: &App, id: &ExecutionId, newest: &Batch, shown: &[LogEvent]) -> Result<bool> {
    let shown = Shown::new(shown);
    let mut older;
    let mut batch = newest;
    // CloudWatch may not show the newest lines yet.
    for _ in 0..FEW_BATCHES {
        if let Some(answer) = shown.are_named_otherwise(&batch.events) {
            return Ok(answer);
        }
        older = match batch.sequence {
            0 | 1 => return Ok(false),
            sequence => store::get(app, id, sequence - 1).await?,
        };
        let Some(previous) = &older else { return Ok(false) };
        batch = previous;
    }
    Ok(false)
}

/// Lines that CloudWatch shows.
struct Shown<'a> {
    ids: HashSet<&'a str>,
    lines: HashSet<(i64, &'a str)>,
}

impl<'a> Shown<'a> {
    fn new(events: &'a [LogEvent]) -> Self {
        Self {
            ids: events.iter().map(|event| event.event_id.as_str()).collect(),
            lines: events.iter().map(|event| (event.timestamp, event.message.as_str())).collect(),
        }
    }

    /// Tells whether the ids of these stored lines are others than CloudWatch's. `None` if none of the lines is shown.
    fn are_named_otherwise(&self, stored: &[LogEvent]) -> Option<bool> {
        if stored.iter().any(|event| self.ids.contains(event.event_id.as_str())) {
            return Some(false);
        }
        let is_shown = stored.iter().any(|event| self.lines.contains(&(event.timestamp, event.message.as_str())));
        is_shown.then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, timestamp: i64, message: &str) -> LogEvent {
        LogEvent { event_id: id.to_owned(), timestamp, message: message.to_owned(), exit_code: None }
    }

    #[test]
    fn ids_that_differ_for_the_same_lines_are_noticed() {
        let stored = [event("1", 1, "a"), event("2", 1, "a"), event("3", 2, "b")];
        let answer = |shown: &[LogEvent]| Shown::new(shown).are_named_otherwise(&stored);
        assert_eq!(answer(&stored), Some(false));
        assert_eq!(answer(&[event("2", 1, "a"), event("4", 1, "a")]), Some(false), "a new line like a stored one");
        assert_eq!(answer(&[event("x1", 1, "a"), event("x3", 2, "b")]), Some(true));
        assert_eq!(answer(&[event("4", 3, "c")]), None);
    }
}
