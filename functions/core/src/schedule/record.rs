//! Reads and writes the items of the schedules table.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use aws_sdk_dynamodb::types::{TransactWriteItem, Update, builders::UpdateBuilder};
use jiff::Timestamp;
use runvoy_api_types::{ExecutionId, PlaybookName, Schedule, ScheduleName, ScheduledTime, Status};
use serde::{Deserialize, Serialize};

use super::Timing;
use crate::{App, Email, Error, RequestId, Result, execution, table, table::string, time, user};

/// The time that a change may be under way before it counts as abandoned. No invocation works on it for so long.
const ABANDONED_AFTER: Duration = Duration::from_mins(1);
/// The number of past times whose outcome the record keeps. The console shows them as a row of marks.
pub(super) const KEPT_TIMES: usize = 10;
/// Attributes that a change of the record does not write: the key, and what the schedule's times write.
const NOT_CHANGED: [&str; 2] = ["name", "times"];
/// Attributes that a record may lack.
const OPTIONAL: [&str; 10] =
    ["of_playbook", "run", "playbook", "cron", "rate", "at", "paused_reason", "shared_with", "pending", "resumed_at"];

/// The state of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(super) enum State {
    Active,
    /// It is gone for its users, and its schedule in AWS is being deleted.
    Deleting,
}

/// An item of the schedules table. It says what AWS is to have, and whether AWS may not have it yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) schedule: Schedule,
    pub(super) state: State,
    /// Counts the changes, and the times that AWS was brought to the record again, so that a change that has read the record notices another.
    pub(super) revision: u64,
    /// Stands for the times of the schedule. Each of its events names it, so that an event of earlier times is recognized.
    pub(super) timing_id: String,
    /// Since when the schedule has these times.
    #[serde(with = "time::as_rfc3339")]
    pub(super) timing_since: Timestamp,
    /// The timing that AWS may not have yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<String>,
    /// When an invocation last brought AWS to the record again, because AWS did not follow it.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(super) resumed_at: Option<Timestamp>,
    /// The results of the last times, by time.
    #[serde(default)]
    pub(super) times: BTreeMap<String, ScheduledTime>,
}

impl Record {
    pub(super) fn timing(&self) -> Result<Timing> {
        let schedule = &self.schedule;
        Timing::parse(schedule.cron.as_deref(), schedule.rate.as_deref(), schedule.at.as_deref(), &schedule.timezone)
    }

    /// The next time, unless the schedule is paused or over.
    pub(super) fn next_at(&self, app: &App) -> Option<Timestamp> {
        let timing = self.timing().ok().filter(|_| self.schedule.enabled)?;
        timing.after(app.now(), self.timing_since)
    }

    /// Tells whether an invocation may be bringing AWS to this record.
    pub(super) fn is_being_brought(&self, app: &App) -> bool {
        let changed = self.schedule.updated_at;
        self.pending.is_some() && self.resumed_at.map_or(changed, |at| at.max(changed)) >= abandoned_before(app)
    }

    /// The reason for which a schedule pauses whose user has been revoked.
    pub(super) fn paused_for(&self) -> String {
        format!("{}; an owner who saves its run again runs it with rights of their own", self.revoked())
    }

    pub(super) fn revoked(&self) -> String {
        format!("{} has been revoked, and the schedule runs with their rights", self.schedule.runs_as)
    }

    /// Ids of executions of which the record does not know that they have ended.
    fn open_executions(&self) -> impl Iterator<Item = &ExecutionId> {
        let open = |time: &&ScheduledTime| !time.status.is_some_and(Status::is_terminal);
        self.times.values().filter(open).filter_map(|time| time.execution_id.as_ref())
    }

