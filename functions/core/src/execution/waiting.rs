//! Writes the records of executions that exist before their tasks: they wait, get tasks, and end without one.

use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::Timestamp;
use runvoy_api_types::OnConflict;
use sha2::{Digest, Sha256};
use strum::VariantArray as _;

use super::{
    Execution, ExecutionId, ExecutionRecord, Idempotency, NewExecution, RunContext, RunRequest, Status,
    items::{change_from, find, get, writes},
    nonce::new_nonce,
    release,
    run_request::{KeptSecret, kept_secret},
    start_lease::{self, LeasedUntil, StartLease},
};
use crate::{
    App, Error, Result,
    audit::{self, Entry},
    boxed,
    image::{Image, ImageId},
    lock::order,
    table::{self, Transacted, number, string},
    time,
};

/// The exit code of an execution that was stopped.
const STOPPED: i32 = 130;

/// A new record of an execution that has no task yet. Its first attempt is still to come.
///
/// # Errors
/// [`Error::Invalid`] for a run that cannot wait, because a value that it needs must not be kept.
pub(crate) fn record(
    app: &App,
    request: &RunRequest,
    image: &Image,
    context: RunContext<'_>,
    status: Status,
    waits_for: &str,
) -> Result<ExecutionRecord> {
    check_can_wait(request)?;
    let mut record = record_of(app, request, image.image_id.clone(), context, status)?;
    record.execution.waits_for = Some(waits_for.to_owned());
    Ok(record)
}

/// As [`record`], with the name of an image that may not exist.
///
/// # Errors
/// [`Error::Internal`] when the operating system gives no random bytes.
pub(crate) fn record_of(
    app: &App,
    request: &RunRequest,
    image_id: ImageId,
    context: RunContext<'_>,
    status: Status,
) -> Result<ExecutionRecord> {
    let now = app.now();
    let execution_id = match context.idempotency {
        Some(idempotency) => id_of(&["execution", &idempotency.key]),
        None => id_of(&["execution", &new_nonce()?]),
    }?;
    let mut record = ExecutionRecord::of_task(&NewExecution {
        execution_id,
        created_by: context.principal.email.clone(),
        command: request.command.clone(),
        image_id,
        started_at: now,
        request_id: context.request_id.clone(),
        idempotency: context.idempotency.cloned(),
        asked: request.asked(context.source),
        nonce: Some(new_nonce()?),
    });
    // The task comes later, if it comes.
    let execution = &mut record.execution;
    (execution.status, execution.attempt, execution.log_stream_name) = (status, Some(1), None);
    execution.locks.clone_from(&request.lock);
    record.starting_at = (status == Status::Starting).then_some(now);
    Ok(record)
}

impl ExecutionRecord {
    /// Ends a new record that has FAILED.
    pub(crate) fn end_without_task(&mut self, app: &App, reason: &str) {
        let execution = &mut self.execution;
        execution.status = Status::Failed;
        (execution.exit_code, execution.duration_seconds) = (Some(1), Some(0));
        execution.completed_at = Some(app.now());
        execution.stopped_reason = Some(reason.to_owned());
    }

    /// Makes a new record one that is QUEUED: for its locks, or until these executions have ended.
    pub(crate) fn queue(&mut self, pending_after: Vec<ExecutionId>) {
        (self.execution.status, self.locks_held, self.starting_at) = (Status::Queued, 0, None);
        self.execution.waits_for = match pending_after.as_slice() {
            [] => None,
            [id] => Some(format!("execution {id}")),
            [id, others @ ..] => Some(format!("execution {id} and {} more", others.len())),
        };
        self.pending_after = pending_after;
    }

    /// Tells whether the present attempt has no task that is known.
    pub(crate) fn is_without_task(&self) -> bool {
        self.task().is_none()
    }

    /// Tells whether the task of the present attempt is to be started.
    pub(crate) fn is_to_start(&self) -> bool {
        self.execution.status == Status::Starting && self.is_without_task()
    }

