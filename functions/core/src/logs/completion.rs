//! The end of a log: when it is complete, and what that costs.
//!
//! A log is complete when it has been compared with CloudWatch Logs after the task's end, because a batch of the subscription may
//! be late or lost, and the store cannot show that. The comparison calls `FilterLogEvents`, of which an account has 5 a second. So
//! it is made when a reader needs it: for viewers when the task ends, otherwise when the log is first read. The end of a task
//! without viewers, whose last line the store has, makes no call.

use std::{collections::HashSet, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    LogEvent, LogHead,
    batch::Batch,
    cloudwatch::{self, Place, Span},
    head, store,
};
use crate::{
    App, Result,
    execution::{self, ExecutionId, ExecutionRecord, outcome::Stop},
};

/// The time after a task's end in which its log may still grow: the log driver sends lines every 5 seconds, and CloudWatch shows them a
/// little later.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a task that was killed before its runner could print the last line. The log driver sends what it has when the
/// container stops.
const PATIENCE_WITHOUT_END: Duration = Duration::from_secs(5);
/// The same for a task whose repository could not be cloned, so that its command never started. Its only container that ran has ended
/// well before the task.
const PATIENCE_WITHOUT_COMMAND: Duration = Duration::from_secs(1);
/// The first and the longest pause between two looks for the last line in the store.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));
/// The shortest pause after a comparison with CloudWatch.
const PAUSE_OF_COMPARISON: Duration = Duration::from_secs(1);
/// The pause between a command's last line and the first comparison. CloudWatch shows lines a little later than it delivers them, and a
/// task that ends meanwhile has its log compared by the event of its end.
const PAUSE_AFTER_END: Duration = Duration::from_millis(250);
/// The time that an invocation tries while CloudWatch refuses its calls. The rest of its 120 seconds is for the viewers.
const PERSISTENCE: Duration = Duration::from_secs(60);
/// The time that a comparison may take for an event. The newest lines are compared first.
const COMPARISON: Duration = Duration::from_secs(30);
/// The time that a reader waits for a comparison, and for the end of a log to appear. The pause between two looks doubles.
const READER_WAITS: Duration = Duration::from_secs(5);
const PAUSE_FOR_READER: Duration = Duration::from_millis(250);
/// Lambda tries a failed batch again after one and after two more minutes ("How Lambda handles errors and retries with asynchronous
/// invocation"), so most late batches are from this long before the end.
const RECENT: SignedDuration = SignedDuration::from_mins(5);
/// The store rarely ends further back than this behind CloudWatch.
const NEWEST: SignedDuration = SignedDuration::from_mins(1);
/// A log of so few batches is compared as a whole, since it fits one answer of CloudWatch or a few.
const FEW_BATCHES: u64 = 16;

/// After a task's end, makes its log complete: copies the lines that the store lacks from CloudWatch, until CloudWatch shows the
/// runner's last line or [`PATIENCE`] has passed. If the runner could not print a last line, one is added that says how the task
/// ended. Returns the head of the complete log, whose viewers are then to be served.
///
/// Without viewers there is no hurry, so the last line is first waited for in the store. When it is there, this returns `None` without
/// a call of CloudWatch, and the first reader completes the log.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when CloudWatch refused every call for a minute and the store lacks the last line.
pub async fn complete(app: &App, id: &ExecutionId, stop: &Stop) -> Result<Option<LogHead>> {
    let deadline = end_of_patience(app, stop);
    let gives_up = app.now() + PERSISTENCE;
    let (mut pause, longest) = PAUSES;
    loop {
        let head = head::get(app, id).await?;
        if head.complete {
            return Ok(Some(head));
        }
        if head.ended_with.is_some() {
            return close(app, id, stop, true).await.map(Some);
        }
        let is_watched = head.watched;
        let newest = store::newest(app, id, &head).await?;
        if !is_watched && has_end(newest.as_ref()) {
            return Ok(None);
        }
        // The time is read before the comparison, so that the last one begins after the deadline and misses no line before it.
        let now = app.now();
        let is_late = now >= deadline;
        if is_late || is_watched && stop.may_have_last_line() {
            match compare(app, id, &head, stop, newest.as_ref(), now + COMPARISON).await {
                Ok(seen_end) if seen_end || is_late => {
                    let has_end = seen_end || has_end(newest.as_ref());
                    return close(app, id, stop, has_end).await.map(Some);
                }
                Ok(_) => {}
                Err(error) if now < gives_up => {
                    tracing::info!(execution_id = %id, error = %error.chain(), "CloudWatch will be asked again");
                }
                Err(error) if has_end(newest.as_ref()) => {
                    tracing::warn!(execution_id = %id, error = %error.chain(), "the log could not be compared");
                    return close(app, id, stop, true).await.map(Some);
                }
                Err(error) => return Err(error),
            }
            pause = pause.max(PAUSE_OF_COMPARISON);
        }
        let until_deadline = deadline.duration_since(app.now());
        let until_deadline = if until_deadline.is_positive() { until_deadline.unsigned_abs() } else { longest };
        app.sleep(pause.min(until_deadline)).await;
        pause = (pause * 2).min(longest);
    }
}