    /// The schedule as the API shows it.
    fn shown(mut self, app: &App, statuses: &HashMap<ExecutionId, Status>, active: &BTreeSet<Email>) -> Schedule {
        self.schedule.next_at = self.next_at(app);
        // The schedule is shown as paused before its record says so: `fire` writes that when the next time comes, unless the record has
        // been changed or the user let in again by then.
        if self.schedule.enabled && !active.contains(&self.schedule.runs_as) {
            self.schedule.enabled = false;
            self.schedule.next_at = None;
            self.schedule.paused_reason = Some(self.paused_for());
        }
        let mut recent: Vec<ScheduledTime> = self.times.into_values().rev().collect();
        for time in &mut recent {
            if let Some(status) = time.execution_id.as_ref().and_then(|id| statuses.get(id)) {
                time.status = Some(*status);
            }
        }
        let last = recent.iter().find(|time| time.execution_id.is_some());
        self.schedule.last_execution_id = last.and_then(|time| time.execution_id.clone());
        self.schedule.last_status = last.and_then(|time| time.status);
        self.schedule.recent = recent;
        self.schedule
    }
}

/// The record of this name, in any state, strongly consistent.
pub(super) async fn read(app: &App, name: &ScheduleName) -> Result<Option<Record>> {
    table::get(&app.aws.dynamodb, &app.config.tables.schedules, "name", name.as_str()).await
}

/// The record of a schedule that its users see.
///
/// # Errors
/// [`Error::NotFound`], also for a text that no schedule can be named.
pub(super) async fn active(app: &App, name: &str) -> Result<Record> {
    let missing = || Error::not_found("schedule", name);
    let name: ScheduleName = name.parse().map_err(|_| missing())?;
    read(app, &name).await?.filter(|record| record.state == State::Active).ok_or_else(missing)
}

/// All records, in any state.
pub(super) async fn all(app: &App) -> Result<Vec<Record>> {
    table::scan(&app.aws.dynamodb, &app.config.tables.schedules).await
}

/// The schedules as the API shows them, with the statuses of their executions.
pub(super) async fn shown(app: &App, records: Vec<Record>) -> Result<Vec<Schedule>> {
    let open: Vec<ExecutionId> = records.iter().flat_map(Record::open_executions).cloned().collect();
    let runs_as: Vec<&Email> = records.iter().map(|record| &record.schedule.runs_as).collect();
    let (statuses, active) = tokio::try_join!(execution::statuses(app, &open), user::active(app, &runs_as))?;
    Ok(records.into_iter().map(|record| record.shown(app, &statuses, &active)).collect())
}

/// The write that replaces a record, if it has this revision. The attributes in [`NOT_CHANGED`] stay as they are.
pub(super) fn replace(app: &App, record: &Record, revision: u64) -> Result<TransactWriteItem> {
    let item = table::to_item(record)?;
    let mut expression = Vec::new();
    let mut update = update_of(app, &record.schedule.name);
    for (at, (name, value)) in item.iter().filter(|(name, _)| !NOT_CHANGED.contains(&name.as_str())).enumerate() {
        expression.push(format!("#a{at} = :a{at}"));
        update = update.expression_attribute_names(format!("#a{at}"), name);
        update = update.expression_attribute_values(format!(":a{at}"), value.clone());
    }
    let mut expression = format!("SET {}", expression.join(", "));
    let absent = OPTIONAL.iter().filter(|name| !item.contains_key(**name)).enumerate();
    for (at, name) in absent {
        expression.push_str(if at == 0 { " REMOVE " } else { ", " });
        expression.push_str(&format!("#r{at}"));
        update = update.expression_attribute_names(format!("#r{at}"), *name);
    }
    let update = update
        .update_expression(expression)
        .condition_expression("#state = :active AND #revision = :before")
        .expression_attribute_names("#state", "state")
        .expression_attribute_names("#revision", "revision")
        .expression_attribute_values(":active", string(<&str>::from(State::Active)))
        .expression_attribute_values(":before", table::number(revision));
    Ok(TransactWriteItem::builder().update(update.build()?).build())
}

pub(super) fn update_of(app: &App, name: &ScheduleName) -> UpdateBuilder {
    Update::builder().table_name(&app.config.tables.schedules).key("name", string(name.as_str()))
}

