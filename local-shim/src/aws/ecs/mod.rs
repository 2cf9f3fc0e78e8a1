//! ECS: task definitions, and tasks that really run.

mod definition;
mod request;
mod task;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::{
    definition::TaskDefinition,
    request::{DescribeTasks, ListTasks, MAX_TAGS, RunTask, StopTask, TagResource, check_tags},
    task::{Task, task_arn},
};
use super::{
    AwsError,
    error::{parse, write},
    ssm::Ssm,
    state_file::StateFile,
};
use crate::tasks::{Demand, Runner, TaskEnd, TaskSpec, log_driver::Subscription};

/// "TaskOverride": characters that all overrides of a task may have.
const MAX_OVERRIDES: usize = 8192;
/// How long ECS shows a task that has stopped.
const SHOWN_AFTER_STOP: Duration = Duration::from_secs(3600);

/// Where task state change events go. The future ends when the event has been handled or given up.
pub type EventBus = Arc<dyn Fn(Value) -> BoxFuture<'static, ()> + Send + Sync>;
/// Makes the subscription that a task's lines go to.
pub type Subscriptions = Arc<dyn Fn() -> Subscription + Send + Sync>;

#[derive(Clone)]
pub struct Ecs(Arc<Inner>);

struct Inner {
    cluster: String,
    state: Mutex<State>,
    file: StateFile,
    /// What is asked of the tasks that are running.
    demands: Mutex<HashMap<String, watch::Sender<Demand>>>,
    runner: Runner,
    ssm: Ssm,
    bus: EventBus,
    subscriptions: Subscriptions,
    ended: tokio::sync::Notify,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    /// Revisions by family, the first is revision 1.
    definitions: BTreeMap<String, Vec<TaskDefinition>>,
    /// By id.
    tasks: BTreeMap<String, Task>,
    /// Client tokens that stand for a task, with the hash of the request they came with.
    tokens: BTreeMap<String, (String, String)>,
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterException", message)
}

fn client(message: impl Into<String>) -> AwsError {
    AwsError::new("ClientException", message)
}

