//! ECS: task definitions, and tasks that run as processes or in Docker.

mod definition;
mod request;
pub mod runner;
mod store;
mod task;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use self::{
    definition::TaskDefinition,
    request::{
        DescribeTasks, ListTasks, MAX_TAGS, RegisterTaskDefinition, RunTask, StopTask, Tag, TagResource, check_tags,
    },
    runner::{Demand, Runner, TaskEnd, TaskSpec},
    task::{Task, task_arn},
};
use super::{
    AwsError, delays,
    error::{parse, write},
    events::EventPublisher,
    page_token,
    ssm::Ssm,
};

/// Characters that all overrides of a task may have ("TaskOverride", Amazon ECS API Reference).
const MAX_OVERRIDES: usize = 8192;
/// Characters of the reason of a stop ("StopTask").
const MAX_REASON: usize = 255;
/// Characters of `startedBy` ("RunTask", as it was in older versions; today it is 128).
const MAX_STARTED_BY: usize = 36;
/// Items in one answer of ListTasks, ListTaskDefinitions and ListTaskDefinitionFamilies.
const MAX_LISTED: usize = 100;

/// The refusal of a registration during another of the same family. AWS does not document it.
pub(super) const CONCURRENT_REGISTRATION: &str =
    "Too many concurrent attempts to create a new revision of the specified family.";

pub use store::Store;

#[derive(Clone)]
pub struct Ecs(Arc<Inner>);

struct Inner {
    cluster: String,
    state: Mutex<Store>,
    /// For each task that has not stopped, whether it is to be stopped.
    demands: Mutex<HashMap<String, watch::Sender<Demand>>>,
    runner: Runner,
    ssm: Ssm,
    events: EventPublisher,
    /// Tells whether it shows late what was written, and tasks take time to start and to end: see [`delays`].
    is_slow: bool,
    /// When a revision of each family was registered last.
    registered: Mutex<HashMap<String, Instant>>,
    ended: tokio::sync::Notify,
    /// The tasks of the runtime that record when an event of a task's end has been handled.
    telling: TaskTracker,
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterException", message)
}

fn client(message: impl Into<String>) -> AwsError {
    AwsError::new("ClientException", message)
}

impl Ecs {
    /// Opens ECS with the state of an earlier run of the program, if there is one.
    pub fn open(cluster: &str, store: Store, runner: Runner, ssm: Ssm, events: EventPublisher, is_slow: bool) -> Self {
        let inner = Inner {
            cluster: cluster.to_owned(),
            state: Mutex::new(store),
            demands: Mutex::default(),
            runner,
            ssm,
            events,
            is_slow,
            registered: Mutex::default(),
            ended: tokio::sync::Notify::new(),
            telling: TaskTracker::new(),
        };
        Self(Arc::new(inner))
    }

    /// Stops the tasks that an earlier run of the program left in its state file when it was killed, and sends the events again that
    /// may not have been handled.
    pub fn recover(&self) {
        let now = Timestamp::now();
        let mut state = self.lock();
        let open: Vec<String> = state.open_tasks().map(|(id, _)| id.clone()).collect();
        for id in &open {
            state.change_task(id, |task| {
                if task.last_status == "STOPPED" {
                    return;
                }
                task.stop("TaskFailedToStart", "the machine that ran the task was stopped", &BTreeMap::new(), now);
                // The task had started, and how its command would have ended is unknown.
                if task.started_at.is_some() {
                    task.stop_code = Some("TerminationNotice".to_owned());
                }
            });
        }
        drop(state);
        for id in open {
            self.send_end(&id);
        }
    }

    /// The number of tasks that have not stopped.
    pub fn running(&self) -> usize {
        self.demands().len()
    }

