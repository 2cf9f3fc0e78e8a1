//! Creates, changes and deletes schedules.
//!
//! No transaction covers DynamoDB and the Scheduler. The record therefore changes first, with its entry in the audit, and says that AWS
//! may not have the change yet (`pending`). Then AWS is brought to it, which can be repeated, and the mark is removed. After a crash in
//! between, the schedule's next event or reconcile does the rest. A second change waits until the first has ended or is abandoned, so that
//! no earlier one overtakes a later one in AWS.

use std::time::Duration;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::Timestamp;
use runvoy_api_types::{OnMissed, PlaybookName, Schedule, ScheduleName, ScheduledPlaybook, ScheduledRun};

use super::{
    Timing, What,
    beside::Beside,
    entry::{changed_fields, entry},
    record::{self, Record, State},
    resource, scheduler,
    timing::DEFAULT_ZONE,
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    table::{self, Transacted, string},
    time,
};

/// The time that a change may be under way before it counts as abandoned. No invocation works on it for so long.
pub(super) const ABANDONED_AFTER: Duration = Duration::from_mins(1);

/// The times of a schedule, as a caller gives them: one of the three, and a zone.
#[derive(Clone, Debug, Default)]
pub struct Times {
    pub cron: Option<String>,
    pub rate: Option<String>,
    pub at: Option<String>,
    pub timezone: Option<String>,
}

/// A schedule that is to be created. Its run is checked.
pub struct NewSchedule {
    pub name: ScheduleName,
    pub times: Times,
    pub what: What,
    pub on_missed: OnMissed,
    pub enabled: bool,
    pub of_playbook: Option<PlaybookName>,
}

/// Changes to a schedule. An absent one leaves the field as it is; of the three forms of a time, one replaces another.
#[derive(Default)]
pub struct ScheduleChange {
    pub times: Times,
    pub what: Option<What>,
    pub on_missed: Option<OnMissed>,
    pub enabled: Option<bool>,
}

impl ScheduleChange {
    /// Tells whether it changes what a playbook says of its schedules.
    fn is_of_playbook(&self) -> bool {
        let Times { cron, rate, at, timezone } = &self.times;
        cron.is_some()
            || rate.is_some()
            || at.is_some()
            || timezone.is_some()
            || self.what.is_some()
            || self.on_missed.is_some()
    }
}

/// A change that was under way at this time, and still is, has been abandoned by its invocation.
pub(super) fn abandoned_before(app: &App) -> Timestamp {
    let now = app.now();
    now.checked_sub(ABANDONED_AFTER).unwrap_or(now)
}

fn parts(what: What) -> (Option<ScheduledRun>, Option<ScheduledPlaybook>) {
    match what {
        What::Run(run) => (Some(*run), None),
        What::Playbook(playbook) => (None, Some(playbook)),
    }
}

/// Creates a schedule.
///
/// # Errors
/// [`Error::Conflict`] when there is one of this name, [`Error::Invalid`] for times that cannot be.
pub async fn create(app: &App, new: NewSchedule, by: &Email, actor: &Actor) -> Result<Schedule> {
    create_beside(app, new, by, actor, None).await
}

/// As [`create`], for a playbook.
pub(super) async fn create_beside(
    app: &App,
    new: NewSchedule,
    by: &Email,
    actor: &Actor,
    beside: Option<&Beside>,
) -> Result<Schedule> {
    let NewSchedule { name, times, what, on_missed, enabled, of_playbook } = new;
    let (run, playbook) = parts(what);
    let (now, request_id) = (app.now(), &actor.request_id);
    let timezone = times.timezone.unwrap_or_else(|| DEFAULT_ZONE.to_owned());
    let record = Record {
        schedule: Schedule {
            name: name.clone(),
            cron: times.cron,
            rate: times.rate,
            at: times.at,
            timezone,
            run,
            playbook,
            on_missed,
            enabled,
            paused_reason: None,
            next_at: None,
            last_execution_id: None,
            last_status: None,
            recent: Vec::new(),
            runs_as: by.clone(),
            of_playbook,
            created_by: by.clone(),
            owned_by: vec![by.clone()],
            shared_with: None,
            created_at: now,
            updated_at: now,
            updated_by: by.clone(),
            created_by_request_id: request_id.clone(),
            modified_by_request_id: request_id.clone(),
        },
        state: State::Active,
        revision: 1,
        timing_id: Beside::timing_id(beside, actor),
        timing_since: now,
        pending: Some(Beside::timing_id(beside, actor)),
        times: Default::default(),
    };
    refuse_what_is_over(app, &record.timing()?)?;
    let entry = entry(app, &record, actor, Action::CreateSchedule);
    let put = Put::builder()
        .table_name(&app.config.tables.schedules)
        .set_item(Some(table::to_item(&record)?))
        // A name whose deletion was abandoned is free. The last alternative is this write itself, repeated because the answer to its first
        // try was lost.
        .condition_expression(
            "attribute_not_exists(#name) OR (#state = :deleting AND updated_at < :abandoned) \
             OR (#state = :active AND created_by_request_id = :request AND revision = :first)",
        )
        .expression_attribute_names("#name", "name")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":deleting", string(<&str>::from(State::Deleting)))
        .expression_attribute_values(":active", string(<&str>::from(State::Active)))
        .expression_attribute_values(":first", table::number(1))
        .expression_attribute_values(":request", string(request_id.as_str()))
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))))
        .build()?;
    let put = TransactWriteItem::builder().put(put).build();
    match audit::transact(app, Beside::writes(beside, put), &[entry]).await? {
        Transacted::Done => {}
        Transacted::Refused(0) => {
            return Err(Error::conflict(format!("a schedule {name:?} exists already", name = name.as_str()))
                .with_hint("change it with PUT, or choose another name")
                .at_field("name"));
        }
        Transacted::Refused(_) => return Err(under_way()),
    }
    match scheduler::bring(app, &record).await {
        Ok(()) => record::settled(app, &name, &record.timing_id).await?,
        Err(refused) => {
            // AWS may have it although the call failed. If it cannot be removed either, the record stays `pending`, so that reconcile
            // completes it.
            let mut undone = record.clone();
            undone.schedule.modified_by_request_id = request_id.clone();
            let _ = remove(app, &undone, actor, &[], beside).await;
            return Err(refused);
        }
    }
    show(app, record).await
}