/// After a command's end, whose task may go on for a minute: makes a log that is watched complete up to the runner's last line. An earlier
/// batch may be late, and viewers that take the last line for the end must not miss it. Returns the head, whose viewers are then to be
/// told; `None` if the log is not watched, or CloudWatch does not show the last line soon, and the task's end is waited for.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn complete_up_to_end(app: &App, id: &ExecutionId, exit_code: i32) -> Result<Option<LogHead>> {
    let gives_up = app.now() + PATIENCE;
    let mut pause = PAUSE_AFTER_END;
    loop {
        app.sleep(pause).await;
        let head = head::get(app, id).await?;
        if head.complete || !head.watched {
            return Ok(None);
        }
        if head.ended_with.is_some() {
            return Ok(Some(head));
        }
        let newest = store::newest(app, id, &head).await?;
        let now = app.now();
        match compare(app, id, &head, &Stop::at(now), newest.as_ref(), now + COMPARISON).await {
            Ok(true) => return head::mark_ended(app, id, exit_code).await.map(Some),
            Ok(false) => {}
            Err(error) => tracing::info!(execution_id = %id, error = %error.chain(), "CloudWatch will be asked again"),
        }
        if app.now() >= gives_up {
            return Ok(None);
        }
        pause = (pause * 2).min(PAUSE_OF_COMPARISON);
    }
}

/// For a reader of an execution that has ended: the head after the log has been compared with CloudWatch, if it had not been. Waits
/// a little for the end of the log, which may be on its way. When CloudWatch refuses the call, the reader gets what the store has, and
/// the next reader tries again. `head` is the head's own item as it was read before.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when CloudWatch refuses the call and the store has no line.
pub(super) async fn complete_for_reader(app: &App, record: &ExecutionRecord, head: Option<LogHead>) -> Result<LogHead> {
    let id = &record.execution.execution_id;
    let stop = Stop::of(&record.execution);
    let mut head = head.unwrap_or_else(|| LogHead::of_record(record));
    if record.task().is_none() && !head.complete {
        return close_without_task(app, record).await;
    }
    let gives_up = app.now() + READER_WAITS;
    let mut pause = PAUSE_FOR_READER;
    while !head.complete {
        if head.ended_with.is_some() {
            return close(app, id, &stop, true).await;
        }
        let newest = store::newest(app, id, &head).await?;
        let now = app.now();
        let is_late = now >= end_of_patience(app, &stop);
        match compare(app, id, &head, &stop, newest.as_ref(), now + READER_WAITS).await {
            Ok(seen_end) if seen_end || is_late => {
                return close(app, id, &stop, seen_end || has_end(newest.as_ref())).await;
            }
            Err(error) if newest.is_none() => return Err(error),
            Err(error) => {
                tracing::warn!(execution_id = %id, error = %error.chain(), "the log is read without a comparison");
                return Ok(head);
            }
            Ok(_) => {}
        }
        let waits = now < gives_up;
        if waits {
            app.sleep(pause).await;
            pause *= 2;
        }
        head = head::get(app, id).await?;
        if !waits {
            break;
        }
    }
    Ok(head)
}