/// Writes the outcome of a time, and removes the oldest ones. A time that has an execution keeps it. Also writes the statuses of earlier
/// executions that have ended since the last write.
pub(super) async fn note_time(app: &App, record: &Record, time: ScheduledTime) -> Result<()> {
    let open: Vec<ExecutionId> = record.open_executions().cloned().collect();
    let statuses = execution::statuses(app, &open).await?;
    let is_run = time.execution_id.is_some();
    let mut times = record.times.clone();
    let key = time::rfc3339(time.scheduled_at);
    let before: Vec<String> = times.keys().cloned().collect();
    times.insert(key.clone(), time);
    while times.len() > KEPT_TIMES {
        times.pop_first();
    }
    let mut update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.schedules)
        .key("name", string(record.schedule.name.as_str()))
        .condition_expression("created_by_request_id = :created")
        .expression_attribute_names("#times", "times")
        .expression_attribute_values(":created", string(record.schedule.created_by_request_id.as_str()));
    let (mut sets, mut removes) = (Vec::new(), Vec::new());
    for (at, (name, mut time)) in times.iter().map(|(name, time)| (name, time.clone())).enumerate() {
        let learned = time.execution_id.as_ref().and_then(|id| statuses.get(id)).filter(|status| status.is_terminal());
        if *name != key && learned.is_none() {
            continue;
        }
        time.status = learned.copied().or(time.status);
        let path = format!("#times.#t{at}");
        // A late copy of an event does not replace what the first one has led to.
        sets.push(if *name == key && !is_run {
            format!("{path} = if_not_exists({path}, :t{at})")
        } else {
            format!("{path} = :t{at}")
        });
        update = update
            .expression_attribute_names(format!("#t{at}"), name)
            .expression_attribute_values(format!(":t{at}"), serde_dynamo::to_attribute_value(&time)?);
    }
    for (at, name) in before.iter().filter(|name| !times.contains_key(*name)).enumerate() {
        removes.push(format!("#times.#r{at}"));
        update = update.expression_attribute_names(format!("#r{at}"), name);
    }
    if sets.is_empty() {
        // The time is older than all that are kept.
        return Ok(());
    }
    let mut expression = format!("SET {}", sets.join(", "));
    if !removes.is_empty() {
        expression.push_str(&format!(" REMOVE {}", removes.join(", ")));
    }
    let update = update.update_expression(expression);
    use table::WriteError as _;
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(()),
        // The schedule is gone.
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Notes that AWS has this timing.
pub(super) async fn settled(app: &App, name: &ScheduleName, timing_id: &str) -> Result<()> {
    let update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.schedules)
        .key("name", string(name.as_str()))
        .update_expression("REMOVE pending")
        .condition_expression("pending = :timing")
        .expression_attribute_values(":timing", string(timing_id));
    use table::WriteError as _;
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(()),
        // It was noted before, or another change is under way.
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the record of a schedule that is gone in AWS.
pub(super) async fn remove(app: &App, name: &ScheduleName, request_id: &RequestId) -> Result<()> {
    let delete = app
        .aws
        .dynamodb
        .delete_item()
        .table_name(&app.config.tables.schedules)
        .key("name", string(name.as_str()))
        .condition_expression("#state = :deleting AND modified_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":deleting", string(<&str>::from(State::Deleting)))
        .expression_attribute_values(":request", string(request_id.as_str()));
    use table::WriteError as _;
    match table::write(app, || delete.clone().send()).await {
        Ok(_) => Ok(()),
        // Another request has removed the record or taken it over.
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A change that was under way at this time, and still is, has been abandoned by its invocation.
pub(super) fn abandoned_before(app: &App) -> Timestamp {
    let now = app.now();
    now.checked_sub(ABANDONED_AFTER).unwrap_or(now)
}

/// The refusal of a change while another one is under way.
pub(super) fn under_way() -> Error {
    Error::conflict("another change of the schedule is under way").with_hint("look at it again, and repeat yours")
}

/// The refusal of a change that only a publication of the schedule's playbook can make.
pub(super) fn part_of(playbook: &PlaybookName) -> Error {
    Error::conflict(format!("the schedule is a part of the playbook {playbook}"))
        .with_hint("change the schedules of the playbook, and publish it; here, a schedule can be paused and resumed")
}
