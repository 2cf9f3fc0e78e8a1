//! Moves an execution to the state that ECS reports of its task.

use jiff::Timestamp;

use super::{
    Attempt, Changed, ExecutionId, ExecutionRecord, Status, TaskId, TaskSize, TaskTimes, Transition,
    attempt::stop_unwanted,
    consistency::{is_consistent, not_known_yet},
    cost,
    outcome::Stop,
    pointer,
    recover::recover,
    sidecar_failure,
    task_report::TaskReport,
};
use crate::{App, Error, Result};

/// The part of an ECS task's state that an execution follows.
#[derive(Clone, Debug)]
pub struct TaskState {
    pub task_id: TaskId,
    /// The attempt that the task is. `None` for an execution that has its record after its task.
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

/// Writes a task's state to its execution. `None` when the execution has no record yet.
async fn write(app: &App, state: &TaskState) -> Result<Option<Applied>> {
    let mut applied = write_once(app, state).await?;
    let Some(attempt) = &state.attempt else { return Ok(applied) };
    // The event came before the invocation that started the task has written whose task it is.
    if let Some(Applied::Known { record, changed: false }) = &applied
        && pointer::lacks_task(record, attempt)
    {
        pointer::adopt(app, attempt, &state.task_id).await?;
        applied = write_once(app, state).await?;
    }
    // The invocation that was to stop the task of a killed execution, or one that the execution does not want any more, may have died.
    if let Some(Applied::Known { record, .. }) = &applied
        && state.phase == Phase::Running
        && (record.execution.status == Status::Terminating || !record.tasks().contains(&state.task_id))
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
            if stop.is_told_by_sidecar() {
                sidecar_failure::wait(app, id, &state.task_id, stop.at).await?;
            }
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
