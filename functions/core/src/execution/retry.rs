//! Ends an attempt that another one follows: in one write, the execution is `QUEUED` for its next attempt.
//!
//! The write needs the attempt and its task to be the present ones, so that an event of the same end that comes again, or late, changes
//! nothing. The execution keeps its locks, and gives back its place among those that run.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use runvoy_api_types::{EarlierAttempt, Retry, RetryOn};

use super::{
    ExecutionId, ExecutionRecord, Status, TaskId, Transition,
    items::{change_from, find},
    outcome, release,
    start_lease::StartLease,
};
use crate::{
    App, Error, Result,
    item_update::ItemUpdate,
    table::{self, number, string},
    time,
};

impl ExecutionRecord {
    /// The retries that were asked for, if another attempt may follow the present one.
    fn retry(&self) -> Option<&Retry> {
        let attempt = self.execution.attempt?;
        let goes_on = matches!(self.execution.status, Status::Starting | Status::Running);
        self.execution.asked.retry.as_ref().filter(|retry| goes_on && attempt < retry.attempts)
    }

    /// Tells whether another attempt may follow when a task of the execution ends with this exit code of its command. The runner's last line
    /// is the end of the log only if none may.
    pub fn may_be_followed(&self, task: &TaskId, exit_code: i32) -> bool {
        if self.task().as_ref() != Some(task) {
            // The task was that of an earlier attempt.
            return self.execution.asked.retry.is_some();
        }
        let by_spot = |retry: &Retry| self.execution.asked.spot && retry.covers(RetryOn::Spot);
        self.retry().is_some_and(|retry| exit_code != 0 && retry.covers(RetryOn::Exit) || by_spot(retry))
    }

    /// Tells whether it is `QUEUED` for an attempt whose time has not come.
    pub fn pauses(&self, now: Timestamp) -> bool {
        self.execution.status == Status::Queued && self.execution.next_attempt_at.is_some_and(|at| at > now)
    }

    /// Tells whether a command of the execution has run before the present attempt.
    pub(crate) fn has_run(&self) -> bool {
        self.execution.earlier_attempts.iter().any(|attempt| matches!(attempt.on, RetryOn::Exit | RetryOn::Spot))
    }

    /// The estimated cost of the attempts before the present one.
    pub(super) fn earlier_cost(&self) -> f64 {
        self.execution.earlier_attempts.iter().filter_map(|attempt| attempt.cost_estimate_usd).sum()
    }

    /// The time of the next attempt, if one follows this end of the present one. None does that could begin only after the deadline.
    fn next_attempt(&self, on: RetryOn, ended_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        // An end that was told to viewers as that of the execution is the last one.
        let retry = self.retry().filter(|retry| retry.covers(on) && self.execution.ending.is_none())?;
        let pause = SignedDuration::from_secs(i64::try_from(retry.backoff.0).ok()?);
        // The clock of ECS may be ahead.
        let at = ended_at.min(now).checked_add(pause).ok()?.max(now);
        Some(at).filter(|at| self.deadline().is_none_or(|deadline| *at < deadline))
    }
}

/// Lets another attempt follow the end of the present one's task, if the run asks for that. `None` if this end is that of the execution.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(super) async fn follow(app: &App, record: &ExecutionRecord, end: &Transition) -> Result<Option<ExecutionRecord>> {
    let Some(on) = end.retry_on else { return Ok(None) };
    let now = app.now();
    let ended_at = end.completed_at.unwrap_or(now);
    let Some(at) = record.next_attempt(on, ended_at, now).filter(|_| end.task == record.task()) else {
        return Ok(None);
    };
    let mut ended = record.clone();
    ended.execution.status = Status::Failed;
    ended.execution.exit_code = end.exit_code;
    ended.execution.completed_at = end.completed_at;
    ended.execution.stopped_reason.clone_from(&end.stopped_reason);
    ended.stop_code.clone_from(&end.stop_code);
    ended.sidecar_exit_code = end.sidecar_exit_code;
    let attempt = EarlierAttempt {
        number: record.execution.attempt.unwrap_or(1),
        on,
        reason: outcome::reason(&ended).unwrap_or_default(),
        exit_code: end.exit_code.filter(|_| matches!(on, RetryOn::Exit | RetryOn::Spot)),
        started_at: record.begun_at(),
        ended_at,
        task_id: end.task.as_ref().map(TaskId::to_string),
        cost_estimate_usd: end.cost_estimate_usd,
    };
    write(app, record, &attempt, at, None).await
}

