//! Notes which task an attempt of an execution has, on the record and by a pointer from the task's id.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

use super::{
    Attempt, ExecutionRecord, LogStream, Status, TaskId,
    items::{POINTER, change_from, find},
    start_lease,
};
use crate::{
    App, Result, boxed,
    image::task_definition::RUNNER,
    item_update::ItemUpdate,
    lock::{ATTEMPTS, order},
    table::{self, Item, Transacted, number, string},
    time,
};

/// Tells whether this is the present attempt of an execution that may have a task, and its task is not known yet.
pub(super) fn lacks_task(record: &ExecutionRecord, attempt: &Attempt) -> bool {
    record.execution.attempt == Some(attempt.number)
        && record.task_id.is_none()
        && matches!(record.execution.status, Status::Starting | Status::Terminating | Status::Queued)
}

/// Notes that a task is an attempt of an execution: on the record, and by a pointer from the task's id. The invocation that has started
/// the task calls this, and so does any that meets the task first. Returns the execution, `None` if there is none. Its task is another
/// one, or none, if it has ended, has begun its next attempt, or waits for what others have now.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
#[boxed]
pub(super) async fn adopt(app: &App, attempt: &Attempt, task: &TaskId) -> Result<Option<ExecutionRecord>> {
    let id = &attempt.execution_id;
    let pointer = Item::from([
        ("execution_id".to_owned(), string(task.as_str())),
        (POINTER.to_owned(), string(id.as_str())),
        ("attempt".to_owned(), number(attempt.number)),
    ]);
    let point = Put::builder().table_name(&app.config.tables.executions).set_item(Some(pointer)).build()?;
    let point = TransactWriteItem::builder().put(point).build();
    let noted = || note(app, attempt, task, &[Status::Starting, Status::Terminating]);
    let mut change = noted();
    for _ in 0..ATTEMPTS {
        if table::transact(app, vec![change.write()?, point.clone()]).await? == Transacted::Done {
            return find(app, id).await;
        }
        let Some(record) = find(app, id).await? else { return Ok(None) };
        if !lacks_task(&record, attempt) {
            break;
        }
        change = if record.execution.status == Status::Queued {
            let Some(begin) = begin_with(app, &record, attempt, task) else { break };
            begin
        } else {
            noted()
        };
    }
    // The lines of the task find the execution all the same.
    table::transact(app, vec![point]).await?;
    find(app, id).await
}

/// The change of an attempt that has no task, if the execution has one of these statuses.
fn note(app: &App, attempt: &Attempt, task: &TaskId, from: &[Status]) -> ItemUpdate {
    change_from(app, &attempt.execution_id, from)
        .only_if("attempt", [number(attempt.number)])
        .only_if_absent("task_id")
        .set("task_id", string(task.as_str()))
        .set("task_noted_at", string(time::rfc3339(app.now())))
        .set("log_stream_name", string(LogStream::new(RUNNER, task).to_string()))
        .remove(start_lease::UNTIL)
}

/// Gives an execution that waits again, because RunTask was told that there is no room, the task that an earlier call has started whose
/// caller had given up. `None` if the execution has given back its locks or its place meanwhile, so that others may run in its place.
fn begin_with(app: &App, record: &ExecutionRecord, attempt: &Attempt, task: &TaskId) -> Option<ItemUpdate> {
    if record.place.is_some() || (record.locks_held as usize) < order::needed(app, &record.execution) {
        return None;
    }
    let begin = note(app, attempt, task, &[Status::Queued])
        .only_if("locks_held", [number(record.locks_held)])
        .only_if_absent("place")
        .set("status", string(Status::Starting))
        .set("starting_at", string(time::rfc3339(app.now())))
        .remove("waits_for");
    Some(begin)
}
