//! What a task's events say about its execution.

use std::time::Duration;

use aws_sdk_ecs::types::Task;
use jiff::Timestamp;

use super::{Changed, ExecutionId, ExecutionRecord, Idempotency, NewExecution, Status, Transition};
use crate::{App, Error, Result, email::Email, image::task_definition::RUNNER};

pub const TAG_CREATED_BY: &str = "CreatedBy";
pub const TAG_IMAGE_ID: &str = "ImageId";
pub const TAG_REQUEST_ID: &str = "RequestId";
pub const TAG_IDEMPOTENCY_KEY: &str = "IdempotencyKey";
pub const TAG_REQUEST_HASH: &str = "RequestHash";

/// The part of an ECS task's state that an execution follows.
#[derive(Clone, Debug)]
pub struct TaskState {
    pub execution_id: ExecutionId,
    pub phase: Phase,
    pub started_at: Option<Timestamp>,
    /// When ECS noticed.
    pub noticed_at: Option<Timestamp>,
}

impl TaskState {
    /// From what DescribeTasks shows.
    pub fn described(id: &ExecutionId, task: &Task) -> Self {
        let time =
            |at: Option<&aws_sdk_ecs::primitives::DateTime>| Timestamp::from_millisecond(at?.to_millis().ok()?).ok();
        let phase = match task.last_status() {
            Some("RUNNING") => Phase::Running,
            Some("STOPPED") => Phase::Stopped(Stop {
                stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
                reason: task.stopped_reason().map(str::to_owned),
                exit_code: task
                    .containers()
                    .iter()
                    .find(|container| container.name() == Some(RUNNER))
                    .and_then(|container| container.exit_code()),
                at: time(task.stopped_at()),
            }),
            _ => Phase::Between,
        };
        Self { execution_id: id.clone(), phase, started_at: time(task.started_at()), noticed_at: None }
    }
}

/// How long after an event its task may still be on its way into what DescribeTasks shows.
const CONSISTENT_AFTER: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Provisioning, pending, deprovisioning and the like: nothing that an execution shows.
    Between,
    Running,
    Stopped(Stop),
}

/// How a task ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    pub stop_code: Option<String>,
    pub reason: Option<String>,
    /// The exit code of the container `runner`.
    pub exit_code: Option<i32>,
    pub at: Option<Timestamp>,
}

impl Stop {
    /// The end state and exit code that this end means.
    pub fn outcome(&self) -> (Status, i32) {
        match (self.stop_code.as_deref(), self.exit_code) {
            (Some("UserInitiated"), _) => (Status::Stopped, 130),
            (Some("TaskFailedToStart"), _) | (_, None) => (Status::Failed, 1),
            (_, Some(0)) => (Status::Succeeded, 0),
            (_, Some(code)) => (Status::Failed, code),
        }
    }

    /// Whether the runner can have written its last line: it ran, and ended by itself.
    pub fn ran_to_its_end(&self) -> bool {
        self.exit_code.is_some_and(|code| code != 137)
    }
}

/// What came of a task's event.
#[derive(Debug)]
pub enum Applied {
    /// Not a task of ours, or nothing that an execution shows.
    Ignored,
    /// The execution as it is now, whether or not this event changed it.
    Known { record: Box<ExecutionRecord>, changed: bool },
}

/// Moves the execution to where its task is. Safe in any order and any number of times.
pub async fn apply(app: &App, state: &TaskState) -> Result<Applied> {
    if state.phase == Phase::Between {
        return Ok(Applied::Ignored);
    }
    if let Some(applied) = write(app, state).await? {
        return Ok(applied);
    }
    let id = &state.execution_id;
    match recover(app, id).await {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(Applied::Ignored),
        Err(Error::NotFound { .. }) => {
            let age = state.noticed_at.map(|at| app.now().duration_since(at).unsigned_abs());
            if age.is_some_and(|age| age > CONSISTENT_AFTER) {
                tracing::warn!(execution_id = %id, "ignored: neither runvoy nor ECS knows this task");
                return Ok(Applied::Ignored);
            }
            return Err(Error::Aws { service: "ECS", cause: format!("task {id} is not known yet") });
        }
        Err(error) => return Err(error),
    }
    write(app, state)
        .await?
        .ok_or_else(|| Error::Database(format!("execution {id} vanished while its task's event was handled")))
}