    /// Stops all tasks and waits for their ends.
    pub async fn stop_all(&self, reason: &str) {
        for (id, demand) in self.demands().iter() {
            self.lock().change_task(id, |task| task.want_stop(reason));
            demand.send_replace(Demand::StopNow);
        }
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Waits until the events of all ends are handled, and this is noted. Those that are given up are not waited for.
    pub async fn ends_told(&self) {
        self.0.telling.close();
        self.0.telling.wait().await;
    }

    /// Answers one call.
    pub async fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        match operation {
            "RunTask" => self.run_task(parse(body)?, body),
            "StopTask" => self.stop_task(parse(body)?),
            "DescribeTasks" => self.describe_tasks(parse(body)?),
            "ListTasks" => self.list_tasks(parse(body)?),
            "RegisterTaskDefinition" => {
                let request: RegisterTaskDefinition = parse(body)?;
                if self.0.is_slow {
                    self.check_turn(&request.family)?;
                }
                self.register(request, body.len())
            }
            "DescribeTaskDefinition" => self.describe_definition(parse(body)?),
            "DeregisterTaskDefinition" => self.deregister(parse(body)?),
            "ListTaskDefinitions" => self.list_definitions(parse(body)?),
            "ListTaskDefinitionFamilies" => self.list_families(parse(body)?),
            "TagResource" => self.tag(parse(body)?),
            _ => Err(AwsError::unknown_operation()),
        }
    }

    /// # Errors
    /// ECS's own error for a registration soon after another of the family.
    fn check_turn(&self, family: &str) -> Result<(), AwsError> {
        let mut registered = self.0.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if registered.get(family).is_some_and(|at| at.elapsed() < delays::REGISTRATION) {
            return Err(client(CONCURRENT_REGISTRATION));
        }
        registered.insert(family.to_owned(), Instant::now());
        Ok(())
    }

    fn tag(&self, request: TagResource) -> Result<Vec<u8>, AwsError> {
        check_tags(&request.tags)?;
        let missing = || client("The specified resource does not exist.");
        let mut state = self.lock();
        let (arn, tags) = (request.resource_arn, request.tags);
        if let Some(mut definition) = state.definition(&arn).filter(|found| found.task_definition_arn == arn) {
            add_tags(&mut definition.tags, tags)?;
            state.put_definition(&definition);
        } else {
            let id = arn.rsplit('/').next().unwrap_or_default();
            state.task(id).filter(|task| task.task_arn == arn).ok_or_else(missing)?;
            state.change_task(id, |task| add_tags(&mut task.tags, tags)).ok_or_else(missing)??;
        }
        write(&json!({}))
    }

