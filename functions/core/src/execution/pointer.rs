//! Notes which task an attempt of an execution has, on the record and by a pointer from the task's id.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

use super::{
    Attempt, ExecutionRecord, LogStream, Status, TaskId,
    items::{POINTER, change_from, find},
    waiting::CAPACITY,
};
use crate::{
    App, Result,
    image::task_definition::RUNNER,
    lock::order,
    table::{self, Item, Transacted, number, string},
    time,
};

/// Tells whether this is the present attempt of an execution, and its task is not known yet.
pub(super) fn lacks_task(record: &ExecutionRecord, attempt: &Attempt) -> bool {
    record.execution.attempt == Some(attempt.number)
        && record.task_id.is_none()
        && (matches!(record.execution.status, Status::Starting | Status::Terminating) || record.waits_for_capacity())
}

/// Notes that a task is an attempt of an execution: on the record, and by a pointer from the task's id. The invocation that has started
/// the task calls this, and so does any that meets the task first. Returns the execution, `None` if there is none. Its task is another
/// one if it has ended or has begun its next attempt by now.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(super) async fn adopt(app: &App, attempt: &Attempt, task: &TaskId) -> Result<Option<ExecutionRecord>> {
    let id = &attempt.execution_id;
    let note = change_from(app, id, &[Status::Starting, Status::Terminating])
        .only_if("attempt", [number(attempt.number)])
        .only_if_absent("task_id")
        .set("task_id", string(task.as_str()))
        .set("log_stream_name", string(LogStream::new(RUNNER, task).to_string()));
    let pointer = Item::from([
        ("execution_id".to_owned(), string(task.as_str())),
        (POINTER.to_owned(), string(id.as_str())),
        ("attempt".to_owned(), number(attempt.number)),
    ]);
    let point = Put::builder().table_name(&app.config.tables.executions).set_item(Some(pointer)).build()?;
    let point = TransactWriteItem::builder().put(point).build();
    if table::transact(app, vec![note.write()?, point.clone()]).await? == Transacted::Done {
        return find(app, id).await;
    }
    let Some(record) = find(app, id).await? else { return Ok(None) };
    // The lines of the task find the execution all the same.
    let mut writes = vec![point.clone()];
    if record.waits_for_capacity() && record.locks_held as usize >= order::needed(app, &record.execution) {
        // Of two invocations that started this attempt, one was told that there is no room. The task of the other is as good.
        let begin = change_from(app, id, &[Status::Queued])
            .only_if("attempt", [number(attempt.number)])
            .only_if("waits_for", [string(CAPACITY)])
            .only_if("locks_held", [number(record.locks_held)])
            .only_if_absent("task_id")
            .set("status", string(Status::Starting))
            .set("starting_at", string(time::rfc3339(app.now())))
            .set("task_id", string(task.as_str()))
            .set("log_stream_name", string(LogStream::new(RUNNER, task).to_string()))
            .remove("waits_for");
        writes.push(begin.write()?);
    }
    if table::transact(app, writes).await? != Transacted::Done {
        table::transact(app, vec![point]).await?;
    }
    find(app, id).await
}