    /// Tells whether it is QUEUED and waits neither for other executions, nor in line, nor for the time of its next attempt, so that it takes
    /// its next lock or starts.
    pub(crate) fn goes_on(&self, now: Timestamp) -> bool {
        let is_queued = self.execution.status == Status::Queued;
        is_queued && self.pending_after.is_empty() && self.place.is_none() && !self.pauses(now)
    }

    /// Tells whether it is QUEUED until other executions have ended.
    pub(crate) fn waits_for_others(&self) -> bool {
        self.execution.status == Status::Queued && !self.pending_after.is_empty()
    }

    /// The lock in whose line it has a place.
    pub fn line(&self) -> Option<&str> {
        self.place.as_ref().map(|_| order::nth(&self.execution, self.locks_held as usize))
    }

    /// Tells whether it waits when there is no capacity for it: it was asked to, or it waited for something else that its caller knows of.
    pub(super) fn may_wait_for_capacity(&self) -> bool {
        let Execution { asked, approval, .. } = &self.execution;
        asked.on_conflict == Some(OnConflict::Queue) || !asked.after.is_empty() || approval.is_some()
    }

    pub(crate) fn waits_for_capacity(&self) -> bool {
        self.execution.waits_for.as_deref() == Some(CAPACITY)
    }
}

/// An id of 32 hexadecimal digits, as ECS gives its tasks. The same texts give the same id.
fn id_of(parts: &[&str]) -> Result<ExecutionId> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let id: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    id.parse().map_err(|error: runvoy_api_types::NotAnExecutionId| {
        Error::internal_with("an id of ours is none", error.to_string())
    })
}

/// Checks that a run may wait, for which its request is kept.
///
/// # Errors
/// [`Error::Invalid`] for a run with values that are not kept, because their names say that they are secrets.
pub(crate) fn check_can_wait(request: &RunRequest) -> Result<()> {
    match kept_secret(&request.env, request.git_repo.as_deref()) {
        None => Ok(()),
        Some(KeptSecret::Variable(name)) => Err(Error::invalid(format!(
            "a run that waits cannot have {name} in env, because values of such names are not kept"
        ))
        .with_hint("use a secret in its place")
        .at_field(format!("env.{name}"))),
        Some(KeptSecret::Repository) => {
            Err(Error::invalid("a run that waits cannot have credentials in git_repo, because they are not kept")
                .with_hint("use a secret whose variable is GIT_TOKEN")
                .at_field("git_repo"))
        }
    }
}

/// Writes a new execution that has no task, and the entries of the audit. An execution that the same idempotency key has made is
/// returned as it is.
///
/// # Errors
/// [`Error::Conflict`] when the key was used for another request; [`Error::Aws`] when DynamoDB fails.
#[boxed]
pub(crate) async fn create(
    app: &App,
    record: ExecutionRecord,
    request: &RunRequest,
    idempotency: Option<&Idempotency>,
    entries: &[Entry],
) -> Result<ExecutionRecord> {
    match audit::transact(app, writes(app, &record, Some(request), idempotency)?, entries).await? {
        Transacted::Done => Ok(record),
        Transacted::Refused(_) => first(app, &record.execution.execution_id, idempotency).await,
    }
}

/// The execution that has this id already.
///
/// # Errors
/// [`Error::Conflict`] when it was made for another request under the same idempotency key; [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn first(app: &App, id: &ExecutionId, idempotency: Option<&Idempotency>) -> Result<ExecutionRecord> {
    let first = get(app, id).await?;
    match idempotency {
        Some(idempotency) => idempotency.confirm(first),
        None => Ok(first),
    }
}