/// Changes a schedule.
///
/// # Errors
/// [`Error::Conflict`] while another change is under way, [`Error::NotFound`] when it has been deleted meanwhile.
pub async fn update(app: &App, name: &str, change: ScheduleChange, by: &Email, actor: &Actor) -> Result<Schedule> {
    let record = record::active(app, name).await?;
    if let Some(playbook) = &record.schedule.of_playbook
        && change.is_of_playbook()
    {
        return Err(part_of(playbook));
    }
    update_beside(app, record, change, by, actor, None).await
}

/// The refusal of a change that a playbook makes.
fn part_of(playbook: &PlaybookName) -> Error {
    Error::conflict(format!("the schedule is a part of the playbook {playbook}"))
        .with_hint("change the schedules of the playbook, and publish it; here, a schedule can be paused and resumed")
}

/// As [`update`], of a record that was read, for a playbook.
pub(super) async fn update_beside(
    app: &App,
    mut record: Record,
    change: ScheduleChange,
    by: &Email,
    actor: &Actor,
    beside: Option<&Beside>,
) -> Result<Schedule> {
    let revision = record.revision;
    let before = record.schedule.clone();
    let schedule = &mut record.schedule;
    let was_enabled = schedule.enabled;
    let Times { cron, rate, at, timezone } = change.times;
    let is_timing_new = cron.is_some() || rate.is_some() || at.is_some() || timezone.is_some();
    if cron.is_some() || rate.is_some() || at.is_some() {
        (schedule.cron, schedule.rate, schedule.at) = (cron, rate, at);
    }
    schedule.timezone = timezone.unwrap_or_else(|| schedule.timezone.clone());
    if let Some(what) = change.what {
        (schedule.run, schedule.playbook) = parts(what);
        schedule.runs_as = by.clone();
    }
    schedule.on_missed = change.on_missed.unwrap_or(schedule.on_missed);
    schedule.enabled = change.enabled.unwrap_or(schedule.enabled);
    if change.enabled.is_some() {
        schedule.paused_reason = None;
    }
    let is_resumed = schedule.enabled && !was_enabled;
    let is_new_for_aws = is_timing_new || schedule.enabled != was_enabled;
    let timing = record.timing()?;
    if is_timing_new || is_resumed {
        refuse_what_is_over(app, &timing)?;
    }
    let entry = entry(app, &record, actor, Action::UpdateSchedule)
        .detail("changed", changed_fields(&before, &record.schedule)?);
    store(app, record, revision, is_new_for_aws, by, (actor, beside), entry).await
}

/// Pauses a schedule for a reason that its users are to see.
pub(super) async fn pause(app: &App, mut record: Record, reason: String, actor: &Actor) -> Result<()> {
    let revision = record.revision;
    record.schedule.enabled = false;
    record.schedule.paused_reason = Some(reason.clone());
    let by = record.schedule.updated_by.clone();
    let entry =
        Entry::done(app, actor, Action::UpdateSchedule, resource(&record.schedule).name()).detail("paused", reason);
    match store(app, record, revision, true, &by, (actor, None), entry).await {
        // A person has changed it meanwhile. Its next time looks again.
        Err(Error::Conflict(_) | Error::NotFound { .. }) => Ok(()),
        done => done.map(drop),
    }
}

