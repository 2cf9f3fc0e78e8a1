//! Looks each minute for executions that nothing else moves on: those without a task whose program has died, or that wait for capacity, and
//! those that are being started and whose task has told all that it will.

use jiff::SignedDuration;

use crate::{
    App, Error, Result,
    execution::{self, ExecutionRecord, Status, list},
    lock::{self, order::RUNNING, running},
};

use super::{
    after::others_ended,
    begin::{go_on, late, release, start_attempt},
    catch_up::{TASKS_A_CALL, catch_up, describe},
    end,
};

/// So long is left to the event that starts a task. Later, the sweep starts it, unless an invocation has the lease.
const START_BY_EVENT: SignedDuration = SignedDuration::from_secs(20);
/// After this long, the events of a task's start have usually come. Those of a large image come later, and asking for it costs little.
const START_IS_TOLD: SignedDuration = SignedDuration::from_mins(1);
/// After this long, the invocation that began to start a task has ended: a little more than the event processor's time limit of 120 s. Another
/// that starts it has a lease.
const NO_STARTER_LIVES: SignedDuration = SignedDuration::from_secs(150);

/// Moves on what has stopped. A failure of one execution does not hold up the others.
///
/// # Errors
/// The first error, after all executions have been tried.
pub async fn sweep(app: &App) -> Result<()> {
    let (mut failed, mut starting) = (None, Vec::new());
    let statuses = [Status::Queued, Status::Starting, Status::Terminating];
    for record in list::with_status(app, &statuses).await? {
        // Indexes lag behind. Each step reads the record itself, or changes it by a condition.
        if !record.is_without_task() {
            let age = app.now().duration_since(record.begun_at());
            if record.execution.status == Status::Starting && age >= START_IS_TOLD {
                starting.push(record);
            }
        } else if let Err(error) = move_on(app, &record).await {
            tracing::warn!(execution_id = %record.execution.execution_id, error = %error.chain(), "not moved on");
            failed.get_or_insert(error);
        }
    }
    if let Err(error) = sweep_starting(app, &starting).await {
        failed.get_or_insert(error);
    }
    if let Err(error) = sweep_locks(app).await {
        failed.get_or_insert(error);
    }
    failed.map_or(Ok(()), Err)
}

/// Moves executions on whose task is further than they are. A call of RunTask may be told that there is no room, although ECS has carried out an
/// earlier one whose caller had given up: the execution gives back its place among those that run, the task is stopped, and a later start, by
/// the same client token, gets that task, whose events have passed.
///
/// # Errors
/// The first error, after all executions have been tried.
async fn sweep_starting(app: &App, starting: &[ExecutionRecord]) -> Result<()> {
    let mut failed = None;
    for executions in starting.chunks(TASKS_A_CALL) {
        let tasks = match describe(app, executions).await {
            Ok(tasks) => tasks,
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        for record in executions {
            let Some(id) = record.task() else { continue };
            // A task that ECS does not know yet, or not any more, is left to reconcile.
            let Some(task) = tasks.get(id.as_str()) else { continue };
            if let Err(error) = catch_up(app, record, id, task).await {
                tracing::warn!(execution_id = %record.execution.execution_id, error = %error.chain(), "not moved on");
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn move_on(app: &App, record: &ExecutionRecord) -> Result<()> {
    let id = &record.execution.execution_id;
    let age = app.now().duration_since(record.begun_at());
    match record.execution.status {
        Status::Queued if record.is_late(app.now()) => end::fail(app, id, &late(record)).await,
        Status::Queued if record.waits_for_others() => others_ended(app, id).await,
        Status::Queued if record.waits_for_capacity() => release(app, id, &[]).await.map(drop),
        Status::Queued if record.goes_on(app.now()) => go_on(app, id).await,
        // ECS may have started the task without an answer.
        Status::Starting if age >= START_IS_TOLD && execution::adopt_started_task(app, record).await? => Ok(()),
        Status::Starting if age >= START_BY_EVENT => start_attempt(app, id).await,
        Status::Terminating if age >= NO_STARTER_LIVES => stop_unstarted(app, record).await,
        _ => Ok(()),
    }
}

/// Ends an execution that was killed while its task was being started, by an invocation that has died.
async fn stop_unstarted(app: &App, record: &ExecutionRecord) -> Result<()> {
    let id = &record.execution.execution_id;
    if execution::adopt_started_task(app, record).await? {
        return Ok(());
    }
    let reason = record.execution.stopped_reason.as_deref().unwrap_or("killed");
    let ended =
        execution::end_without_task(app, id, &[Status::Terminating], Status::Stopped, reason, None, &[]).await?;
    match ended {
        Some(record) => end::finish(app, &record).await,
        None => Ok::<(), Error>(()),
    }
}

/// Gives locks to those in line for whom nothing else does it, and takes them from executions that have ended.
///
/// # Errors
/// The first error, after all locks have been tried.
async fn sweep_locks(app: &App) -> Result<()> {
    let mut failed = None;
    for lock in lock::all(app).await?.into_iter().map(|one| one.lock).filter(|lock| lock.held > 0 || lock.waiting > 0) {
        let swept = async {
            if lock.name == RUNNING {
                running::follow_setting(app).await?;
            }
            execution::free_lost(app, &lock.name).await?;
            execution::give_free_slots(app, &lock.name).await
        };
        if let Err(error) = swept.await {
            tracing::warn!(lock = lock.name, error = %error.chain(), "the lock was not looked after");
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}
