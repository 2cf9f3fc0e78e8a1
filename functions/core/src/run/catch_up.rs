//! Moves executions to the state in which ECS describes their tasks, after events that were lost or came before the execution had the task.

use std::collections::HashMap;

use aws_sdk_ecs::types::{Task, TaskField};

use crate::{
    App, Error, Result,
    error::Service,
    execution::{
        ExecutionRecord, TaskId,
        task::{self, Applied, Phase, TaskState},
        task_report::TaskReport,
    },
    logs::completion,
    websocket::fan_out,
};

/// Tasks that one call of DescribeTasks may name (Amazon ECS API Reference).
pub(crate) const TASKS_A_CALL: usize = 100;

/// The present tasks of at most [`TASKS_A_CALL`] executions, by their ids. ECS forgets a task an hour after its end.
///
/// # Errors
/// [`Error::Aws`] when ECS fails.
pub(crate) async fn describe(app: &App, executions: &[ExecutionRecord]) -> Result<HashMap<String, Task>> {
    let tasks: Vec<String> = executions.iter().filter_map(|record| Some(record.task()?.to_string())).collect();
    if tasks.is_empty() {
        return Ok(HashMap::new());
    }
    let described = app
        .aws
        .ecs
        .describe_tasks()
        .cluster(&app.config.ecs_cluster)
        .set_tasks(Some(tasks))
        .include(TaskField::Tags)
        .send()
        .await
        .map_err(Error::aws(Service::Ecs))?;
    let by_id = |task: Task| Some((TaskId::from_arn(task.task_arn()?).ok()?.to_string(), task));
    Ok(described.tasks.unwrap_or_default().into_iter().filter_map(by_id).collect())
}

/// Moves an execution to the state of its task. `false` if it was there already.
///
/// # Errors
/// [`Error::Aws`] when AWS fails.
pub(crate) async fn catch_up(app: &App, record: &ExecutionRecord, task_id: TaskId, task: &Task) -> Result<bool> {
    let id = &record.execution.execution_id;
    let state = TaskState::new(task_id, TaskReport::from(task));
    if let Phase::Stopped(stop) = &state.phase
        && record.execution.asked.retry.is_none()
    {
        // The log is completed before the status is written, because an execution that has ended is checked for a few hours only.
        completion::complete(app, id, stop).await?;
    }
    let Applied::Known { record, changed: true } = task::apply(app, &state).await? else { return Ok(false) };
    // The log of an execution with retries is completed only now, because another attempt might have followed.
    if let Phase::Stopped(stop) = &state.phase
        && record.execution.status.is_terminal()
    {
        completion::complete(app, id, stop).await?;
    }
    fan_out::notify(app, &record.execution.execution_id).await;
    Ok(true)
}
