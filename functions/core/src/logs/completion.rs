//! Completes the logs of tasks that have ended: says when a log has all lines, and copies those that the store lacks.
//!
//! A log is complete when it has been compared with CloudWatch Logs after the task's end, because a batch of the subscription may
//! be late or lost, and the store cannot show that. The comparison calls `FilterLogEvents`, of which an account has 5 a second. So
//! it is made when a reader needs it: for viewers when the task ends, otherwise when the log is first read. The end of a task
//! without viewers, whose last line the store has, makes no call.
//!
//! A log that is too long to be compared at once ends for its viewers all the same, and its head keeps what is left. Readers and
//! `reconcile` go on there, and until then the API says that lines may be missing.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    LogEvent, LogHead,
    append::append,
    batch::Batch,
    comparison::{Compared, Rest, compare, is_end},
    head, store,
};
use crate::{
    App, Result,
    backoff::Backoff,
    boxed,
    execution::{ExecutionId, ExecutionRecord, outcome::Stop},
};

/// The time after a task's end in which its log may still grow: the log driver sends lines every 5 seconds, and CloudWatch shows them a
/// little later.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);
/// The time in which the log of a killed task may still grow, whose runner could not print the last line. The log driver sends what it has
/// when the container stops.
const KILLED_LOG_TIMEOUT: Duration = Duration::from_secs(5);
/// The time in which the log of a task may still grow whose repository could not be cloned, so that its command never started. Its only
/// container that ran has ended well before the task.
const UNSTARTED_LOG_TIMEOUT: Duration = Duration::from_secs(1);
/// The first and the longest pause between two looks for the last line in the store.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));
/// The shortest pause after a comparison with CloudWatch.
const PAUSE_OF_COMPARISON: Duration = Duration::from_secs(1);
/// The pause between a command's last line and the first comparison. CloudWatch shows lines a little later than it delivers them, and a
/// task that ends meanwhile has its log compared by the event of its end.
const PAUSE_AFTER_END: Duration = Duration::from_millis(250);
/// The time that an invocation tries while CloudWatch refuses its calls, or while a long log is compared. The rest of its 120 seconds is for
/// the viewers.
const THROTTLED_TIMEOUT: Duration = Duration::from_mins(1);
/// The time that a comparison may take for an event. The newest lines are compared first.
const COMPARISON_TIMEOUT: Duration = Duration::from_secs(30);
/// The time that the event of one viewer completes a log. The stream's next events, of other viewers, wait for it.
const TURN: Duration = Duration::from_secs(2);
/// The time that a reader waits for a comparison, and for the end of a log to appear. The pause between two looks doubles.
const READER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first of these pauses.
const PAUSE_FOR_READER: Duration = Duration::from_millis(250);
/// After a task's end, makes its log complete: copies the lines that the store lacks from CloudWatch, until CloudWatch shows the
/// runner's last line or [`LOG_TIMEOUT`] has passed. If the runner could not print a last line, one is added that says how the task
/// ended. Returns the head of the complete log, whose viewers are then to be served.
///
/// Without viewers there is no hurry, so the last line is first waited for in the store. When it is there, this returns `None` without
/// a call of CloudWatch, and the first reader completes the log.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when CloudWatch refused every call for a minute and the store lacks the last line.
pub async fn complete(app: &App, id: &ExecutionId, stop: &Stop) -> Result<Option<LogHead>> {
    complete_until(app, id, stop, app.now() + THROTTLED_TIMEOUT, None).await
}

/// Completes a log for the event of one viewer, as [`complete`] does, but for [`TURN`] only, since the stream's next events, of other
/// viewers, wait for it. `None` if the log is not complete then, and the viewer is to be handed over.
///
/// # Errors
/// As [`complete`].
pub async fn complete_in_turn(app: &App, id: &ExecutionId, stop: &Stop) -> Result<Option<LogHead>> {
    complete_until(app, id, stop, deadline_of(app, stop) + THROTTLED_TIMEOUT, Some(app.now() + TURN)).await
}

