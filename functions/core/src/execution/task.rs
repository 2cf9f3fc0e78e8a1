//! Moves an execution to the state that ECS reports of its task, and makes the record of a task that has none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_ecs::types::Task;
use jiff::Timestamp;

use super::{
    API, Asked, Attempt, Changed, ExecutionId, ExecutionRecord, Idempotency, NewExecution, Status, TaskId, TaskSize,
    TaskTimes, Transition,
    attempt::stop_unwanted,
    cost, entries,
    outcome::Stop,
    overrides,
    record::{self, Located},
    run_request::without_credentials,
    waiting,
};
use crate::{
    App, Email, Error, RequestId, Result,
    audit::Actor,
    error::Service,
    image::{
        ImageId,
        task_definition::{self, RUNNER, SIDECAR},
    },
};

/// Tags of a task. An execution whose record was not written gets it from them.
pub(crate) const TAG_CREATED_BY: &str = "CreatedBy";
pub(super) const TAG_IMAGE_ID: &str = "ImageId";
pub(super) const TAG_SOURCE: &str = "Source";
pub(super) const TAG_KEY_ID: &str = "KeyId";
pub(super) const TAG_SOURCE_ADDRESS: &str = "SourceAddress";
pub(super) const TAG_REQUEST_ID: &str = "RequestId";
pub(super) const TAG_IDEMPOTENCY_KEY: &str = "IdempotencyKey";
pub(super) const TAG_REQUEST_HASH: &str = "RequestHash";

/// The capacity provider of Spot.
pub const FARGATE_SPOT: &str = "FARGATE_SPOT";

/// Tells whether an attribute of a task says that it runs on ARM.
pub fn is_arm(name: &str, value: Option<&str>) -> bool {
    name == "ecs.cpu-architecture" && value == Some("arm64")
}

/// The time in which DescribeTasks may not show a task yet that ECS has started or told of in an event. AWS gives no figure ("RunTask",
/// eventual consistency); a minute is generous.
pub(crate) const CONSISTENT_AFTER: Duration = Duration::from_mins(1);

/// A task as ECS describes it, in an event or in the answer of DescribeTasks.
#[derive(Clone, Debug, Default)]
pub struct TaskReport {
    pub last_status: String,
    pub started_by: Option<String>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub times: TaskTimes,
    pub size: TaskSize,
    pub containers: Vec<ContainerReport>,
    /// When ECS sent the report; absent for an answer of DescribeTasks.
    pub reported_at: Option<Timestamp>,
}

/// A container of a task as ECS describes it.
#[derive(Clone, Debug, Default)]
pub struct ContainerReport {
    pub name: String,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
}

impl From<&Task> for TaskReport {
    fn from(task: &Task) -> Self {
        let time =
            |at: Option<&aws_sdk_ecs::primitives::DateTime>| Timestamp::from_millisecond(at?.to_millis().ok()?).ok();
        Self {
            last_status: task.last_status().unwrap_or_default().to_owned(),
            started_by: task.started_by().map(str::to_owned),
            stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
            stopped_reason: task.stopped_reason().map(str::to_owned),
            times: TaskTimes {
                created_at: time(task.created_at()),
                pull_started_at: time(task.pull_started_at()),
                pull_stopped_at: time(task.pull_stopped_at()),
                started_at: time(task.started_at()),
                stopping_at: time(task.stopping_at()),
                execution_stopped_at: time(task.execution_stopped_at()),
                stopped_at: time(task.stopped_at()),
            },
            size: TaskSize {
                cpu_units: task.cpu().and_then(|units| units.parse().ok()).unwrap_or_default(),
                memory_mib: task.memory().and_then(|mib| mib.parse().ok()).unwrap_or_default(),
                disk: task.ephemeral_storage().and_then(|disk| disk.size_in_gib().try_into().ok()).unwrap_or_default(),
                is_arm: task.attributes().iter().any(|one| is_arm(one.name(), one.value())),
                is_spot: task.capacity_provider_name() == Some(FARGATE_SPOT),
            },
            containers: task
                .containers()
                .iter()
                .map(|container| ContainerReport {
                    name: container.name().unwrap_or_default().to_owned(),
                    exit_code: container.exit_code(),
                    reason: container.reason().map(str::to_owned),
                })
                .collect(),
            reported_at: None,
        }
    }
}