    fn run_task(&self, request: RunTask, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        check_tags(&request.tags)?;
        if request.count.unwrap_or(1) != 1 {
            return Err(invalid("The emulation starts one task at a time."));
        }
        if request.launch_type.as_deref() != Some("FARGATE") {
            return Err(invalid("The emulation knows the launch type FARGATE only."));
        }
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
        let mut state = self.lock();
        if let Some(task) = request.client_token.as_deref().and_then(|token| state.task_of_token(token)) {
            if task.request_hash == digest {
                return write(&json!({"tasks": [task.shown(true)], "failures": []}));
            }
            return Err(AwsError {
                resource_ids: vec![task.task_arn.clone()],
                ..AwsError::new(
                    "ConflictException",
                    "The RunTask request could not be processed due to conflicts. The provided clientToken is already in use with a different RunTask request.",
                )
            });
        }
        let definition = state
            .definition(&request.task_definition)
            .filter(|definition| definition.status == "ACTIVE")
            .or_else(|| just_deregistered(&state, &request.task_definition).filter(|_| self.0.is_slow))
            .ok_or_else(|| client("TaskDefinition not found."))?;
        for container in &request.overrides.container_overrides {
            if !definition.container_definitions.iter().any(|defined| defined.name == container.name) {
                return Err(invalid(format!(
                    "Override for container named {} is not a container in the TaskDefinition.",
                    container.name
                )));
            }
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        let spec = self.spec(&id, &definition, &request.overrides)?;
        let mut task = Task::new(&self.0.cluster, &id, &definition, request.overrides, request.tags);
        (task.client_token, task.request_hash) = (request.client_token, digest);
        task.started_by = request.started_by;
        state.add_task(&id, task.clone());
        drop(state);
        let (sender, receiver) = watch::channel(Demand::Run);
        self.demands().insert(id.clone(), sender);
        tokio::spawn(self.clone().drive(id, spec, receiver));
        write(&json!({"tasks": [task.shown(true)], "failures": []}))
    }

    /// Runs a task from its start to its end, and sends the events of its state changes.
    async fn drive(self, id: String, spec: TaskSpec, demand: watch::Receiver<Demand>) {
        let end = match self.missing_secret(&id) {
            Some(arn) => TaskEnd {
                stop_code: "TaskFailedToStart",
                reason: format!("ResourceInitializationError: unable to pull secrets: invalid ssm parameters: {arn}"),
                exit_codes: BTreeMap::new(),
            },
            None => {
                self.pass_through(&id, ["PENDING", "ACTIVATING"]).await;
                let running = || {
                    self.change_and_tell(&id, |task| {
                        task.last_status = "RUNNING".to_owned();
                        task.started_at = Some(Timestamp::now());
                        for container in &mut task.containers {
                            container.last_status = "RUNNING".to_owned();
                        }
                    });
                };
                self.0.runner.run(&spec, demand, running).await
            }
        };
        self.pass_through(&id, ["STOPPING", "DEPROVISIONING"]).await;
        if self.0.is_slow {
            tokio::time::sleep(delays::DEPROVISIONING).await;
        }
        self.change(&id, |task| task.stop(end.stop_code, &end.reason, &end.exit_codes, Timestamp::now()));
        self.send_end(&id);
        self.demands().remove(&id);
        self.0.ended.notify_waiters();
    }

    /// Lets a task be in each of these states for a while, as on Fargate.
    async fn pass_through(&self, id: &str, states: [&str; 2]) {
        if !self.0.is_slow {
            return;
        }
        for state in states {
            tokio::time::sleep(delays::TASK_STATE).await;
            self.change_and_tell(id, |task| task.last_status = state.to_owned());
        }
        tokio::time::sleep(delays::TASK_STATE).await;
    }

    fn missing_secret(&self, id: &str) -> Option<String> {
        let state = self.lock();
        let definition = state.definition(&state.task(id)?.task_definition_arn)?;
        let mut secrets = definition.container_definitions.iter().flat_map(|container| &container.secrets);
        secrets
            .find(|secret| self.0.ssm.value_from(&secret.value_from).is_none())
            .map(|secret| secret.value_from.clone())
    }

    /// The log streams of the tasks whose ends are not known to be handled. After a start, their lines may not have been handled either.
    pub fn unfinished_log_streams(&self) -> Vec<String> {
        let state = self.lock();
        let streams = state.open_tasks().flat_map(|(id, task)| {
            task.containers.iter().map(move |container| runner::log_stream(&container.name, id))
        });
        streams.collect()
    }

    /// Sends the event of a task's end. If the program ends before the event is handled, the next start sends it again.
    fn send_end(&self, id: &str) {
        let Some(event) = self.lock().task(id).map(|task| task.event()) else { return };
        let (ecs, id) = (self.clone(), id.to_owned());
        let handled = self.0.events.send_to_event_bridge(event);
        self.0.telling.spawn(async move {
            if handled.await {
                ecs.lock().change_task(&id, |task| task.end_told = true);
            }
        });
    }

    /// Changes a task and returns the event of the change.
    fn change(&self, id: &str, change: impl FnOnce(&mut Task)) -> Option<Value> {
        self.lock().change_task(id, |task| {
            change(task);
            task.version += 1;
            task.event()
        })
    }

    /// Changes a task and sends the event of the change.
    fn change_and_tell(&self, id: &str, change: impl FnOnce(&mut Task)) {
        if let Some(event) = self.change(id, change) {
            drop(self.0.events.send_to_event_bridge(event));
        }
    }

    /// Tells whether this long has passed since a task was started, where ECS shows late what was written.
    fn is_shown(&self, task: &Task, delay: Duration) -> bool {
        !self.0.is_slow || Timestamp::now().duration_since(task.created_at).unsigned_abs() >= delay
    }

    fn stop_task(&self, request: StopTask) -> Result<Vec<u8>, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        if request.reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON) {
            return Err(invalid(format!("reason must have at most {MAX_REASON} characters.")));
        }
        let id = request.task.rsplit('/').next().unwrap_or_default().to_owned();
        let mut state = self.lock();
        let missing = || invalid("The referenced task was not found.");
        state.task(&id).filter(|task| self.is_shown(task, delays::TASK)).ok_or_else(missing)?;
        let stop = |task: &mut Task| {
            if task.last_status != "STOPPED" {
                task.want_stop(request.reason.as_deref().unwrap_or("Task stopped by user"));
            }
            write(&json!({"task": task.shown(true)}))
        };
        let answer = state.change_task(&id, stop).ok_or_else(missing)?;
        drop(state);
        if let Some(demand) = self.demands().get(&id) {
            demand.send_if_modified(|demand| {
                let change = *demand == Demand::Run;
                if change {
                    *demand = Demand::Stop;
                }
                change
            });
        }
        answer
    }

    fn describe_tasks(&self, request: DescribeTasks) -> Result<Vec<u8>, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        if request.tasks.is_empty() || request.tasks.len() > 100 {
            return Err(invalid("Tasks must have 1 to 100 items."));
        }
        let with_tags = request.include.iter().any(|what| what == "TAGS");
        let state = self.lock();
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for name in &request.tasks {
            match state.task(name.rsplit('/').next().unwrap_or_default()) {
                Some(task) if self.is_shown(&task, delays::TASK) => {
                    tasks.push(task.shown(with_tags && self.is_shown(&task, delays::TAGS)));
                }
                _ => {
                    let arn = task_arn(&self.0.cluster, name.rsplit('/').next().unwrap_or_default());
                    failures.push(json!({"arn": arn, "reason": "MISSING"}));
                }
            }
        }
        write(&json!({"tasks": tasks, "failures": failures}))
    }

    fn list_tasks(&self, request: ListTasks) -> Result<Vec<u8>, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        let wanted = request.desired_status.unwrap_or_else(|| "RUNNING".to_owned());
        let group = request.family.map(|family| format!("family:{family}"));
        let state = self.lock();
        // A task that is not to stop is open.
        let stopped = if wanted == "STOPPED" { state.stopped_tasks() } else { Vec::new() };
        let arns = state
            .open_tasks()
            .map(|(_, task)| task)
            .chain(&stopped)
            .filter(|task| self.is_shown(task, delays::TASK))
            .filter(|task| task.desired_status == wanted)
            .filter(|task| group.as_ref().is_none_or(|group| *group == task.group))
            .filter(|task| request.launch_type.as_ref().is_none_or(|launch_type| *launch_type == task.launch_type))
            .filter(|task| request.started_by.is_none() || request.started_by == task.started_by)
            .map(|task| task.task_arn.as_str());
        let (arns, next_token) = page(arns, request.max_results, request.next_token)?;
        write(&json!({"taskArns": arns, "nextToken": next_token}))
    }

    fn check_cluster(&self, cluster: Option<&str>) -> Result<(), AwsError> {
        let name = cluster.map(|cluster| cluster.rsplit('/').next().unwrap_or_default());
        if name == Some(&self.0.cluster) {
            Ok(())
        } else {
            Err(AwsError::new("ClusterNotFoundException", "Cluster not found."))
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn demands(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Demand>>> {
        self.0.demands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest revision of a family without an active one, if it was deregistered a moment ago.
fn just_deregistered(store: &Store, family: &str) -> Option<TaskDefinition> {
    let latest = store.latest_definition(family)?;
    let age = Timestamp::now().as_millisecond() as f64 / 1000.0 - latest.deregistered_at?;
    (age < delays::DEREGISTERED.as_secs_f64()).then_some(latest)
}

/// A page of names, and the token of the next one if there is one.
fn page<'a>(
    names: impl Iterator<Item = &'a str>,
    max_results: Option<usize>,
    next_token: Option<String>,
) -> Result<(Vec<&'a str>, Option<String>), AwsError> {
    let after =
        next_token.map(|token| page_token::read(&token).ok_or_else(|| invalid("Invalid token."))).transpose()?;
    let limit = max_results.unwrap_or(MAX_LISTED);
    if !(1..=MAX_LISTED).contains(&limit) {
        return Err(invalid(format!("maxResults must be 1 to {MAX_LISTED}.")));
    }
    let mut names: Vec<&str> = names.filter(|name| after.as_deref().is_none_or(|after| *name > after)).collect();
    names.sort_unstable();
    let is_last = names.len() <= limit;
    names.truncate(limit);
    let next = names.last().filter(|_| !is_last).map(|last| page_token::after(last));
    Ok((names, next))
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

/// The SHA-256 of these bytes, in hexadecimal digits.
fn hash(body: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