async fn complete_until(
    app: &App,
    id: &ExecutionId,
    stop: &Stop,
    gives_up: Timestamp,
    turn_ends: Option<Timestamp>,
) -> Result<Option<LogHead>> {
    let deadline = deadline_of(app, stop);
    let mut pauses = Backoff::new(PAUSES);
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
            let until = turn_ends.unwrap_or(now + COMPARISON_TIMEOUT);
            match compare(app, id, &head, stop, newest.as_ref(), until).await {
                Ok(compared) if compared.seen_end || is_late => {
                    let has_end = compared.seen_end || has_end(newest.as_ref());
                    let is_part = note(app, id, &head, &compared).await?.uncompared.is_some();
                    if is_part && now < gives_up {
                        if turn_ends.is_some() {
                            return Ok(None);
                        }
                        continue;
                    }
                    return close(app, id, stop, has_end).await.map(Some);
                }
                Ok(_) => {}
                Err(error) if now < gives_up => {
                    tracing::info!(execution_id = %id, error = %error.chain(), "CloudWatch will be asked again");
                }
                Err(error) if has_end(newest.as_ref()) => {
                    tracing::warn!(execution_id = %id, error = %error.chain(), "the log could not be compared");
                    if head.uncompared.is_none() {
                        head::mark_uncompared(app, id, Some(Rest::whole().encode()?)).await?;
                    }
                    return close(app, id, stop, true).await.map(Some);
                }
                Err(error) => return Err(error),
            }
            pauses.at_least(PAUSE_OF_COMPARISON);
        }
        let left = turn_ends.map(|ends| ends.duration_since(app.now()));
        if left.is_some_and(|left| !left.is_positive()) {
            return Ok(None);
        }
        let until_deadline = deadline.duration_since(app.now());
        let mut pause = pauses.take(app);
        for limit in left.into_iter().chain(Some(until_deadline).filter(jiff::SignedDuration::is_positive)) {
            pause = pause.min(limit.unsigned_abs());
        }
        app.sleep(pause).await;
    }
}

/// After a command's end, whose task may go on for a minute: makes a log that is watched complete up to the runner's last line. An earlier
/// batch may be late, and viewers that take the last line for the end must not miss it. Returns the head, whose viewers are then to be
/// told; `None` if the log is not watched, or CloudWatch does not show the last line soon, and the task's end is waited for.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn complete_up_to_end(app: &App, id: &ExecutionId, exit_code: i32) -> Result<Option<LogHead>> {
    up_to_end(app, id, exit_code, app.now() + LOG_TIMEOUT).await
}

/// Completes a log up to the runner's last line for the event of one viewer, as [`complete_up_to_end`] does, but for [`TURN`] only. `None`
/// if the viewer is to be handed over, for as long as [`may_be_completed_up_to_end`].
///
/// # Errors
/// As [`complete_up_to_end`].
pub async fn complete_up_to_end_in_turn(app: &App, id: &ExecutionId, exit_code: i32) -> Result<Option<LogHead>> {
    up_to_end(app, id, exit_code, app.now() + TURN).await
}

/// Tells whether a command has ended so shortly ago that its last line may not be shown yet.
pub fn may_be_completed_up_to_end(app: &App, ended_at: Option<Timestamp>) -> bool {
    ended_at.is_some_and(|at| app.now() < at + LOG_TIMEOUT)
}