/// The part of an ECS task's state that an execution follows.
#[derive(Clone, Debug)]
pub struct TaskState {
    pub task_id: TaskId,
    /// The attempt that the task is, of an execution that exists before its task.
    attempt: Option<Attempt>,
    pub phase: Phase,
    times: TaskTimes,
    size: TaskSize,
    reported_at: Option<Timestamp>,
}

impl TaskState {
    pub fn new(task_id: TaskId, report: TaskReport) -> Self {
        let TaskReport { times, size, reported_at, .. } = report;
        let attempt = report.started_by.as_deref().and_then(Attempt::parse);
        let phase = match report.last_status.as_str() {
            "RUNNING" => Phase::Running,
            "STOPPED" => Phase::Stopped(Stop::new(report)),
            _ => Phase::Other,
        };
        Self { task_id, attempt, phase, times, size, reported_at }
    }

    /// The execution whose task this is.
    pub fn execution_id(&self) -> &ExecutionId {
        self.attempt.as_ref().map_or_else(|| self.task_id.as_execution(), |attempt| &attempt.execution_id)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// PROVISIONING, PENDING, DEPROVISIONING and the like, which an execution does not show.
    Other,
    Running,
    Stopped(Stop),
}

/// The result of a task's event.
#[derive(Debug)]
pub enum Applied {
    /// The task is not one of runvoy's, or its state is none that an execution shows.
    Ignored,
    /// The execution after the event.
    Known { record: Box<ExecutionRecord>, changed: bool },
}

/// Moves the execution to the state of its task. The result is the same for events in any order and any number of times.
///
/// # Errors
/// [`Error::Aws`] also when ECS does not know the task yet, so that the event is delivered again.
pub async fn apply(app: &App, state: &TaskState) -> Result<Applied> {
    if state.phase == Phase::Other {
        return Ok(Applied::Ignored);
    }
    if let Some(applied) = write(app, state).await? {
        return Ok(applied);
    }
    let id = state.execution_id();
    if state.attempt.is_some() {
        // The record of such an execution is written before its task is asked for.
        tracing::warn!(execution_id = %id, "ignored: the task is of an execution that does not exist");
        return Ok(Applied::Ignored);
    }
    match recover(app, &state.task_id).await {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(Applied::Ignored),
        Err(Error::NotFound { .. }) => {
            if state.reported_at.is_some_and(|at| is_consistent(app, at)) {
                tracing::warn!(execution_id = %id, "ignored: neither runvoy nor ECS knows this task");
                return Ok(Applied::Ignored);
            }
            return Err(not_known_yet(&state.task_id));
        }
        Err(error) => return Err(error),
    }
    write(app, state).await?.ok_or_else(|| Error::internal("an execution vanished while its task's event was handled"))
}

/// The failure of a call about a task that ECS has just started and does not show yet. The caller's repetition mends it.
pub(super) fn not_known_yet(id: &TaskId) -> Error {
    Error::unavailable(Service::Ecs, format!("task {id} is not known yet"))
}

/// Tells whether DescribeTasks shows by now every task that existed at this time.
pub fn is_consistent(app: &App, since: Timestamp) -> bool {
    app.now().duration_since(since).unsigned_abs() > CONSISTENT_AFTER
}

/// Writes a task's state to its execution. `None` when the execution has no record yet.
async fn write(app: &App, state: &TaskState) -> Result<Option<Applied>> {
    let mut applied = write_once(app, state).await?;
    let Some(attempt) = &state.attempt else { return Ok(applied) };
    // The event came before the invocation that started the task has written whose task it is.
    if let Some(Applied::Known { record, changed: false }) = &applied
        && waiting::lacks_task(record, attempt)
    {
        waiting::adopt(app, attempt, &state.task_id).await?;
        applied = write_once(app, state).await?;
    }
    // The invocation that was to stop the task of a killed execution may have died.
    if let Some(Applied::Known { record, .. }) = &applied
        && state.phase == Phase::Running
        && record.execution.status == Status::Terminating
    {
        stop_unwanted(app, record, &state.task_id).await?;
    }
    Ok(applied)
}

async fn write_once(app: &App, state: &TaskState) -> Result<Option<Applied>> {
    let id = state.execution_id();
    let (to, mut with) = match &state.phase {
        Phase::Other => return Ok(Some(Applied::Ignored)),
        Phase::Running => (Status::Running, Transition { times: Some(state.times), ..Transition::default() }),
        Phase::Stopped(stop) => {
            let started = match state.times.started_at {
                Some(started) => started,
                None => match super::find(app, id).await? {
                    Some(record) => record.begun_at(),
                    None => return Ok(None),
                },
            };
            let (to, with) = stop.transition(started, app.now());
            let cost = cost::estimate(&app.config.region, &state.size, state.times.billed());
            (to, Transition { times: Some(state.times), cost_estimate_usd: cost, ..with })
        }
    };
    with.task = Some(state.task_id.clone());
    Ok(match super::change(app, id, to, with).await? {
        Changed::Yes(record) => Some(Applied::Known { record, changed: true }),
        Changed::No(record) => Some(Applied::Known { record, changed: false }),
        Changed::Missing => None,
    })
}

/// The execution of a task, by its record or by the pointer that leads to it. Makes the record or the pointer if it is missing.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution and ECS knows no such task of runvoy's: not yet, or not any more.
pub async fn execution_of(app: &App, task: &TaskId) -> Result<ExecutionId> {
    if let Some(id) = app.known_tasks.get(task) {
        return Ok(id);
    }
    let id = match record::locate(app, task.as_execution()).await? {
        Some(Located::Execution(record)) => record.execution.execution_id,
        Some(Located::Pointer(id)) => id,
        None => match recover(app, task).await? {
            Some(record) => record.execution.execution_id,
            None => return Err(Error::not_found("execution", task.as_str())),
        },
    };
    app.known_tasks.note(task, &id);
    Ok(id)
}

/// Executions of tasks that this program has met. Whose a task is never changes, so that a warm function reads it once.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownTasks(Arc<Mutex<HashMap<TaskId, ExecutionId>>>);

/// The largest number of tasks that a function keeps in mind: about 1 MB.
const MAX_KNOWN_TASKS: usize = 5000;

impl KnownTasks {
    fn get(&self, task: &TaskId) -> Option<ExecutionId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(task).cloned()
    }

