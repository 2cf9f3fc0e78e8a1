//! ECS task state changes ("Amazon ECS task state change events").

use runvoy_core::{
    App,
    execution::{
        ExecutionId,
        task::{self, Applied, Phase, Stop, TaskState},
    },
    image::task_definition::RUNNER,
    websocket::serve,
};
use serde::Deserialize;
use serde_json::Value;

use crate::EventError;

#[derive(Deserialize)]
struct Event {
    time: Option<jiff::Timestamp>,
    detail: Detail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    task_arn: String,
    last_status: String,
    stop_code: Option<String>,
    stopped_reason: Option<String>,
    started_at: Option<jiff::Timestamp>,
    stopped_at: Option<jiff::Timestamp>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    exit_code: Option<i32>,
}

impl Event {
    fn task(self) -> runvoy_core::Result<TaskState> {
        let detail = self.detail;
        let phase = match detail.last_status.as_str() {
            "RUNNING" => Phase::Running,
            "STOPPED" => Phase::Stopped(Stop {
                stop_code: detail.stop_code,
                reason: detail.stopped_reason,
                exit_code: detail.containers.iter().find(|one| one.name == RUNNER).and_then(|one| one.exit_code),
                at: detail.stopped_at,
            }),
            _ => Phase::Between,
        };
        Ok(TaskState {
            execution_id: ExecutionId::from_task_arn(&detail.task_arn)?,
            phase,
            started_at: detail.started_at,
            noticed_at: self.time,
        })
    }
}

/// Moves the execution to where its task is. After the task's end, also brings its log to the end, sends it to whoever is
/// watching, and sends them off.
pub async fn handle(app: &App, event: Value) -> Result<(), EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("ECS task state change"))?;
    let state = event.task()?;
    let id = &state.execution_id;
    let (record, changed) = match task::apply(app, &state).await? {
        Applied::Ignored => return Ok(()),
        Applied::Known { record, changed } => (record, changed),
    };
    if changed {
        let exit_code = record.execution.exit_code;
        tracing::info!(execution_id = %id, status = %record.execution.status, exit_code, "execution changed");
    }
    match &state.phase {
        Phase::Stopped(stop) => serve::conclude(app, &record, stop).await?,
        // Some viewers want to know.
        _ if record.log.viewers > 0 => serve::execution(app, &record, &[]).await?,
        _ => {}
    }
    Ok(())
}
