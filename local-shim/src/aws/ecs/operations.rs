//! Answers the calls about tasks.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{
    cluster::{Answered, Cluster, Order},
    definition::TaskDefinition,
    digest::hash,
    launch::task_spec,
    page::page,
    refusal::{client, invalid},
    request::{DescribeTasks, ListTasks, MAX_TAGS, RunTask, StopTask, Tag, TagResource, check_tags},
    size::{self, Size},
    store::Store,
    task::{Task, task_arn},
};
use crate::aws::{AwsError, delays, error::write};

/// Characters that all overrides of a task may have ("TaskOverride", Amazon ECS API Reference).
const MAX_OVERRIDES: usize = 8192;
/// Characters of the reason of a stop ("StopTask").
const MAX_REASON: usize = 255;
/// Characters of `startedBy` ("RunTask", as it was in older versions; today it is 128).
const MAX_STARTED_BY: usize = 36;

impl Cluster {
    pub(super) fn tag(&mut self, request: TagResource, now: Timestamp) -> Result<Vec<u8>, AwsError> {
        check_tags(&request.tags)?;
        let missing = || client("The specified resource does not exist.");
        let (arn, tags) = (request.resource_arn, request.tags);
        if let Some(mut definition) = self.store.definition(&arn).filter(|found| found.task_definition_arn == arn) {
            add_tags(&mut definition.tags, tags)?;
            self.store.put_definition(&definition);
        } else {
            let id = arn.rsplit('/').next().unwrap_or_default();
            self.store.task(id, now).filter(|task| task.task_arn == arn).ok_or_else(missing)?;
            self.store.change_task(id, now, |task| add_tags(&mut task.tags, tags)).ok_or_else(missing)??;
        }
        write(&json!({}))
    }

    pub(super) fn run_task(&mut self, request: RunTask, body: &[u8], now: Timestamp) -> Result<Answered, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        check_tags(&request.tags)?;
        if request.count.unwrap_or(1) != 1 {
            return Err(invalid("The emulation starts one task at a time."));
        }
        let provider = size::capacity_provider(&request, self.settings.has_spot)?;
        if request.network_configuration.is_none() {
            return Err(invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified."));
        }
        if request.started_by.as_ref().is_some_and(|by| by.len() > MAX_STARTED_BY) {
            return Err(invalid(format!("startedBy must have at most {MAX_STARTED_BY} characters.")));
        }
        let is_token = |token: &String| token.len() <= 64 && token.bytes().all(|b| (33..=126).contains(&b));
        if !request.client_token.as_ref().is_none_or(is_token) {
            return Err(invalid("clientToken must have at most 64 characters in the range of 33-126."));
        }
        let size =
            serde_json::to_string(&request.overrides).map_err(|error| AwsError::internal(&error))?.chars().count();
        if size > MAX_OVERRIDES {
            return Err(invalid(format!("Container Overrides length must be at most {MAX_OVERRIDES}")));
        }
        let digest = hash(body);
        if let Some(task) = request.client_token.as_deref().and_then(|token| self.store.task_of_token(token, now)) {
            if task.request_hash == digest {
                return Ok(write(&json!({"tasks": [task.shown(true)], "failures": []}))?.into());
            }
            return Err(AwsError {
                resource_ids: vec![task.task_arn.clone()],
                ..AwsError::new(
                    "ConflictException",
                    "The RunTask request could not be processed due to conflicts. The provided clientToken is already in use with a different RunTask request.",
                )
            });
        }
        let definition = self
            .store
            .definition(&request.task_definition)
            .filter(|definition| definition.status == "ACTIVE")
            .or_else(|| just_deregistered(&self.store, &request.task_definition, now).filter(|_| self.settings.is_slow))
            .ok_or_else(|| client("TaskDefinition not found."))?;
        for container in &request.overrides.container_overrides {
            if !definition.container_definitions.iter().any(|defined| defined.name == container.name) {
                return Err(invalid(format!(
                    "Override for container named {} is not a container in the TaskDefinition.",
                    container.name
                )));
            }
        }
        let id = (self.settings.new_id)();
        let size = Size::new(&definition, &request.overrides)?;
        let spec = task_spec(&id, &definition, &request.overrides, &size)?;
        let mut task = Task::new(&self.settings.name, &id, &definition, request.overrides, request.tags, now);
        (task.client_token, task.request_hash) = (request.client_token, digest);
        task.set_size(&size, provider);
        task.started_by = request.started_by;
        let body = write(&json!({"tasks": [task.shown(true)], "failures": []}))?;
        self.store.add_task(&id, task, now);
        Ok(Answered { body, order: Some(Order::Run(spec)) })
    }

