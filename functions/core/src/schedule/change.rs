//! Creates and changes schedules.
//!
//! No transaction covers DynamoDB and the Scheduler. The record therefore changes first, with its entry in the audit, and says that AWS
//! may not have the change yet (`pending`). Then AWS is brought to it, which can be repeated, and the mark is removed. After a crash in
//! between, the schedule's next event or reconcile does the rest. A second change waits until the first has ended or is abandoned, so that
//! no earlier one overtakes a later one in AWS.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use runvoy_api_types::{OnMissed, PlaybookName, Schedule, ScheduleName, ScheduledPlaybook, ScheduledRun};

use super::{
    Timing, What,
    beside::Beside,
    entry::{changed_fields, entry},
    record::{self, Record, State, abandoned_before, part_of, under_way},
    removal, resource, scheduler,
    timing::DEFAULT_ZONE,
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    boxed,
    table::{self, Transacted, string},
    time,
};

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

fn parts(what: What) -> (Option<ScheduledRun>, Option<ScheduledPlaybook>) {
    match what {
        What::Run(run) => (Some(*run), None),
        What::Playbook(playbook) => (None, Some(playbook)),
    }
}

/// Creates a schedule.
///
/// # Errors
/// [`Error::Conflict`] when there is one of this name, [`Error::Invalid`] for times that cannot be read or are over.
pub async fn create(app: &App, new: NewSchedule, by: &Email, actor: &Actor) -> Result<Schedule> {
    create_beside(app, new, by, actor, None).await
}

/// As [`create`], with the write that a playbook's publication adds, if it is made for one.
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
        resumed_at: None,
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
            let _ = removal::remove(app, &undone, actor, &[], beside).await;
            return Err(refused);
        }
    }
    show(app, record).await
}

/// Changes a schedule.
///
/// # Errors
/// [`Error::Conflict`] while another change is under way and for what only its playbook can change, [`Error::NotFound`] when it has been
/// deleted meanwhile, [`Error::Invalid`] for times that cannot be read or are over.
pub async fn update(app: &App, name: &str, change: ScheduleChange, by: &Email, actor: &Actor) -> Result<Schedule> {
    let record = record::active(app, name).await?;
    if let Some(playbook) = &record.schedule.of_playbook
        && change.is_of_playbook()
    {
        return Err(part_of(playbook));
    }
    update_beside(app, record, change, by, actor, None).await
}

/// As [`update`], of a record that was read, with the write that a playbook's publication adds, if it is made for one.
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
        // A person has changed the schedule meanwhile. The user is checked again at its next time.
        Err(Error::Conflict(_) | Error::NotFound { .. }) => Ok(()),
        done => done.map(drop),
    }
}

/// Writes a changed record, and brings AWS to it.
#[boxed]
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
    if record.is_being_brought(app) {
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
        record.resumed_at = None;
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

/// Brings AWS to a record that it does not follow, and leaves it `pending`. Returns `false`, and leaves AWS as it is, while another invocation may
/// be doing so, or if the schedule has been changed since the record was read: an old record that is brought last would leave AWS with old times.
pub(super) async fn bring_again(app: &App, record: &Record) -> Result<bool> {
    if record.is_being_brought(app) {
        return Ok(false);
    }
    let mut taken = record.clone();
    taken.revision = record.revision + 1;
    taken.pending = Some(taken.timing_id.clone());
    taken.resumed_at = Some(app.now());
    let take = record::replace(app, &taken, record.revision)?;
    if table::transact(app, vec![take]).await? != Transacted::Done {
        return Ok(false);
    }
    scheduler::bring(app, &taken).await.map(|()| true)
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
