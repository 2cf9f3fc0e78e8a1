//! Starts the run of a schedule's time, once for each time however often its event is delivered, unless it comes so late that it counts as
//! missed.

use std::time::Duration;

use jiff::Timestamp;
use runvoy_api_types::{OnMissed, Schedule, ScheduledPlaybook, ScheduledTime, Status, User};

use super::{
    change,
    record::{self, Record, State},
};
use crate::{
    App, Error, RequestId, Result,
    audit::Actor,
    auth::{Action, Principal, Resource, Role, policy},
    boxed,
    execution::{ExecutionId, ExecutionRecord, Idempotency, RunRequest, ValidRun},
    run::{self, Submission},
    table,
};

/// The delay from which a time counts as missed. Lambda repeats an event that failed after one minute and after two more.
const MISSED_AFTER: Duration = Duration::from_mins(10);
/// The name in the audit of what acts at a schedule's time.
const ACTOR: &str = "schedule";

/// A time of a schedule that has come, as its event says.
#[derive(Clone, Debug)]
pub struct Due {
    pub schedule: String,
    /// Stands for the times that AWS had when it sent the event.
    pub timing_id: String,
    pub scheduled_at: Timestamp,
}

/// Starts the run of a time that has come. Its idempotency key is the schedule and the time, so that an event that is delivered twice
/// starts one run. A run that cannot start is shown with the reason.
///
/// # Errors
/// [`Error::Aws`] when the event is to be delivered again.
pub async fn fire(app: &App, due: &Due, request_id: &RequestId) -> Result<()> {
    let Ok(name) = due.schedule.parse() else { return Ok(()) };
    let record = match record::read(app, &name).await? {
        Some(record) if record.state == State::Active => record,
        _ => {
            tracing::warn!(schedule = %name, "ignored: no such schedule");
            return Ok(());
        }
    };
    if due.timing_id != record.timing_id {
        // AWS has sent it by times that the schedule had before. It has the new ones by now, unless a change was abandoned, or a late call of an
        // earlier change came after the last one.
        let is_new = due.scheduled_at >= record.timing_since;
        if is_new || record.pending.is_some() {
            complete(app, &record, request_id).await?;
        }
        let is_of_schedule = if is_new {
            record.timing()?.has(due.scheduled_at, record.timing_since)
        } else {
            due.scheduled_at >= record.schedule.created_at
        };
        if !is_of_schedule {
            tracing::info!(schedule = %name, scheduled_at = %due.scheduled_at, "ignored: the schedule has other times now");
            return Ok(());
        }
    }
    if !record.schedule.enabled {
        tracing::info!(schedule = %name, scheduled_at = %due.scheduled_at, "ignored: the schedule is paused");
        return Ok(());
    }
    if is_missed(app, &record, due.scheduled_at)? {
        let reason = Some("missed: it could not start for ten minutes".to_owned());
        tracing::warn!(schedule = %name, scheduled_at = %due.scheduled_at, "missed");
        let time = ScheduledTime { scheduled_at: due.scheduled_at, execution_id: None, status: None, reason };
        return record::note_time(app, &record, time).await;
    }
    let (execution_id, reason) = match start(app, &record, due, request_id).await {
        Ok((id, reason)) => (Some(id), reason),
        Err(error @ (Error::Aws { .. } | Error::Internal { .. })) => return Err(error),
        // This version of the program refuses a run that an earlier one has taken.
        Err(refused) => (None, Some(refused.to_string())),
    };
    let time = ScheduledTime { scheduled_at: due.scheduled_at, execution_id, status: None, reason };
    record::note_time(app, &record, time).await?;
    if owner(app, &record).await?.is_none() {
        let reason = record.paused_for();
        change::pause(app, record, reason, &Actor::program(ACTOR, request_id)).await?;
    }
    Ok(())
}

/// Brings AWS to a record that it does not follow, and makes up for the last time that came while it had others: that time's run starts, or the
/// time was missed, unless either was so before. Returns `false` if another invocation does it, or the schedule has been changed.
///
/// # Errors
/// [`Error::Aws`] when AWS fails. The record stays `pending` then, and the next call does it all again.
#[boxed]
pub(super) async fn complete(app: &App, record: &Record, request_id: &RequestId) -> Result<bool> {
    if !change::bring_again(app, record).await? {
        return Ok(false);
    }
    let (timing, begin) = (record.timing()?, record.timing_since);
    let passed = std::iter::successors(timing.first(begin), |last| timing.after(*last, begin));
    if let Some(scheduled_at) = passed.take_while(|time| *time <= app.now()).last() {
        let schedule = record.schedule.name.to_string();
        fire(app, &Due { schedule, timing_id: record.timing_id.clone(), scheduled_at }, request_id).await?;
    }
    record::settled(app, &record.schedule.name, &record.timing_id).await.map(|()| true)
}

