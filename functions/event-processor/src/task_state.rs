//! Handles ECS task state changes ("Amazon ECS task state change events").

use jiff::Timestamp;
use runvoy_core::{
    App, Error,
    execution::{
        Status, TaskId, TaskSize, TaskTimes,
        task::{self, Applied, Phase, TaskState},
        task_report::{ContainerReport, FARGATE_SPOT, TaskReport, is_arm},
    },
    logs::completion,
    websocket::fan_out,
};
use serde::Deserialize;
use serde_json::Value;

use crate::error::EventError;

#[derive(Deserialize)]
struct Event {
    time: Option<Timestamp>,
    detail: Detail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    task_arn: String,
    last_status: String,
    started_by: Option<String>,
    stop_code: Option<String>,
    stopped_reason: Option<String>,
    created_at: Option<Timestamp>,
    pull_started_at: Option<Timestamp>,
    pull_stopped_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    stopping_at: Option<Timestamp>,
    execution_stopped_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    cpu: Option<String>,
    memory: Option<String>,
    ephemeral_storage: Option<EphemeralStorage>,
    capacity_provider_name: Option<String>,
    attributes: Option<Vec<Attribute>>,
    containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct EphemeralStorage {
    #[serde(rename = "sizeInGiB")]
    gib: u32,
}

#[derive(Deserialize)]
struct Attribute {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: Option<String>,
    exit_code: Option<i32>,
    reason: Option<String>,
}

impl TryFrom<Event> for TaskState {
    type Error = Error;

    fn try_from(event: Event) -> Result<Self, Error> {
        let detail = event.detail;
        let id = TaskId::from_arn(&detail.task_arn)?;
        let containers = detail.containers.unwrap_or_default().into_iter();
        let attributes = detail.attributes.unwrap_or_default();
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or_default();
        let report = TaskReport {
            last_status: detail.last_status,
            started_by: detail.started_by,
            stop_code: detail.stop_code,
            stopped_reason: detail.stopped_reason,
            times: TaskTimes {
                created_at: detail.created_at,
                pull_started_at: detail.pull_started_at,
                pull_stopped_at: detail.pull_stopped_at,
                started_at: detail.started_at,
                stopping_at: detail.stopping_at,
                execution_stopped_at: detail.execution_stopped_at,
                stopped_at: detail.stopped_at,
            },
            size: TaskSize {
                cpu_units: number(detail.cpu),
                memory_mib: number(detail.memory),
                disk: detail.ephemeral_storage.map(|disk| disk.gib).unwrap_or_default(),
                is_arm: attributes.iter().any(|one| is_arm(&one.name, one.value.as_deref())),
                is_spot: detail.capacity_provider_name.as_deref() == Some(FARGATE_SPOT),
            },
            containers: containers
                .map(|one| ContainerReport {
                    name: one.name.unwrap_or_default(),
                    exit_code: one.exit_code,
                    reason: one.reason,
                })
                .collect(),
            reported_at: event.time,
        };
        Ok(Self::new(id, report))
    }
}

/// Moves the execution to the state of its task. After the task's end, also completes the log, sends it to the viewers, and closes
/// their connections.
pub(crate) async fn handle(app: &App, event: Value) -> Result<(), EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("ECS task state change"))?;
    let state = TaskState::try_from(event)?;
    let id = state.execution_id();
    let (record, changed) = match task::apply(app, &state).await? {
        Applied::Ignored => return Ok(()),
        Applied::Known { record, changed } => (record, changed),
    };
    if changed && record.execution.status == Status::Queued {
        let attempt = record.execution.attempt;
        tracing::info!(execution_id = %id, attempt, "another attempt follows");
        // Viewers stay connected, and see that it waits.
        return Ok(fan_out::wake(app, id).await?);
    }
    if changed {
        let execution = &record.execution;
        let (exit_code, reason) = (execution.exit_code, execution.stopped_reason.as_deref());
        tracing::info!(execution_id = %id, status = %execution.status, exit_code, reason, "execution changed");
    }
    match &state.phase {
        // The task is that of an earlier attempt, or the execution was ended without it.
        _ if record.task().as_ref() != Some(&state.task_id) => {}
        // Without viewers, the end of the log may be left to its first reader.
        Phase::Stopped(stop) if record.execution.status.is_terminal() => {
            if completion::complete(app, id, stop).await?.is_some() {
                fan_out::wake(app, id).await?;
            }
        }
        // Viewers may have asked for the status.
        _ => fan_out::wake(app, id).await?,
    }
    Ok(())
}