    fn note(&self, task: &TaskId, id: &ExecutionId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN_TASKS {
            known.clear();
        }
        known.insert(task.clone(), id.clone());
    }
}

/// Makes what a task's record lacks: for an execution that started at once, the record, from the task's tags and overrides; for another
/// one, the pointer from the task. Needed when the task's event came first, or the program died before it wrote the record. `None` when
/// the task is not one of runvoy's.
///
/// # Errors
/// [`Error::NotFound`] when ECS does not know the task or its tags: not yet, or not any more (an hour after its end).
pub(crate) async fn recover(app: &App, id: &TaskId) -> Result<Option<ExecutionRecord>> {
    let answer = app
        .aws
        .ecs
        .describe_tasks()
        .cluster(&app.config.ecs_cluster)
        .tasks(id.as_str())
        .include(aws_sdk_ecs::types::TaskField::Tags)
        .send()
        .await
        .map_err(Error::aws(Service::Ecs))?;
    let Some(task) = answer.tasks().first() else {
        return Err(Error::not_found("execution", id.as_str()));
    };
    // ECS shows this with the task, and its tags later.
    if let Some(attempt) = task.started_by().and_then(Attempt::parse) {
        return waiting::adopt(app, &attempt, id).await;
    }
    let tag = |key: &str| task.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
    let started_at = task
        .created_at()
        .and_then(|at| at.to_millis().ok())
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .unwrap_or_else(|| app.now());
    let (Some("runvoy"), Some(created_by)) = (tag("Application"), tag(TAG_CREATED_BY)) else {
        // ECS shows the tags of a new task later than the task.
        let may_be_ours = task.tags().is_empty() && !is_consistent(app, started_at);
        return if may_be_ours { Err(Error::not_found("execution", id.as_str())) } else { Ok(None) };
    };
    let variable = |container: &str, name: &str| {
        task.overrides()
            .into_iter()
            .flat_map(aws_sdk_ecs::types::TaskOverride::container_overrides)
            .filter(|one| one.name() == Some(container))
            .flat_map(aws_sdk_ecs::types::ContainerOverride::environment)
            .find(|variable| variable.name() == Some(name))
            .and_then(|variable| variable.value())
            .map(str::to_owned)
    };
    let asked = Asked {
        variables: variable(RUNNER, overrides::ENV_NAMES)
            .map(|names| names.split(' ').map(str::to_owned).collect())
            .unwrap_or_default(),
        git_repo: variable(SIDECAR, overrides::GIT_REPO).map(|repo| without_credentials(&repo)),
        git_ref: variable(SIDECAR, overrides::GIT_REF),
        git_path: variable(RUNNER, overrides::GIT_PATH),
        timeout: variable(RUNNER, overrides::TIMEOUT).and_then(|seconds| seconds.parse().ok()),
        cpu: task.overrides().and_then(|overrides| overrides.cpu()?.parse().ok()),
        memory: task.overrides().and_then(|overrides| overrides.memory()?.parse().ok()),
        disk: task.overrides().and_then(|overrides| overrides.ephemeral_storage()?.size_in_gib().try_into().ok()),
        spot: task.capacity_provider_name() == Some(FARGATE_SPOT),
        source: tag(TAG_SOURCE).unwrap_or(API).to_owned(),
        ..Asked::default()
    };
    let new = NewExecution {
        execution_id: id.as_execution().clone(),
        created_by: Email::parse(created_by)
            .map_err(|error| Error::internal_with("a task is tagged with a creator that is no user", error))?,
        command: variable(RUNNER, overrides::COMMAND).unwrap_or_default(),
        image_id: ImageId::new(tag(TAG_IMAGE_ID).unwrap_or_default()),
        started_at,
        request_id: RequestId::new(tag(TAG_REQUEST_ID).unwrap_or_default()),
        idempotency: tag(TAG_IDEMPOTENCY_KEY)
            .zip(tag(TAG_REQUEST_HASH))
            .map(|(key, request_hash)| Idempotency { key: key.to_owned(), request_hash: request_hash.to_owned() }),
        asked,
        nonce: variable(RUNNER, overrides::NONCE),
    };
    let actor = Actor {
        name: new.created_by.to_string(),
        key_id: tag(TAG_KEY_ID).map(str::to_owned),
        request_id: new.request_id.clone(),
        source_address: tag(TAG_SOURCE_ADDRESS).map(str::to_owned),
    };
    let mut entries = vec![entries::of_run(app, &actor, &new.execution_id, &new.image_id, &new.asked)];
    // The use of secrets, and of the image with them, was written down before the task was started.
    if !task.task_definition_arn().is_some_and(task_definition::has_secrets) {
        entries.push(entries::of_image(app, &actor, &new.image_id, &new.asked.source));
    }
    super::create(app, &new, None, &entries).await.map(Some)
}
