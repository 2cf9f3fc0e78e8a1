//! Starts the tasks of executions that waited.

use crate::{
    App, Email, Error, Result,
    audit::Entry,
    auth::Principal,
    boxed,
    execution::{self, ExecutionId, ExecutionRecord, StartedAttempt},
    logs::attempt,
    user,
    websocket::fan_out,
};

use super::{
    attempt_message, end,
    other_starter::has_other_starter,
    resources::{Resources, resources},
    take_locks,
};

/// Lets an execution go on that is `WAITING`, or `QUEUED` for capacity, and starts its task. Does nothing if it goes on already, or has
/// ended. The entries are written in the same transaction, if the execution waited.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution; [`Error::Aws`] when AWS fails. [`sweep()`](super::sweep()) starts the task then.
#[boxed]
pub async fn release(app: &App, id: &ExecutionId, entries: &[Entry]) -> Result<ExecutionRecord> {
    let record = execution::get(app, id).await?;
    execution::begin(app, &record, entries).await?;
    go_on(app, id).await?;
    execution::get(app, id).await
}

/// Takes the locks that a QUEUED execution needs, as far as they are free, and starts its task once it has them all. Does nothing if it has
/// a place in line.
///
/// # Errors
/// As [`start_attempt`].
#[boxed]
pub async fn go_on(app: &App, id: &ExecutionId) -> Result<()> {
    take_locks::advance(app, id).await?;
    start_attempt(app, id).await
}

/// Starts the task of an execution that is `STARTING` and has none. Does nothing if another invocation does the same at this moment; if it dies
/// doing it, a message comes when its lease ends, or else the sweep, and ECS starts one task for each attempt. An execution whose image, secret or
/// user is gone fails, unless another invocation may be starting it.
///
/// # Errors
/// [`Error::Aws`] when AWS fails, so that the caller's event is delivered again.
#[boxed]
pub async fn start_attempt(app: &App, id: &ExecutionId) -> Result<()> {
    let Some(record) = execution::find(app, id).await?.filter(ExecutionRecord::is_to_start) else { return Ok(()) };
    if has_other_starter(app, &record).await? {
        return Ok(());
    }
    let left_behind = record.start_lease();
    if record.is_late(app.now()) {
        return end::fail_under(app, id, &late(&record), left_behind).await;
    }
    if attempt::mark_beginning(app, &record).await? {
        fan_out::notify(app, id).await;
    }
    let (error, lease) = match try_to_start(app, &record).await {
        Ok(StartedAttempt::Task) => {
            tracing::info!(execution_id = %id, attempt = record.execution.attempt, "execution started");
            return Ok(());
        }
        Ok(StartedAttempt::NoCapacity) => {
            tracing::info!(execution_id = %id, "there is no capacity; the execution waits");
            return Ok(());
        }
        Ok(StartedAttempt::Refused) => return Ok(()),
        Ok(StartedAttempt::ByAnother) => {
            tracing::info!(execution_id = %id, "nothing to start: another invocation does it, or the attempt is not to be started any more");
            return attempt_message::look_after_lease(app, id).await;
        }
        Ok(StartedAttempt::Impossible(error, lease)) => (error, Some(lease)),
        Err(error @ (Error::Aws { .. } | Error::Internal { .. })) => return Err(error),
        Err(error) => (error, left_behind),
    };
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    end::fail_under(app, id, &format!("it could not be started: {error}{hint}"), lease).await
}

/// Why an execution has failed that could not start until its deadline.
pub(super) fn late(record: &ExecutionRecord) -> String {
    match record.execution.attempt {
        Some(attempt) if attempt > 1 => format!("its deadline passed before attempt {attempt} could start"),
        _ => "its deadline passed before it could start".to_owned(),
    }
}

/// A user who may have been revoked since the run was asked for.
async fn active(app: &App, email: &Email) -> Result<Principal> {
    let found = user::principal(app, email).await?;
    found.ok_or_else(|| Error::conflict(format!("the user {email} has been revoked")))
}

#[boxed]
async fn try_to_start(app: &App, record: &ExecutionRecord) -> Result<StartedAttempt> {
    let by = record.rights_of.as_ref().unwrap_or(&record.execution.created_by);
    // What the user may do is asked again, because it may have changed while the execution waited.
    let principal = active(app, by).await?;
    if *by != record.execution.created_by {
        // A playbook runs with the rights of its publisher, for a user who may have been revoked.
        active(app, &record.execution.created_by).await?;
    }
    let request = execution::request::to_start(app, record).await?;
    let Resources { image, secrets } = resources(app, &request, &principal).await?;
    execution::start_attempt(app, record, &request, &image, &secrets).await
}