/// Completes the log of an execution that has ended without a task: there is nothing to compare. Its last line says why it ended.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn close_without_task(app: &App, record: &ExecutionRecord) -> Result<LogHead> {
    close(app, &record.execution.execution_id, &Stop::of(&record.execution), false).await
}

/// Tells whether the store lacks the last line of an execution whose log is not known to be complete.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(crate) async fn lacks_end(app: &App, record: &ExecutionRecord) -> Result<bool> {
    let head = head::of(app, record).await?;
    Ok(!has_end(store::newest(app, &record.execution.execution_id, &head).await?.as_ref()))
}

fn end_of_patience(app: &App, stop: &Stop) -> Timestamp {
    let patience = if stop.may_have_last_line() {
        PATIENCE
    } else if stop.ended_before_command() {
        PATIENCE_WITHOUT_COMMAND
    } else {
        PATIENCE_WITHOUT_END
    };
    // An end in the future is the work of another clock.
    stop.at.map_or_else(|| app.now(), |at| at.min(app.now())) + patience
}

fn has_end(newest: Option<&Batch>) -> bool {
    newest.is_some_and(|batch| batch.events.iter().any(is_end))
}

fn is_end(event: &LogEvent) -> bool {
    event.exit_code.is_some()
}

async fn close(app: &App, id: &ExecutionId, stop: &Stop, has_end: bool) -> Result<LogHead> {
    let last = if has_end { None } else { stop.failure().map(|reason| last_line(app, stop, reason)) };
    Ok(store::append(app, id, last.into_iter().collect(), true, None).await?.head)
}

/// The line that stands for the runner's last one. Its id is greater than every id of CloudWatch's (56 digits) and the same at each
/// attempt, so that it is stored once, at the end.
fn last_line(app: &App, stop: &Stop, reason: &str) -> LogEvent {
    LogEvent {
        event_id: "9".repeat(56),
        timestamp: stop.at.unwrap_or_else(|| app.now()).as_millisecond(),
        message: format!("### runvoy runner: the task ended without the command's end => {reason}"),
        exit_code: None,
    }
}

/// Copies the lines that the store lacks, the newest span of time first, while there is time. Returns whether CloudWatch showed
/// the runner's last line.
async fn compare(
    app: &App,
    id: &ExecutionId,
    head: &LogHead,
    stop: &Stop,
    newest: Option<&Batch>,
    until: Timestamp,
) -> Result<bool> {
    let record = execution::find(app, id).await?;
    let Some(task) = record.as_ref().and_then(ExecutionRecord::task) else { return Ok(false) };
    let has_sidecar = record.as_ref().is_some_and(|record| record.execution.asked.git_repo.is_some());
    let nonce = record.and_then(|record| record.nonce);
    let mut unsure_of_ids = newest;
    let mut seen_end = false;
    for span in spans(app, head, stop, newest) {
        let mut place = Some(Place::start(has_sidecar));
        while let Some(at) = place {
            if app.now() >= until {
                tracing::warn!(execution_id = %id, ?span, "the log is too long to be compared as a whole");
                return Ok(seen_end);
            }
            let (events, next) = cloudwatch::page(app, &task, span, at, nonce.as_deref()).await?;
            seen_end |= events.iter().any(is_end);
            if let Some(newest) = unsure_of_ids.take_if(|_| !events.is_empty())
                && are_named_otherwise(app, id, newest, &events).await?
            {
                tracing::error!(
                    execution_id = %id,
                    "CloudWatch names lines otherwise than its subscription does, so the store is taken as it is"
                );
                return Ok(seen_end);
            }
            if !events.is_empty() {
                store::append(app, id, events, false, None).await?;
            }
            place = next;
        }
    }
    Ok(seen_end)
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
