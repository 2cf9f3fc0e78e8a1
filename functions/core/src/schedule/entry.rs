//! Makes the audit's entries of changes of schedules.

use std::collections::BTreeSet;

use runvoy_api_types::Schedule;
use serde_json::{Map, Value};

use super::{record::Record, resource};
use crate::{
    App, Error, Result,
    audit::{Actor, Entry},
    auth::Action,
    execution,
};

/// The audit's entry of a change. It has the names of variables, and none of their values.
pub(super) fn entry(app: &App, record: &Record, actor: &Actor, action: Action) -> Entry {
    let schedule = &record.schedule;
    let times = schedule.cron.as_ref().or(schedule.rate.as_ref()).or(schedule.at.as_ref());
    let (run, playbook) = (schedule.run.as_ref(), schedule.playbook.as_ref());
    let entry = Entry::done(app, actor, action, resource(schedule).name());
    if action == Action::DeleteSchedule {
        return entry;
    }
    entry
        .detail("times", times.cloned())
        .detail("timezone", schedule.timezone.clone())
        .detail("enabled", schedule.enabled)
        .detail("on_missed", schedule.on_missed.to_string())
        .detail("runs_as", schedule.runs_as.to_string())
        .detail("image", run.and_then(|run| run.image.clone()))
        .detail("variables", run.map(|run| run.env.keys().cloned().collect::<Vec<_>>()))
        .detail("secrets", run.map(|run| run.secrets.clone()))
        .detail("git_repo", run.and_then(|run| run.git_repo.as_deref()).map(execution::without_credentials))
        .detail("git_ref", run.and_then(|run| run.git_ref.clone()))
        .detail("lock", run.map(|run| run.lock.clone()))
        .detail("of_playbook", schedule.of_playbook.as_ref().map(ToString::to_string))
        .detail("playbook", playbook.map(|playbook| playbook.name.clone()))
        .detail("version", playbook.and_then(|playbook| playbook.version))
}

/// The names of the fields that differ, such as `run.command`, without their values.
pub(super) fn changed_fields(before: &Schedule, after: &Schedule) -> Result<Vec<String>> {
    let value = |schedule: &Schedule| {
        serde_json::to_value(schedule).map_err(|error| Error::internal_with("a schedule has no text", error))
    };
    let mut changed = Vec::new();
    let (before, after) = (value(before)?, value(after)?);
    let none = Map::new();
    let fields = |value: &Value| value.as_object().unwrap_or(&none).clone();
    for (name, was, is) in pairs(&fields(&before), &fields(&after)) {
        if was.is_object() || is.is_object() {
            changed.extend(pairs(&fields(&was), &fields(&is)).into_iter().map(|(field, ..)| format!("{name}.{field}")));
        } else {
            changed.push(name);
        }
    }
    Ok(changed)
}

/// The fields that two objects have different values of, `null` where one lacks them.
fn pairs(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<(String, Value, Value)> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |object: &Map<String, Value>, name: &str| object.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .map(|name| (name.clone(), value(before, name), value(after, name)))
        .filter(|(_, was, is)| was != is)
        .collect()
}