async fn write(app: &App, state: &TaskState) -> Result<Option<Applied>> {
    let (to, with) = match &state.phase {
        Phase::Between => return Ok(Some(Applied::Ignored)),
        Phase::Running => (Status::Running, Transition::default()),
        Phase::Stopped(stop) => {
            let (status, exit_code) = stop.outcome();
            let ended = stop.at.unwrap_or_else(|| app.now());
            let started = match state.started_at {
                Some(started) => started,
                None => match super::find(app, &state.execution_id).await? {
                    Some(record) => record.execution.started_at,
                    None => return Ok(None),
                },
            };
            let with = Transition {
                exit_code: Some(exit_code),
                completed_at: Some(ended),
                duration_seconds: Some(ended.duration_since(started).as_secs().max(0)),
                stopped_reason: stop.reason.clone(),
                request_id: None,
            };
            (status, with)
        }
    };
    Ok(match super::change(app, &state.execution_id, to, with).await? {
        Changed::Yes(record) => Some(Applied::Known { record, changed: true }),
        Changed::No(record) => Some(Applied::Known { record, changed: false }),
        Changed::Missing => None,
    })
}

/// Makes the record of an execution from its task's tags and overrides: the task's event came before the record, or the
/// orchestrator died before writing it. `None` when the task is not ours.
///
/// # Errors
/// [`Error::NotFound`] when ECS does not know the task: not yet, or not any more (an hour after its end).
pub async fn recover(app: &App, id: &ExecutionId) -> Result<Option<ExecutionRecord>> {
    let answer = app
        .aws
        .ecs
        .describe_tasks()
        .cluster(&app.config.ecs_cluster)
        .tasks(id.as_str())
        .include(aws_sdk_ecs::types::TaskField::Tags)
        .send()
        .await
        .map_err(Error::aws("ECS"))?;
    let Some(task) = answer.tasks().first() else {
        return Err(Error::not_found("execution", id.as_str()));
    };
    let tag = |key: &str| task.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
    let (Some("runvoy"), Some(created_by)) = (tag("Application"), tag(TAG_CREATED_BY)) else { return Ok(None) };
    let command = task
        .overrides()
        .into_iter()
        .flat_map(|overrides| overrides.container_overrides())
        .filter(|container| container.name() == Some(RUNNER))
        .flat_map(|container| container.environment())
        .find(|variable| variable.name() == Some("RUNVOY_COMMAND"))
        .and_then(|variable| variable.value())
        .unwrap_or_default();
    let started_at = task
        .created_at()
        .and_then(|at| at.to_millis().ok())
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .unwrap_or_else(|| app.now());
    let new = NewExecution {
        execution_id: id.clone(),
        created_by: Email::parse(created_by).map_err(|error| Error::Internal(error.to_string()))?,
        command: command.to_owned(),
        image_id: tag(TAG_IMAGE_ID).unwrap_or_default().to_owned(),
        started_at,
        request_id: tag(TAG_REQUEST_ID).unwrap_or_default().to_owned(),
        idempotency: tag(TAG_IDEMPOTENCY_KEY)
            .zip(tag(TAG_REQUEST_HASH))
            .map(|(key, request_hash)| Idempotency { key: key.to_owned(), request_hash: request_hash.to_owned() }),
    };
    super::record(app, &new).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(stop_code: &str, exit_code: Option<i32>) -> (Status, i32) {
        Stop { stop_code: Some(stop_code.to_owned()), exit_code, ..Stop::default() }.outcome()
    }

    #[test]
    fn a_tasks_end_means_what_the_contract_says() {
        assert_eq!(outcome("UserInitiated", Some(0)), (Status::Stopped, 130));
        assert_eq!(outcome("UserInitiated", None), (Status::Stopped, 130));
        assert_eq!(outcome("TaskFailedToStart", None), (Status::Failed, 1));
        assert_eq!(outcome("EssentialContainerExited", Some(0)), (Status::Succeeded, 0));
        assert_eq!(outcome("EssentialContainerExited", Some(42)), (Status::Failed, 42));
        assert_eq!(outcome("EssentialContainerExited", None), (Status::Failed, 1));
        assert_eq!(outcome("SpotInterruption", None), (Status::Failed, 1));
    }
}