async fn up_to_end(app: &App, id: &ExecutionId, exit_code: i32, gives_up: Timestamp) -> Result<Option<LogHead>> {
    let mut pauses = Backoff::new((PAUSE_AFTER_END, PAUSE_OF_COMPARISON));
    loop {
        pauses.wait(app).await;
        let head = head::get(app, id).await?;
        if head.complete || !head.watched {
            return Ok(None);
        }
        if head.ended_with.is_some() {
            return Ok(Some(head));
        }
        let newest = store::newest(app, id, &head).await?;
        let now = app.now();
        match compare(app, id, &head, &Stop::at(now), newest.as_ref(), now + COMPARISON_TIMEOUT).await {
            Ok(compared) if compared.seen_end => {
                // The event of the task's end goes on where the time was over.
                let is_whole = note(app, id, &head, &compared).await?.uncompared.is_none();
                return if is_whole { head::mark_ended(app, id, exit_code).await.map(Some) } else { Ok(None) };
            }
            Ok(_) => {}
            Err(error) => tracing::info!(execution_id = %id, error = %error.chain(), "CloudWatch will be asked again"),
        }
        if app.now() >= gives_up {
            return Ok(None);
        }
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
    if head.complete && !head.is_whole() {
        let gone_on = go_on(app, id, &head, &stop, app.now() + READER_TIMEOUT).await;
        return Ok(gone_on.unwrap_or_else(|error| {
            tracing::warn!(execution_id = %id, error = %error.chain(), "the log is read without a comparison");
            head
        }));
    }
    let gives_up = app.now() + READER_TIMEOUT;
    let mut pauses = Backoff::new((PAUSE_FOR_READER, READER_TIMEOUT));
    while !head.complete {
        if head.ended_with.is_some() {
            return close(app, id, &stop, true).await;
        }
        let newest = store::newest(app, id, &head).await?;
        let now = app.now();
        let is_late = now >= deadline_of(app, &stop);
        match compare(app, id, &head, &stop, newest.as_ref(), now + READER_TIMEOUT).await {
            Ok(compared) if compared.seen_end || is_late => {
                let has_end = compared.seen_end || has_end(newest.as_ref());
                let head = note(app, id, &head, &compared).await?;
                // The end of a log of which only a part was compared may be in the rest.
                let may_close = has_end || head.uncompared.is_none();
                return if may_close { close(app, id, &stop, has_end).await } else { Ok(head) };
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
            pauses.wait(app).await;
        }
        head = head::get(app, id).await?;
        if !waits {
            break;
        }
    }
    Ok(head)
}

/// Goes on for a while with the comparison of a log that ended before it was compared as a whole. Returns the head.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when CloudWatch or DynamoDB refuses a call.
async fn go_on(app: &App, id: &ExecutionId, head: &LogHead, stop: &Stop, until: Timestamp) -> Result<LogHead> {
    let newest = store::newest(app, id, head).await?;
    note(app, id, head, &compare(app, id, head, stop, newest.as_ref(), until).await?).await
}

/// Keeps in the head which part of the log is left to be compared.
async fn note(app: &App, id: &ExecutionId, head: &LogHead, compared: &Compared) -> Result<LogHead> {
    let rest = compared.rest.as_ref().map(Rest::encode).transpose()?;
    if rest == head.uncompared { Ok(head.clone()) } else { head::mark_uncompared(app, id, rest).await }
}

/// For `reconcile`: completes the log of an execution that has ended, or goes on with its comparison, if events and readers have not. Returns
/// whether there was anything to do.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when CloudWatch or DynamoDB refuses a call.
pub(crate) async fn finish(app: &App, record: &ExecutionRecord) -> Result<bool> {
    let (id, stop) = (&record.execution.execution_id, Stop::of(&record.execution));
    let head = head::of(app, record).await?;
    if head.complete {
        if !head.is_whole() {
            go_on(app, id, &head, &stop, app.now() + COMPARISON_TIMEOUT).await?;
        }
        return Ok(!head.is_whole());
    }
    if head.uncompared.is_none() && has_end(store::newest(app, id, &head).await?.as_ref()) {
        return Ok(false);
    }
    complete(app, id, &stop).await?;
    Ok(true)
}

/// Completes the log of an execution that has ended without a task. There is nothing to compare but the lines of earlier attempts. Its last
/// line says why it ended.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn close_without_task(app: &App, record: &ExecutionRecord) -> Result<LogHead> {
    let (id, stop) = (&record.execution.execution_id, Stop::of(&record.execution));
    if record.tasks().is_empty() {
        return close_with(app, id, &stop, Some("the execution ended without a task")).await;
    }
    let head = head::of(app, record).await?;
    if !head.complete {
        compare_earlier(app, record, &head, &stop).await?;
    }
    close_with(app, id, &stop, Some("the execution ended before its next attempt")).await
}

/// Compares the lines of earlier attempts while a reader would wait, and notes what is left for readers and `reconcile`.
#[boxed]
async fn compare_earlier(app: &App, record: &ExecutionRecord, head: &LogHead, stop: &Stop) -> Result<()> {
    let id = &record.execution.execution_id;
    let newest = store::newest(app, id, head).await?;
    let ended_at = record.execution.earlier_attempts.last().map(|attempt| attempt.ended_at);
    let is_shown = ended_at.is_some_and(|at| at + LOG_TIMEOUT < app.now());
    let rest = match compare(app, id, head, stop, newest.as_ref(), app.now() + READER_TIMEOUT).await {
        Ok(Compared { rest: None, .. }) if is_shown => return Ok(()),
        Ok(Compared { rest: Some(rest), .. }) => rest,
        // CloudWatch may show more lines of the last attempt later.
        Ok(_) => Rest::whole(),
        Err(error) => {
            tracing::info!(execution_id = %id, error = %error.chain(), "the log is compared for its first reader");
            Rest::whole()
        }
    };
    head::mark_uncompared(app, id, Some(rest.encode()?)).await.map(drop)
}

/// The time after which the log of a stopped task is taken to be complete, even without its last line.
fn deadline_of(app: &App, stop: &Stop) -> Timestamp {
    let timeout = if stop.may_have_last_line() {
        LOG_TIMEOUT
    } else if stop.ended_before_command() {
        UNSTARTED_LOG_TIMEOUT
    } else {
        KILLED_LOG_TIMEOUT
    };
    // ECS's clock may be ahead of this one, so that a task seems to have ended in the future.
    stop.at.map_or_else(|| app.now(), |at| at.min(app.now())) + timeout
}

fn has_end(newest: Option<&Batch>) -> bool {
    newest.is_some_and(|batch| batch.events.iter().any(is_end))
}

async fn close(app: &App, id: &ExecutionId, stop: &Stop, has_end: bool) -> Result<LogHead> {
    let words = "the task ended without the command's end";
    close_with(app, id, stop, if has_end { None } else { Some(words) }).await
}

/// Closes a log with a line that says these words and why the execution ended, if there is a reason.
#[boxed]
async fn close_with(app: &App, id: &ExecutionId, stop: &Stop, words: Option<&str>) -> Result<LogHead> {
    let mut last = words.zip(stop.failure()).map(|(words, reason)| last_line(app, stop, words, reason));
    if let Some(last) = &mut last {
        // A log is sorted by time, and the clock that told the end may be behind that of the lines.
        let newest = store::last_timestamp(app, id).await?;
        last.timestamp = newest.map_or(last.timestamp, |newest| newest.max(last.timestamp));
    }
    Ok(append(app, id, last.into_iter().collect(), true, None).await?.head)
}

/// The line that stands for the runner's last one. Its id is greater than every id of CloudWatch's (56 digits) and the same at each
/// attempt, so that it is stored once, at the end.
fn last_line(app: &App, stop: &Stop, words: &str, reason: &str) -> LogEvent {
    LogEvent {
        event_id: "9".repeat(56),
        timestamp: stop.at.unwrap_or_else(|| app.now()).as_millisecond(),
        message: format!("### runvoy runner: {words} => {reason}"),
        exit_code: None,
    }
}