/// Marks an execution that waits as being started. The caller starts its task. `false` when it waits no more.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn begin(app: &App, record: &ExecutionRecord, entries: &[Entry]) -> Result<bool> {
    let execution = &record.execution;
    let id = &execution.execution_id;
    if (record.locks_held as usize) < order::needed(app, execution) {
        // It needs its locks first.
        let queue = change_from(app, id, &[Status::Waiting]).set("status", string(Status::Queued)).remove("waits_for");
        return Ok(audit::transact(app, vec![queue.write()?], entries).await? == Transacted::Done);
    }
    let begin = change_from(app, id, &[Status::Waiting, Status::Queued])
        .only_if("locks_held", [number(record.locks_held)])
        .only_if_absent("place")
        .only_if_expression("(attribute_not_exists(next_attempt_at) OR next_attempt_at <= :now)")
        .with_value(":now", string(time::rfc3339(app.now())))
        .set("status", string(Status::Starting))
        .set("starting_at", string(time::rfc3339(app.now())))
        .remove("next_attempt_at")
        .remove("waits_for");
    Ok(audit::transact(app, vec![begin.write()?], entries).await? == Transacted::Done)
}

/// The writes that let an execution wait for the ends of others. They are refused when one of them has ended.
pub(crate) fn follow(app: &App, id: &ExecutionId, others: &[ExecutionId]) -> Result<Vec<TransactWriteItem>> {
    let open: Vec<Status> = Status::VARIANTS.iter().copied().filter(|status| !status.is_terminal()).collect();
    let follow = |other| change_from(app, other, &open).add_to_set("followers", id.as_str()).write();
    others.iter().map(follow).collect()
}

/// Lets an execution go on whose others have ended as they had to. `false` when it does not wait for them any more.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn stop_following(app: &App, record: &ExecutionRecord) -> Result<bool> {
    let execution = &record.execution;
    let change = change_from(app, &execution.execution_id, &[Status::Queued])
        .only_if_present("pending_after")
        .remove("pending_after")
        .remove("waits_for");
    let change = if order::needed(app, execution) == 0 {
        change.set("status", string(Status::Starting)).set("starting_at", string(time::rfc3339(app.now())))
    } else {
        change
    };
    Ok(table::transact(app, vec![change.write()?]).await? == Transacted::Done)
}

/// Lets an execution wait again that was being started and has no task, because there is no capacity for it. Others may run meanwhile.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(super) async fn wait_for_capacity(app: &App, record: &ExecutionRecord, lease: &StartLease<'_>) -> Result<bool> {
    let wait = lease
        .change(app)
        .set("status", string(Status::Queued))
        .set("waits_for", string(CAPACITY))
        .remove("starting_at");
    let own = record.execution.locks.len();
    if record.locks_held as usize > own {
        let wait = wait.set("locks_held", number(own));
        return Ok(release::leave_running(app, record, &wait.build()?).await? == release::End::Done);
    }
    Ok(table::transact(app, vec![wait.write()?]).await? == Transacted::Done)
}

/// The text of `waits_for` while Fargate has no room for an execution.
pub(crate) const CAPACITY: &str = "capacity";

/// Ends an execution that has no task. `None` when it has one by now, or has ended. One that is `STARTING` or `TERMINATING` does not end if an
/// invocation has had a lease after this one, or any where none is given, because that one may have started its task.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
#[boxed]
pub(crate) async fn end(
    app: &App,
    id: &ExecutionId,
    from: &[Status],
    to: Status,
    reason: &str,
    lease: Option<LeasedUntil>,
    entries: &[Entry],
) -> Result<Option<ExecutionRecord>> {
    let now = app.now();
    let end = change_from(app, id, from)
        .only_if_absent("task_id")
        .set("status", string(to))
        .set("exit_code", number(if to == Status::Stopped { STOPPED } else { 1 }))
        .set("completed_at", string(time::rfc3339(now)))
        .set("duration_seconds", number(0))
        .set("stopped_reason", string(reason))
        .remove("waits_for")
        .remove("place")
        .remove("next_attempt_at")
        .remove("ending");
    // Before these statuses nobody starts a task.
    let may_start = from.contains(&Status::Starting) || from.contains(&Status::Terminating);
    let end = if may_start { start_lease::unless_another_starts(end, lease) } else { end };
    let Some(record) = find(app, id).await?.filter(|record| from.contains(&record.execution.status)) else {
        return Ok(None);
    };
    match release::end(app, &record, &end.build()?, entries).await? {
        release::End::Done => find(app, id).await,
        release::End::Refused => Ok(None),
    }
}