/// Writes a changed record, and brings AWS to it.
async fn store(
    app: &App,
    mut record: Record,
    revision: u64,
    is_new_for_aws: bool,
    by: &Email,
    (actor, beside): (&Actor, Option<&Beside>),
    entry: Entry,
) -> Result<Schedule> {
    let now = app.now();
    if record.pending.is_some() && record.schedule.updated_at >= abandoned_before(app) {
        return Err(under_way());
    }
    let is_new_for_aws = is_new_for_aws || record.pending.is_some();
    record.revision = revision + 1;
    record.schedule.updated_at = now;
    record.schedule.updated_by = by.clone();
    record.schedule.modified_by_request_id = actor.request_id.clone();
    if is_new_for_aws {
        record.timing_id = Beside::timing_id(beside, actor);
        record.timing_since = now;
        record.pending = Some(record.timing_id.clone());
    }
    let write = record::replace(app, &record, revision)?;
    if audit::transact(app, Beside::writes(beside, write), &[entry]).await? != Transacted::Done {
        // Another change came first, or this one did, and the answer to its first try was lost.
        let found = record::active(app, record.schedule.name.as_str()).await?;
        if found.schedule.modified_by_request_id != actor.request_id {
            return Err(under_way());
        }
    }
    if is_new_for_aws {
        scheduler::bring(app, &record).await?;
        record::settled(app, &record.schedule.name, &record.timing_id).await?;
    }
    show(app, record).await
}

fn under_way() -> Error {
    Error::conflict("another change of the schedule is under way").with_hint("look at it again, and repeat yours")
}

/// Deletes a schedule: in AWS first, then its record.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it.
pub async fn delete(app: &App, name: &str, actor: &Actor) -> Result<()> {
    let record = record::active(app, name).await?;
    if let Some(playbook) = &record.schedule.of_playbook {
        return Err(part_of(playbook));
    }
    let entry = entry(app, &record, actor, Action::DeleteSchedule);
    if remove(app, &record, actor, &[entry], None).await? { Ok(()) } else { Err(Error::not_found("schedule", name)) }
}

/// Marks a schedule as being deleted, then removes it from AWS, and its record. `false` when it is gone already.
///
/// # Errors
/// [`Error::Conflict`] while another change is under way, which could bring to AWS what is deleted.
pub(super) async fn remove(
    app: &App,
    record: &Record,
    actor: &Actor,
    entries: &[Entry],
    beside: Option<&Beside>,
) -> Result<bool> {
    let Schedule { name, created_by_request_id: created, .. } = &record.schedule;
    let mark = mark_deleting(app, name, actor)
        .condition_expression(
            "#state = :active AND created_by_request_id = :created AND (attribute_not_exists(pending) OR updated_at < :abandoned OR \
             modified_by_request_id = :request)",
        )
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))))
        .expression_attribute_values(":active", string(<&str>::from(State::Active)))
        .expression_attribute_values(":created", string(created.as_str()));
    if finish_removal(app, name, mark, actor, entries, beside).await? {
        return Ok(true);
    }
    match record::read(app, name).await? {
        Some(found) if found.state == State::Active && found.schedule.created_by_request_id == *created => {
            Err(under_way())
        }
        _ => Ok(false),
    }
}

/// Goes on with a deletion that was abandoned. Returns whether it still was.
pub(super) async fn resume_removal(app: &App, name: &ScheduleName, actor: &Actor) -> Result<bool> {
    let mark = mark_deleting(app, name, actor)
        .condition_expression("#state = :deleting AND updated_at < :abandoned")
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))));
    finish_removal(app, name, mark, actor, &[], None).await
}

fn mark_deleting(app: &App, name: &ScheduleName, actor: &Actor) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
    record::update_of(app, name)
        .update_expression("SET #state = :deleting, updated_at = :now, modified_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":deleting", string(<&str>::from(State::Deleting)))
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .expression_attribute_values(":request", string(actor.request_id.as_str()))
}

async fn finish_removal(
    app: &App,
    name: &ScheduleName,
    mark: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    actor: &Actor,
    entries: &[Entry],
    beside: Option<&Beside>,
) -> Result<bool> {
    let mark = TransactWriteItem::builder().update(mark.build()?).build();
    if audit::transact(app, Beside::writes(beside, mark), entries).await? != Transacted::Done {
        return Ok(false);
    }
    scheduler::delete(app, name).await?;
    record::remove(app, name, &actor.request_id).await.map(|()| true)
}

/// Brings AWS to a record again whose change was abandoned. Returns whether it still was.
pub(super) async fn resume_change(app: &App, record: &Record) -> Result<bool> {
    let Some(pending) = record.pending.as_deref() else { return Ok(false) };
    if record.schedule.updated_at >= abandoned_before(app) {
        return Ok(false);
    }
    scheduler::bring(app, record).await?;
    record::settled(app, &record.schedule.name, pending).await.map(|()| true)
}

pub(super) fn refuse_what_is_over(app: &App, timing: &Timing) -> Result<()> {
    if timing.after(app.now(), app.now()).is_some() {
        return Ok(());
    }
    let field = if timing.is_once() { "at" } else { "cron" };
    Err(Error::invalid("the schedule has no time to come")
        .with_hint("give it a time to come, before the end of the year 9999")
        .at_field(field))
}

async fn show(app: &App, record: Record) -> Result<Schedule> {
    let mut shown = record::shown(app, vec![record]).await?;
    shown.pop().ok_or_else(|| Error::internal("a schedule that was just written is not shown"))
}
