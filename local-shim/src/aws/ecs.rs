//! ECS: task definitions, and tasks that really run.

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

use super::{
    AwsError,
    error::{parse, write},
    ssm::Ssm,
    state_file::StateFile,
};
use crate::{
    stack::{ACCOUNT, REGION},
    tasks::{
        ContainerSpec, TaskEnd, TaskSpec,
        log_driver::Subscription,
        process::{Demand, ProcessRunner},
    },
};

/// "TaskOverride": characters that all overrides of a task may have.
const MAX_OVERRIDES: usize = 8192;
/// "Tag": how many a resource may have, and how long they may be.
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;
/// How long ECS shows a task that has stopped.
const SHOWN_AFTER_STOP: Duration = Duration::from_secs(3600);
/// A container's `stopTimeout` where none is set.
const STOP_TIMEOUT: u64 = 30;

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
    runner: ProcessRunner,
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

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDefinition {
    task_definition_arn: String,
    family: String,
    revision: usize,
    status: String,
    container_definitions: Vec<ContainerDefinition>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerDefinition {
    name: String,
    image: String,
    #[serde(default)]
    essential: Option<bool>,
    #[serde(default)]
    entry_point: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: Vec<Variable>,
    #[serde(default)]
    secrets: Vec<SecretVariable>,
    #[serde(default)]
    depends_on: Vec<Dependency>,
    #[serde(default)]
    stop_timeout: Option<u64>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretVariable {
    name: String,
    value_from: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    container_name: String,
    condition: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_arn: String,
    cluster_arn: String,
    task_definition_arn: String,
    group: String,
    launch_type: String,
    last_status: String,
    desired_status: String,
    version: u64,
    cpu: String,
    memory: String,
    overrides: Overrides,
    containers: Vec<Container>,
    tags: Vec<Tag>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopping_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_reason: Option<String>,
    /// Whether the event of its end has been handled. Ours alone.
    #[serde(default)]
    end_told: bool,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    container_arn: String,
    task_arn: String,
    name: String,
    image: String,
    last_status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Overrides {
    #[serde(default)]
    container_overrides: Vec<ContainerOverride>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerOverride {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    environment: Vec<Variable>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunTask {
    cluster: Option<String>,
    task_definition: String,
    count: Option<u32>,
    launch_type: Option<String>,
    client_token: Option<String>,
    #[serde(default)]
    overrides: Overrides,
    #[serde(default)]
    tags: Vec<Tag>,
    network_configuration: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterTaskDefinition {
    family: String,
    container_definitions: Vec<ContainerDefinition>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StopTask {
    cluster: Option<String>,
    task: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct DescribeTasks {
    cluster: Option<String>,
    tasks: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListTasks {
    cluster: Option<String>,
    desired_status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedTaskDefinition {
    task_definition: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListDefinitions {
    family_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagResource {
    resource_arn: String,
    tags: Vec<Tag>,
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
        runner: ProcessRunner,
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

    fn register(&self, request: RegisterTaskDefinition) -> Result<Vec<u8>, AwsError> {
        let name_fits = (1..=255).contains(&request.family.len())
            && request.family.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !name_fits {
            return Err(client("Family contains invalid characters or is too long."));
        }
        check_tags(&request.tags)?;
        if request.container_definitions.is_empty() {
            return Err(client("Container list cannot be empty."));
        }
        if !request.container_definitions.iter().any(|container| container.essential != Some(false)) {
            return Err(client("A task definition must have at least one essential container."));
        }
        for container in &request.container_definitions {
            let known = |name: &str| request.container_definitions.iter().any(|other| other.name == name);
            if let Some(missing) = container.depends_on.iter().find(|dependency| !known(&dependency.container_name)) {
                return Err(client(format!("Container dependency {} does not exist.", missing.container_name)));
            }
            let mut names: Vec<&str> = container.environment.iter().map(|variable| variable.name.as_str()).collect();
            names.extend(container.secrets.iter().map(|secret| secret.name.as_str()));
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            if names.len() != count {
                return Err(client(
                    "The secret name must be unique and not shared with any new or existing environment variables set on the container.",
                ));
            }
        }
        check_fargate_size(&request.rest)?;
        let mut state = self.lock();
        let revisions = state.definitions.entry(request.family.clone()).or_default();
        let revision = revisions.len() + 1;
        let definition = TaskDefinition {
            task_definition_arn: format!(
                "arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{}:{revision}",
                request.family
            ),
            family: request.family,
            revision,
            status: "ACTIVE".to_owned(),
            container_definitions: request.container_definitions,
            rest: request.rest,
            tags: request.tags.clone(),
        };
        revisions.push(definition.clone());
        self.save(&state);
        write(&json!({"taskDefinition": definition, "tags": request.tags}))
    }

    fn describe_definition(&self, request: NamedTaskDefinition) -> Result<Vec<u8>, AwsError> {
        let state = self.lock();
        let definition =
            state.definition(&request.task_definition).ok_or_else(|| client("Unable to describe task definition."))?;
        write(&json!({"taskDefinition": definition, "tags": definition.tags}))
    }

    fn deregister(&self, request: NamedTaskDefinition) -> Result<Vec<u8>, AwsError> {
        let mut state = self.lock();
        let arn = state
            .definition(&request.task_definition)
            .ok_or_else(|| client("The specified task definition does not exist."))?
            .task_definition_arn
            .clone();
        let definition = state
            .definitions
            .values_mut()
            .flatten()
            .find(|definition| definition.task_definition_arn == arn)
            .ok_or_else(|| client("The specified task definition does not exist."))?;
        definition.status = "INACTIVE".to_owned();
        let answer = write(&json!({"taskDefinition": definition}));
        self.save(&state);
        answer
    }

    fn list_definitions(&self, request: ListDefinitions) -> Result<Vec<u8>, AwsError> {
        let state = self.lock();
        let family = request.family_prefix;
        let arns: Vec<&str> = state
            .definitions
            .values()
            .flatten()
            .filter(|definition| definition.status == "ACTIVE")
            .filter(|definition| family.as_ref().is_none_or(|family| definition.family == *family))
            .map(|definition| definition.task_definition_arn.as_str())
            .collect();
        write(&json!({"taskDefinitionArns": arns}))
    }

    fn list_families(&self, request: ListDefinitions) -> Result<Vec<u8>, AwsError> {
        let prefix = request.family_prefix.unwrap_or_default();
        let state = self.lock();
        let families: Vec<&String> = state
            .definitions
            .iter()
            .filter(|(family, revisions)| {
                family.starts_with(&prefix) && revisions.iter().any(|definition| definition.status == "ACTIVE")
            })
            .map(|(family, _)| family)
            .collect();
        write(&json!({"families": families}))
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
            .ok_or_else(|| invalid("The specified resource does not exist."))?;
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

    /// What is to be run: definition and overrides put together, secrets read, in the order of dependence.
    fn spec(&self, id: &str, definition: &TaskDefinition, overrides: &Overrides) -> Result<TaskSpec, AwsError> {
        let mut containers = Vec::new();
        let mut waiting: Vec<&ContainerDefinition> = definition.container_definitions.iter().collect();
        while !waiting.is_empty() {
            let started: Vec<String> =
                containers.iter().map(|container: &ContainerSpec| container.name.clone()).collect();
            let ready = waiting
                .iter()
                .position(|container| container.depends_on.iter().all(|on| started.contains(&on.container_name)))
                .ok_or_else(|| client("The containers depend on each other in a circle."))?;
            let container = waiting.remove(ready);
            let mut environment: BTreeMap<String, String> =
                container.environment.iter().map(|variable| (variable.name.clone(), variable.value.clone())).collect();
            for secret in &container.secrets {
                // A missing parameter makes the task fail to start, as in ECS; see `drive`.
                if let Some(value) = self.0.ssm.value_from(&secret.value_from) {
                    environment.insert(secret.name.clone(), value);
                }
            }
            let mut arguments: Vec<String> = container.entry_point.iter().chain(&container.command).cloned().collect();
            for over in overrides.container_overrides.iter().filter(|over| over.name == container.name) {
                environment
                    .extend(over.environment.iter().map(|variable| (variable.name.clone(), variable.value.clone())));
                if !over.command.is_empty() {
                    arguments = container.entry_point.iter().chain(&over.command).cloned().collect();
                }
            }
            containers.push(ContainerSpec {
                name: container.name.clone(),
                image: container.image.clone(),
                arguments,
                environment,
                stop_timeout: Duration::from_secs(container.stop_timeout.unwrap_or(STOP_TIMEOUT)),
            });
        }
        Ok(TaskSpec { id: id.to_owned(), containers })
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
        let state = self.lock();
        let arns: Vec<&str> = state
            .tasks
            .values()
            .filter(|task| task.desired_status == wanted)
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

impl Task {
    fn new(cluster: &str, id: &str, definition: &TaskDefinition, overrides: Overrides, tags: Vec<Tag>) -> Self {
        let task_arn = task_arn(cluster, id);
        let size = |key: &str| definition.rest.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            cluster_arn: format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}"),
            task_definition_arn: definition.task_definition_arn.clone(),
            group: format!("family:{}", definition.family),
            launch_type: "FARGATE".to_owned(),
            last_status: "PROVISIONING".to_owned(),
            desired_status: "RUNNING".to_owned(),
            version: 1,
            cpu: size("cpu"),
            memory: size("memory"),
            overrides,
            containers: definition
                .container_definitions
                .iter()
                .map(|container| Container {
                    container_arn: format!(
                        "arn:aws:ecs:{REGION}:{ACCOUNT}:container/{cluster}/{id}/{}",
                        container.name
                    ),
                    task_arn: task_arn.clone(),
                    name: container.name.clone(),
                    image: container.image.clone(),
                    last_status: "PENDING".to_owned(),
                    exit_code: None,
                })
                .collect(),
            tags,
            created_at: Timestamp::now(),
            started_at: None,
            stopping_at: None,
            stopped_at: None,
            stop_code: None,
            stopped_reason: None,
            end_told: false,
            task_arn,
        }
    }

    fn want_stop(&mut self, reason: &str) {
        self.desired_status = "STOPPED".to_owned();
        self.stopping_at.get_or_insert_with(Timestamp::now);
        // The first reason stands.
        self.stop_code.get_or_insert_with(|| "UserInitiated".to_owned());
        self.stopped_reason.get_or_insert_with(|| reason.to_owned());
    }

    fn stop(&mut self, stop_code: &str, reason: &str, exit_codes: &BTreeMap<String, i32>, now: Timestamp) {
        self.last_status = "STOPPED".to_owned();
        self.desired_status = "STOPPED".to_owned();
        self.stopping_at.get_or_insert(now);
        self.stopped_at = Some(now);
        self.stop_code.get_or_insert_with(|| stop_code.to_owned());
        self.stopped_reason.get_or_insert_with(|| reason.to_owned());
        for container in &mut self.containers {
            container.last_status = "STOPPED".to_owned();
            container.exit_code = exit_codes.get(&container.name).copied();
        }
    }

    /// As the API shows it: times in seconds since 1970.
    fn shown(&self, with_tags: bool) -> Value {
        let mut task = json!(self);
        if let Some(task) = task.as_object_mut() {
            for (name, at) in [
                ("createdAt", Some(self.created_at)),
                ("startedAt", self.started_at),
                ("stoppingAt", self.stopping_at),
                ("stoppedAt", self.stopped_at),
            ] {
                if let Some(at) = at {
                    task.insert(name.to_owned(), json!(at.as_millisecond() as f64 / 1000.0));
                }
            }
            task.remove("endTold");
            if !with_tags {
                task.remove("tags");
            }
        }
        task
    }

    /// As EventBridge carries it ("Amazon ECS task state change events"): times as text, no tags.
    fn event(&self) -> Value {
        let mut detail = json!(self);
        if let Some(detail) = detail.as_object_mut() {
            detail.remove("tags");
            detail.remove("endTold");
            detail.insert("updatedAt".to_owned(), json!(Timestamp::now()));
        }
        json!({
            "version": "0",
            "id": uuid::Uuid::new_v4().to_string(),
            "detail-type": "ECS Task State Change",
            "source": "aws.ecs",
            "account": ACCOUNT,
            "time": format!("{:.0}", Timestamp::now()),
            "region": REGION,
            "resources": [self.task_arn],
            "detail": detail,
        })
    }
}

fn hash(body: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn task_arn(cluster: &str, id: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{id}")
}

fn check_tags(tags: &[Tag]) -> Result<(), AwsError> {
    if tags.len() > MAX_TAGS {
        return Err(invalid(format!("A resource can have {MAX_TAGS} tags at most.")));
    }
    let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c));
    for tag in tags {
        let fits = !tag.key.is_empty()
            && tag.key.chars().count() <= MAX_TAG_KEY
            && tag.value.chars().count() <= MAX_TAG_VALUE
            && !tag.key.to_ascii_lowercase().starts_with("aws:")
            && allowed(&tag.key)
            && allowed(&tag.value);
        if !fits {
            return Err(invalid(format!(
                "The tag {:?} has a key or value that is too long or has characters that tags cannot have.",
                tag.key
            )));
        }
    }
    Ok(())
}

fn check_fargate_size(settings: &serde_json::Map<String, Value>) -> Result<(), AwsError> {
    let number = |key: &str| settings.get(key).and_then(Value::as_str).and_then(|text| text.parse::<u32>().ok());
    let fits = match (number("cpu"), number("memory")) {
        (Some(256), Some(memory)) => [512, 1024, 2048].contains(&memory),
        (Some(512), Some(memory)) => (1024..=4096).contains(&memory) && memory % 1024 == 0,
        (Some(1024), Some(memory)) => (2048..=8192).contains(&memory) && memory % 1024 == 0,
        (Some(2048), Some(memory)) => (4096..=16_384).contains(&memory) && memory % 1024 == 0,
        (Some(4096), Some(memory)) => (8192..=30_720).contains(&memory) && memory % 1024 == 0,
        (Some(8192), Some(memory)) => (16_384..=61_440).contains(&memory) && memory % 4096 == 0,
        (Some(16_384), Some(memory)) => (32_768..=122_880).contains(&memory) && memory % 8192 == 0,
        _ => false,
    };
    if fits { Ok(()) } else { Err(client("No Fargate configuration exists for given values.")) }
}
