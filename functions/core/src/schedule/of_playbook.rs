//! Makes, changes and deletes the schedules that a published playbook has.
//!
//! Each change is made only while no other request has published or deleted the playbook, so that the schedules are those of its newest
//! version whichever request comes first.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::TransactWriteItem;
use runvoy_api_types::{
    BroughtSchedule, PlaybookName, PlaybookSchedule, RequestedValue, Schedule, ScheduleName, ScheduleOutcome,
    ScheduledPlaybook,
};

use super::{
    NewSchedule, ScheduleChange, Times, Timing, What,
    beside::Beside,
    change,
    entry::entry,
    record::{self, Record, State},
    removal,
    timing::DEFAULT_ZONE,
};
use crate::{App, Email, Error, Result, audit::Actor, auth::Action, boxed};

/// A playbook whose schedules are being brought to what it says.
pub(crate) struct Part<'a> {
    pub(crate) playbook: &'a PlaybookName,
    /// The user who published it, with whose right the schedules run it.
    pub(crate) by: &'a Email,
    /// Refuses a change once another publication has come.
    pub(crate) guard: TransactWriteItem,
    /// Tells the changes of one request apart.
    pub(crate) number: usize,
}

impl Part<'_> {
    fn beside(&self) -> Beside {
        Beside { guard: self.guard.clone(), number: self.number }
    }

    fn brought(&self, change: ScheduleOutcome, schedule: &Schedule) -> BroughtSchedule {
        BroughtSchedule { name: schedule.name.clone(), change, next_at: schedule.next_at }
    }
}

/// An empty text means the same as an absent one.
fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty()).cloned()
}

fn zone(words: &PlaybookSchedule) -> String {
    given(words.timezone.as_ref()).unwrap_or_else(|| DEFAULT_ZONE.to_owned())
}

fn times(words: &PlaybookSchedule) -> Times {
    let PlaybookSchedule { cron, rate, at, .. } = words;
    Times {
        cron: given(cron.as_ref()),
        rate: given(rate.as_ref()),
        at: given(at.as_ref()),
        timezone: Some(zone(words)),
    }
}

fn what(playbook: &PlaybookName, words: &PlaybookSchedule) -> ScheduledPlaybook {
    let values = words.parameters.iter().map(|(name, value)| (name.clone(), RequestedValue(value.clone())));
    ScheduledPlaybook { name: playbook.to_string(), version: None, parameters: values.collect::<BTreeMap<_, _>>() }
}

fn has_these_times(schedule: &Schedule, words: &PlaybookSchedule) -> bool {
    let Times { cron, rate, at, .. } = times(words);
    (schedule.cron.as_ref(), schedule.rate.as_ref(), schedule.at.as_ref())
        == (cron.as_ref(), rate.as_ref(), at.as_ref())
        && schedule.timezone == zone(words)
}

/// Checks the times of a schedule that a playbook is to have. With its name, also that the schedule is or can become one of the playbook.
///
/// # Errors
/// [`Error::Invalid`] with the field, [`Error::Conflict`] for the name of a schedule that is none of the playbook's.
pub(crate) async fn check_part(
    app: &App,
    words: &PlaybookSchedule,
    of: Option<(&PlaybookName, &ScheduleName)>,
) -> Result<()> {
    let Times { cron, rate, at, .. } = times(words);
    let timing = Timing::parse(cron.as_deref(), rate.as_deref(), at.as_deref(), &zone(words))?;
    let present = match of {
        Some((playbook, name)) => {
            let found = record::read(app, name).await?.filter(|record| record.state == State::Active);
            if found.as_ref().is_some_and(|found| found.schedule.of_playbook.as_ref() != Some(playbook)) {
                return Err(is_another(name));
            }
            found
        }
        // Without a name, it may be one that has run its only time.
        None => return Ok(()),
    };
    match present {
        // One that has run its only time stays as it is.
        Some(present) if has_these_times(&present.schedule, words) => Ok(()),
        _ => change::refuse_what_is_over(app, &timing),
    }
}

fn is_another(name: &ScheduleName) -> Error {
    Error::conflict(format!("a schedule {name} exists already, and is none of the playbook"))
        .with_hint("give the playbook's schedule another name, or delete that one")
        .at_field("name")
}

/// Makes a schedule be as its playbook says.
///
/// # Errors
/// [`Error::Conflict`] for a schedule that is none of the playbook's, and once another request has published the playbook.
#[boxed]
pub(crate) async fn keep_part(
    app: &App,
    name: &ScheduleName,
    words: &PlaybookSchedule,
    part: &Part<'_>,
    actor: &Actor,
) -> Result<BroughtSchedule> {
    let beside = part.beside();
    let what = what(part.playbook, words);
    let on_missed = words.on_missed.unwrap_or_default();
    let Some(record) = record::read(app, name).await?.filter(|record| record.state == State::Active) else {
        let new = NewSchedule {
            name: name.clone(),
            times: times(words),
            what: What::Playbook(what),
            on_missed,
            enabled: true,
            of_playbook: Some(part.playbook.clone()),
        };
        let made = change::create_beside(app, new, part.by, actor, Some(&beside)).await?;
        return Ok(part.brought(ScheduleOutcome::Created, &made));
    };
    let schedule = &record.schedule;
    if schedule.of_playbook.as_ref() != Some(part.playbook) {
        return Err(is_another(name));
    }
    let times = if has_these_times(schedule, words) { Times::default() } else { times(words) };
    let is_what_new = schedule.playbook.as_ref() != Some(&what) || schedule.runs_as != *part.by;
    let is_new = times.timezone.is_some() || is_what_new || schedule.on_missed != on_missed;
    if !is_new {
        let mut shown = record::shown(app, vec![record]).await?;
        let kept = shown.pop().ok_or_else(|| Error::internal("a schedule that was read is not shown"))?;
        return Ok(part.brought(ScheduleOutcome::Kept, &kept));
    }
    let change = ScheduleChange {
        times,
        what: is_what_new.then_some(What::Playbook(what)),
        on_missed: Some(on_missed),
        // The schedule may have been paused because the user whose rights it had was revoked. Now it has those of the publisher.
        enabled: (is_what_new && schedule.paused_reason.is_some()).then_some(true),
    };
    let changed = change::update_beside(app, record, change, part.by, actor, Some(&beside)).await?;
    Ok(part.brought(ScheduleOutcome::Changed, &changed))
}

/// Deletes a schedule that its playbook has no more. `None` when there is no schedule of this name that is the playbook's.
///
/// # Errors
/// [`Error::Conflict`] while another change is under way, and once another request has published the playbook; [`Error::Aws`] when AWS
/// fails.
pub(crate) async fn remove_part(
    app: &App,
    name: &ScheduleName,
    part: &Part<'_>,
    actor: &Actor,
) -> Result<Option<BroughtSchedule>> {
    let is_its =
        |record: &Record| record.state == State::Active && record.schedule.of_playbook.as_ref() == Some(part.playbook);
    let Some(record) = record::read(app, name).await?.filter(is_its) else { return Ok(None) };
    let entry = entry(app, &record, actor, Action::DeleteSchedule);
    let is_removed = removal::remove(app, &record, actor, &[entry], Some(&part.beside())).await?;
    let gone = BroughtSchedule { name: name.clone(), change: ScheduleOutcome::Deleted, next_at: None };
    Ok(is_removed.then_some(gone))
}
