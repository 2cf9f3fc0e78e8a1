//! Looks each minute for executions that nothing else moves on: those without a task whose program has died, or that wait for capacity, and
//! those that are being started and whose task has told all that it will.

use std::collections::HashSet;

use jiff::SignedDuration;

use crate::{
    App, Result,
    execution::{self, Execution, ExecutionRecord, Status, list},
    lock::{self, order::RUNNING, running},
};

use super::{
    after::others_ended,
    begin::{go_on, late, release, start_attempt},
    catch_up::{TASKS_A_CALL, catch_up, describe},
    end,
};

/// The time that the event which starts a task has before the sweep starts it, unless an invocation has the lease.
const START_BY_EVENT: SignedDuration = SignedDuration::from_secs(20);
/// After this long, the events of a task's start have usually come. Those of a large image come later, and asking for it costs little.
const START_IS_TOLD: SignedDuration = SignedDuration::from_mins(1);
/// The time in which one sweep tries executions that wait for capacity: half of the event processor's time limit.
const CAPACITY_TIME: SignedDuration = SignedDuration::from_mins(1);

/// Moves on what has stopped. A failure of one execution does not hold up the others. Executions that wait for capacity come last, since there
/// may be thousands.
///
/// # Errors
/// The first error, after all executions have been tried.
pub async fn sweep(app: &App) -> Result<()> {
    let mut failed = sweep_locks(app).await.err();
    let (mut starting, mut waiting) = (Vec::new(), Vec::new());
    let statuses = [Status::Starting, Status::Terminating, Status::Queued];
    let mut open = list::with_status(app, &statuses).await?;
    open.sort_by_key(|record| (record.execution.status == Status::Queued, record.execution.started_at));
    for record in open {
        // Indexes lag behind. Each step reads the record itself, or changes it by a condition.
        if !record.is_without_task() {
            let age = app.now().duration_since(record.begun_at());
            if record.execution.status == Status::Starting && age >= START_IS_TOLD {
                starting.push(record);
            }
        } else if record.waits_for_capacity() && !record.is_late(app.now()) {
            waiting.push(record);
        } else if let Err(error) = move_on(app, &record).await {
            tracing::warn!(execution_id = %record.execution.execution_id, error = %error.chain(), "not moved on");
            failed.get_or_insert(error);
        }
    }
    for swept in [sweep_starting(app, &starting).await, sweep_waiting(app, &waiting).await] {
        if let Err(error) = swept {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Starts executions that wait for capacity, the oldest first. Where Fargate has no room for one, it has none for those of the same size that
/// have waited for less long.
///
/// # Errors
/// The first error, after all executions have been tried.
async fn sweep_waiting(app: &App, waiting: &[ExecutionRecord]) -> Result<()> {
    let (begin, mut refused, mut failed) = (app.now(), HashSet::new(), None);
    for record in waiting {
        if app.now().duration_since(begin) >= CAPACITY_TIME {
            tracing::info!("some executions that wait for capacity were not tried in this sweep");
            break;
        }
        let Execution { execution_id, image_id, asked, .. } = &record.execution;
        let size = (image_id, asked.cpu, asked.memory, asked.spot);
        if refused.contains(&size) {
            continue;
        }
        match release(app, execution_id, &[]).await {
            Ok(now) if now.waits_for_capacity() => drop(refused.insert(size)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(execution_id = %execution_id, error = %error.chain(), "not started");
                failed.get_or_insert(error);
            }
        }
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
        Status::Queued if record.goes_on(app.now()) => go_on(app, id).await,
        Status::Starting if age >= START_BY_EVENT => start_attempt(app, id).await,
        Status::Terminating => end::stop_unstarted(app, id).await,
        _ => Ok(()),
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