impl Ecs {
    pub fn open(
        cluster: &str,
        file: StateFile,
        runner: Runner,
        ssm: Ssm,
        bus: EventBus,
        subscriptions: Subscriptions,
    ) -> Result<Self> {
        let inner = Inner {
            cluster: cluster.to_owned(),
            state: Mutex::new(file.read()?),
            file,
            demands: Mutex::default(),
            runner,
            ssm,
            bus,
            subscriptions,
            ended: tokio::sync::Notify::new(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Ends the tasks that a killed process left behind, and tells again what may not have been heard.
    pub fn recover(&self) {
        let now = Timestamp::now();
        let mut state = self.lock();
        let mut untold = Vec::new();
        for (id, task) in &mut state.tasks {
            if task.last_status != "STOPPED" {
                task.stop("TaskFailedToStart", "the machine that ran the task was stopped", &BTreeMap::new(), now);
                // It may well have started; what it came to is not known.
                if task.started_at.is_some() {
                    task.stop_code = Some("TerminationNotice".to_owned());
                }
            }
            if !task.end_told {
                untold.push(id.clone());
            }
        }
        self.save(&state);
        drop(state);
        for id in untold {
            self.tell_end(&id);
        }
    }

    /// How many tasks have not stopped.
    pub fn running(&self) -> usize {
        self.demands().len()
    }

    /// Stops all tasks and waits for their ends.
    pub async fn stop_all(&self, reason: &str) {
        for (id, demand) in self.demands().iter() {
            if let Some(task) = self.lock().tasks.get_mut(id) {
                task.want_stop(reason);
            }
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

    /// Answers one call.
    pub async fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        match operation {
            "RunTask" => self.run_task(parse(body)?, body),
            "StopTask" => self.stop_task(parse(body)?),
            "DescribeTasks" => self.describe_tasks(parse(body)?),
            "ListTasks" => self.list_tasks(parse(body)?),
            "RegisterTaskDefinition" => self.register(parse(body)?),
            "DescribeTaskDefinition" => self.describe_definition(parse(body)?),
            "DeregisterTaskDefinition" => self.deregister(parse(body)?),
            "ListTaskDefinitions" => self.list_definitions(parse(body)?),
            "ListTaskDefinitionFamilies" => self.list_families(parse(body)?),
            "TagResource" => self.tag(parse(body)?),
            _ => Err(AwsError::unknown_operation()),
        }
    }

    fn tag(&self, request: TagResource) -> Result<Vec<u8>, AwsError> {
        check_tags(&request.tags)?;
        let mut state = self.lock();
        let State { definitions, tasks, .. } = &mut *state;
        let tags = definitions
            .values_mut()
            .flatten()
            .find(|definition| definition.task_definition_arn == request.resource_arn)
            .map(|definition| &mut definition.tags)
            .or_else(|| {
                tasks.values_mut().find(|task| task.task_arn == request.resource_arn).map(|task| &mut task.tags)
            })
            .ok_or_else(|| client("The specified resource does not exist."))?;
        for tag in request.tags {
            tags.retain(|existing| existing.key != tag.key);
            tags.push(tag);
        }
        if tags.len() > MAX_TAGS {
            return Err(invalid(format!("A resource can have {MAX_TAGS} tags at most.")));
        }
        self.save(&state);
        write(&json!({}))
    }

    fn run_task(&self, request: RunTask, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        check_tags(&request.tags)?;
        if request.count.unwrap_or(1) != 1 {
            return Err(invalid("One task at a time is emulated here."));
        }
        if request.launch_type.as_deref() != Some("FARGATE") {
            return Err(invalid("The launch type FARGATE is emulated here."));
        }
        if request.network_configuration.is_none() {
            return Err(invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified."));
        }
        if request.client_token.as_ref().is_some_and(|token| token.len() > 64) {
            return Err(invalid("clientToken must have at most 64 characters."));
        }
        let size =
            serde_json::to_string(&request.overrides).map_err(|error| AwsError::internal(&error))?.chars().count();
        if size > MAX_OVERRIDES {
            return Err(invalid(format!("Container Overrides length must be at most {MAX_OVERRIDES}")));
        }
        let digest = hash(body);
        let mut state = self.lock();
        if let Some((token_request, task_id)) = request.client_token.as_ref().and_then(|token| state.tokens.get(token))
        {
            let task = state.tasks.get(task_id);
            let same = *token_request == digest;
            return match task {
                Some(task) if same => write(&json!({"tasks": [task.shown(true)], "failures": []})),
                _ => Err(AwsError {
                    resource_ids: task.map(|task| task.task_arn.clone()).into_iter().collect(),
                    ..AwsError::new(
                        "ConflictException",
                        "The RunTask request could not be processed due to conflicts. The provided clientToken is already in use with a different RunTask request.",
                    )
                }),
            };
        }
        let definition = state
            .definition(&request.task_definition)
            .filter(|definition| definition.status == "ACTIVE")
            .ok_or_else(|| client("TaskDefinition not found."))?
            .clone();
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
        let task = Task::new(&self.0.cluster, &id, &definition, request.overrides, request.tags);
        state.forget_old();
        state.tasks.insert(id.clone(), task.clone());
        if let Some(token) = request.client_token {
            state.tokens.insert(token, (digest, id.clone()));
        }
        self.save(&state);
        drop(state);
        let (sender, receiver) = watch::channel(Demand::Run);
        self.demands().insert(id.clone(), sender);
        tokio::spawn(self.clone().drive(id, spec, receiver));
        write(&json!({"tasks": [task.shown(true)], "failures": []}))
    }

    /// Takes a task through its life.
    async fn drive(self, id: String, spec: TaskSpec, demand: watch::Receiver<Demand>) {
        let subscription = (self.0.subscriptions)();
        let end = match self.missing_secret(&id) {
            Some(arn) => TaskEnd {
                stop_code: "TaskFailedToStart",
                reason: format!("ResourceInitializationError: unable to pull secrets: invalid ssm parameters: {arn}"),
                exit_codes: BTreeMap::new(),
            },
            None => {
                let running = || {
                    let event = self.change(&id, |task| {
                        task.last_status = "RUNNING".to_owned();
                        task.started_at = Some(Timestamp::now());
                        for container in &mut task.containers {
                            container.last_status = "RUNNING".to_owned();
                        }
                    });
                    if let Some(event) = event {
                        tokio::spawn((self.0.bus)(event));
                    }
                };
                self.0.runner.run(&spec, demand, subscription, running).await
            }
        };
        self.change(&id, |task| task.stop(end.stop_code, &end.reason, &end.exit_codes, Timestamp::now()));
        self.tell_end(&id);
        self.demands().remove(&id);
        self.0.ended.notify_waiters();
    }

    fn missing_secret(&self, id: &str) -> Option<String> {
        let state = self.lock();
        let definition = state.definition(&state.tasks.get(id)?.task_definition_arn)?;
        let mut secrets = definition.container_definitions.iter().flat_map(|container| &container.secrets);
        secrets
            .find(|secret| self.0.ssm.value_from(&secret.value_from).is_none())
            .map(|secret| secret.value_from.clone())
    }

    /// Tells of a task's end until it has been heard.
    fn tell_end(&self, id: &str) {
        let Some(event) = self.lock().tasks.get(id).map(Task::event) else { return };
        let (ecs, id) = (self.clone(), id.to_owned());
        let heard = (self.0.bus)(event);
        tokio::spawn(async move {
            heard.await;
            let mut state = ecs.lock();
            if let Some(task) = state.tasks.get_mut(&id) {
                task.end_told = true;
            }
            ecs.save(&state);
        });
    }

    /// Changes a task and returns the event that tells of it.
    fn change(&self, id: &str, change: impl FnOnce(&mut Task)) -> Option<Value> {
        let mut state = self.lock();
        let task = state.tasks.get_mut(id)?;
        change(task);
        task.version += 1;
        let event = task.event();
        self.save(&state);
        Some(event)
    }

    fn stop_task(&self, request: StopTask) -> Result<Vec<u8>, AwsError> {
        self.check_cluster(request.cluster.as_deref())?;
        let id = request.task.rsplit('/').next().unwrap_or_default().to_owned();
        let mut state = self.lock();
        let task = state.tasks.get_mut(&id).ok_or_else(|| invalid("The referenced task was not found."))?;
        if task.last_status != "STOPPED" {
            task.want_stop(request.reason.as_deref().unwrap_or("Task stopped by user"));
        }
        let answer = write(&json!({"task": task.shown(true)}));
        self.save(&state);
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
            match state.tasks.get(name.rsplit('/').next().unwrap_or_default()) {
                Some(task) => tasks.push(task.shown(with_tags)),
                None => {
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
        let arns: Vec<&str> = state
            .tasks
            .values()
            .filter(|task| task.desired_status == wanted)
            .filter(|task| group.as_ref().is_none_or(|group| *group == task.group))
            .filter(|task| request.launch_type.as_ref().is_none_or(|launch_type| *launch_type == task.launch_type))
            // RunTask here takes no `startedBy`.
            .filter(|_| request.started_by.is_none())
            .map(|task| task.task_arn.as_str())
            .collect();
        write(&json!({"taskArns": arns}))
    }

    fn check_cluster(&self, cluster: Option<&str>) -> Result<(), AwsError> {
        let name = cluster.map(|cluster| cluster.rsplit('/').next().unwrap_or_default());
        if name == Some(&self.0.cluster) {
            Ok(())
        } else {
            Err(AwsError::new("ClusterNotFoundException", "Cluster not found."))
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn demands(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Demand>>> {
        self.0.demands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, state: &State) {
        if let Err(error) = self.0.file.write(state) {
            tracing::error!(%error, "the state of ECS was not saved");
        }
    }
}

impl State {
    /// By ARN, `family:revision`, or `family` for its latest active revision.
    fn definition(&self, name: &str) -> Option<&TaskDefinition> {
        let name = name.rsplit_once("task-definition/").map_or(name, |(_, name)| name);
        match name.split_once(':') {
            Some((family, revision)) => {
                self.definitions.get(family)?.get(revision.parse::<usize>().ok()?.checked_sub(1)?)
            }
            None => self.definitions.get(name)?.iter().rfind(|definition| definition.status == "ACTIVE"),
        }
    }

    /// Drops tasks that ECS would not show any more, and the tokens that stand for them.
    fn forget_old(&mut self) {
        let now = Timestamp::now();
        self.tasks.retain(|_, task| {
            !task.end_told || task.stopped_at.is_none_or(|at| now.duration_since(at).unsigned_abs() < SHOWN_AFTER_STOP)
        });
        let tasks = &self.tasks;
        self.tokens.retain(|_, (_, id)| tasks.contains_key(id));
    }
}

fn hash(body: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