/// The user whose rights the runs have, unless that user has been revoked.
async fn owner(app: &App, record: &Record) -> Result<Option<User>> {
    let email = record.schedule.runs_as.as_str();
    let user: Option<User> = table::get(&app.aws.dynamodb, &app.config.tables.users, "email", email).await?;
    Ok(user.filter(|user| !user.revoked))
}

/// Makes the execution of a time. One that cannot start is FAILED, with the reason, which is in the answer too.
async fn start(app: &App, record: &Record, due: &Due, request_id: &RequestId) -> Result<(ExecutionId, Option<String>)> {
    let schedule = &record.schedule;
    let user = owner(app, record).await?;
    let role = user.as_ref().map(|user| user.role);
    // A user who has been revoked may do nothing. The execution that says so belongs to them.
    let principal = Principal::without_key(schedule.runs_as.clone(), role.unwrap_or(Role::Viewer));
    let actor = Actor { name: principal.email.to_string(), ..Actor::program(ACTOR, request_id) };
    let source = format!("schedule:{}", schedule.name);
    let idempotency = Idempotency::of_schedule(schedule, due.scheduled_at);
    let request = match &schedule.run {
        Some(run) => super::check_run(run)?,
        None => placeholder(schedule)?,
    };
    let submission = Submission {
        request: &request,
        principal: &principal,
        actor: &actor,
        source: &source,
        idempotency: Some(&idempotency),
        rights_of: None,
        playbook_version: None,
        approvals: None,
    };
    // Runs are boxed, since futures within futures take more of a thread's stack than it has.
    let submitted = async {
        if role.is_none() {
            return Err(Error::conflict(record.revoked()));
        }
        match &schedule.playbook {
            Some(playbook) => Box::pin(run_playbook(app, playbook, submission)).await,
            None => {
                policy::authorize(&principal, Action::Run, Resource::Account)?;
                Box::pin(run::submit(app, submission)).await
            }
        }
    };
    let refused = match submitted.await {
        Ok(submitted) => return Ok((submitted.execution.execution_id, None)),
        // Nothing is wrong with the schedule, and the event is delivered again.
        Err(error @ (Error::Aws { .. } | Error::Internal { .. })) => return Err(error),
        Err(refused) => refused,
    };
    tracing::warn!(schedule = %schedule.name, error = %refused, "the run of a schedule could not start");
    let failed = Box::pin(run::submit_failed(app, submission, &refused.to_string())).await?;
    // A copy of the event may have made an execution that runs.
    let reason = failed.execution.stopped_reason.filter(|_| failed.execution.status == Status::Failed);
    Ok((failed.execution.execution_id, reason))
}

/// Submits the run of a schedule's playbook, as it is published now.
async fn run_playbook(app: &App, playbook: &ScheduledPlaybook, of_schedule: Submission<'_>) -> Result<ExecutionRecord> {
    let Submission { principal, actor, source, idempotency, .. } = of_schedule;
    if let Some(idempotency) = idempotency
        && let Some(earlier) = idempotency.find_first(app).await?
    {
        return Ok(earlier);
    }
    let prepared = super::prepare_playbook(app, playbook, principal).await?;
    let submission = Submission {
        source,
        playbook_version: Some(prepared.version()),
        ..prepared.submission(principal, actor, idempotency)
    };
    run::submit_with(app, submission, &prepared.image, &prepared.secrets).await
}

/// The request that an execution shows when its playbook could not run.
fn placeholder(schedule: &Schedule) -> Result<ValidRun> {
    let name = schedule.playbook.as_ref().map(|playbook| playbook.name.as_str()).unwrap_or_default();
    ValidRun::try_from(RunRequest { command: format!("# playbook {name}"), ..RunRequest::default() })
}

/// Tells whether nothing runs for a time that comes late. Of several that were missed, the last one runs if the schedule says so.
fn is_missed(app: &App, record: &Record, scheduled_at: Timestamp) -> Result<bool> {
    let now = app.now();
    if now.duration_since(scheduled_at) < jiff::SignedDuration::try_from(MISSED_AFTER).unwrap_or_default() {
        return Ok(false);
    }
    let is_last = record.timing()?.after(scheduled_at, record.timing_since).is_none_or(|next| next > now);
    Ok(record.schedule.on_missed == OnMissed::Skip || !is_last)
}