    /// Tells whether this long has passed since a task was started, where ECS shows late what was written.
    fn is_shown(&self, task: &Task, delay: Duration, now: Timestamp) -> bool {
        !self.settings.is_slow || now.duration_since(task.created_at).unsigned_abs() >= delay
    }

    pub(super) fn stop_task(&mut self, request: StopTask, now: Timestamp) -> Result<Answered, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        if request.reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON) {
            return Err(invalid(format!("reason must have at most {MAX_REASON} characters.")));
        }
        let id = request.task.rsplit('/').next().unwrap_or_default().to_owned();
        let missing = || invalid("The referenced task was not found.");
        self.store.task(&id, now).filter(|task| self.is_shown(task, delays::TASK, now)).ok_or_else(missing)?;
        let stop = |task: &mut Task| {
            if task.last_status != "STOPPED" {
                task.want_stop(request.reason.as_deref().unwrap_or("Task stopped by user"), now);
            }
            write(&json!({"task": task.shown(true)}))
        };
        let answer = self.store.change_task(&id, now, stop).ok_or_else(missing)?;
        Ok(Answered { body: answer?, order: Some(Order::Stop(id)) })
    }

    pub(super) fn describe_tasks(&self, request: DescribeTasks, now: Timestamp) -> Result<Vec<u8>, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        if request.tasks.is_empty() || request.tasks.len() > 100 {
            return Err(invalid("Tasks must have 1 to 100 items."));
        }
        let with_tags = request.include.iter().any(|what| what == "TAGS");
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for name in &request.tasks {
            match self.store.task(name.rsplit('/').next().unwrap_or_default(), now) {
                Some(task) if self.is_shown(&task, delays::TASK, now) => {
                    tasks.push(task.shown(with_tags && self.is_shown(&task, delays::TAGS, now)));
                }
                _ => {
                    let arn = task_arn(&self.settings.name, name.rsplit('/').next().unwrap_or_default());
                    failures.push(json!({"arn": arn, "reason": "MISSING"}));
                }
            }
        }
        write(&json!({"tasks": tasks, "failures": failures}))
    }

    pub(super) fn list_tasks(&self, request: ListTasks, now: Timestamp) -> Result<Vec<u8>, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        let wanted = request.desired_status.unwrap_or_else(|| "RUNNING".to_owned());
        let group = request.family.map(|family| format!("family:{family}"));
        // A task whose desired status is not STOPPED is among the open ones.
        let stopped = if wanted == "STOPPED" { self.store.stopped_tasks(now) } else { Vec::new() };
        let arns = self
            .store
            .open_tasks()
            .map(|(_, task)| task)
            .chain(&stopped)
            .filter(|task| self.is_shown(task, delays::TASK, now))
            .filter(|task| task.desired_status == wanted)
            .filter(|task| group.as_ref().is_none_or(|group| *group == task.group))
            .filter(|task| request.launch_type.as_ref().is_none_or(|launch_type| *launch_type == task.launch_type))
            .filter(|task| request.started_by.is_none() || request.started_by == task.started_by)
            .map(|task| task.task_arn.as_str());
        let (arns, next_token) = page(arns, request.max_results, request.next_token)?;
        write(&json!({"taskArns": arns, "nextToken": next_token}))
    }
}

/// The latest revision of a family without an active one, if it was deregistered a moment ago.
fn just_deregistered(store: &Store, family: &str, now: Timestamp) -> Option<TaskDefinition> {
    let latest = store.latest_definition(family)?;
    let age = now.as_millisecond() as f64 / 1000.0 - latest.deregistered_at?;
    (age < delays::DEREGISTERED.as_secs_f64()).then_some(latest)
}

fn add_tags(tags: &mut Vec<Tag>, added: Vec<Tag>) -> Result<(), AwsError> {
    let mut all = tags.clone();
    for tag in added {
        all.retain(|existing| existing.key != tag.key);
        all.push(tag);
    }
    if all.len() > MAX_TAGS {
        return Err(invalid(format!("A resource can have {MAX_TAGS} tags at most.")));
    }
    *tags = all;
    Ok(())
}