/// What follows an attempt for which there was no capacity.
pub(super) enum Followed {
    /// The execution waits for its next attempt.
    Yes,
    /// The run has no attempt left.
    NoAttemptLeft,
    /// Nothing was written, because the execution was killed, or another invocation has the lease or has done the same.
    ByAnother,
}

/// Lets another attempt follow one for which there was no capacity, so that it got no task.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(super) async fn follow_refusal(
    app: &App,
    record: &ExecutionRecord,
    lease: &StartLease<'_>,
    refusal: &Error,
) -> Result<Followed> {
    let now = app.now();
    let Some(at) = record.next_attempt(RetryOn::Capacity, now, now) else { return Ok(Followed::NoAttemptLeft) };
    let attempt = EarlierAttempt {
        number: record.execution.attempt.unwrap_or(1),
        on: RetryOn::Capacity,
        reason: refusal.to_string(),
        exit_code: None,
        started_at: record.begun_at(),
        ended_at: now,
        task_id: None,
        cost_estimate_usd: None,
    };
    let written = write(app, record, &attempt, at, Some(lease)).await?;
    Ok(if written.is_some() { Followed::Yes } else { Followed::ByAnother })
}

/// Tells whether a run counts an attempt for which there is no capacity, and does not wait for it.
pub(super) fn counts_capacity(record: &ExecutionRecord) -> bool {
    record.execution.asked.retry.as_ref().is_some_and(|retry| retry.covers(RetryOn::Capacity))
}

/// The attempts that have ended, this one included, as the record keeps them.
fn attempts_with(record: &ExecutionRecord, ended: &EarlierAttempt) -> Result<Vec<AttributeValue>> {
    let all = record.execution.earlier_attempts.iter().chain([ended]);
    all.map(|one| Ok(AttributeValue::M(table::to_item(one)?))).collect()
}

/// Makes an execution `QUEUED` for its next attempt. Returns it as it is then. `None` if it was killed meanwhile, another invocation has
/// handled the same end, or the lease that is given has ended and is another's.
async fn write(
    app: &App,
    record: &ExecutionRecord,
    ended: &EarlierAttempt,
    at: Timestamp,
    lease: Option<&StartLease<'_>>,
) -> Result<Option<ExecutionRecord>> {
    let id = &record.execution.execution_id;
    let next = ended.number + 1;
    let attempts = record.execution.asked.retry.as_ref().map_or(next, |retry| retry.attempts);
    let change = change_from(app, id, &[Status::Starting, Status::Running])
        .only_if("attempt", [number(ended.number)])
        .only_if_absent("ending")
        .set("status", string(Status::Queued))
        .set("attempt", number(next))
        .set("next_attempt_at", string(time::rfc3339(at)))
        .set("waits_for", string(format!("attempt {next} of {attempts}")))
        .set("locks_held", number(record.execution.locks.len()))
        // The whole list, since an earlier version of the program kept it under another name. Who has ended this attempt knows all before it.
        .set("attempts", AttributeValue::L(attempts_with(record, ended)?))
        .remove("earlier_attempts");
    let change = match &ended.task_id {
        Some(task) => change.only_if("task_id", [string(task)]),
        None => change.only_if_absent("task_id"),
    };
    // What is known of the attempt's task is in the list.
    let change = [
        "task_id",
        "task_noted_at",
        "log_stream_name",
        "starting_at",
        "task_times",
        "stop_code",
        "sidecar_exit_code",
        "sidecar_failure",
        "stopped_reason",
        "attempt_mark",
    ]
    .into_iter()
    .fold(change, ItemUpdate::remove);
    let change = match lease {
        Some(lease) => lease.guard(change),
        None => change,
    };
    match release::leave_running(app, record, &change.build()?).await? {
        release::End::Done => find(app, id).await,
        release::End::Refused => Ok(None),
    }
}

/// Notes which line of the log marks the beginning of the present attempt, unless one is noted. Returns its id; `None` if the execution has
/// another attempt by now, or has ended. One that is killed at this moment may still get the task that is being started.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn note_mark(app: &App, id: &ExecutionId, attempt: u32, line: &str) -> Result<Option<String>> {
    let note = change_from(app, id, &[Status::Starting, Status::Terminating])
        .only_if("attempt", [number(attempt)])
        .set_default("attempt_mark", string(line));
    table::transact(app, vec![note.write()?]).await?;
    let record = find(app, id).await?.filter(|record| record.execution.attempt == Some(attempt));
    Ok(record.and_then(|record| record.attempt_mark))
}
