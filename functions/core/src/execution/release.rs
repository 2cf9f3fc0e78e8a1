//! Gives the locks of an execution back, and to the first in line.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::{
    ExecutionId, ExecutionRecord, Status,
    items::{change_from, find},
};
use crate::{
    App, Result,
    audit::{self, Entry},
    boxed,
    item_update::ItemUpdate,
    lock::{
        ATTEMPTS,
        items::{self, Claim},
        order::{self, RUNNING},
    },
    table::{self, Attempted, number, string},
    time,
};

/// The result of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// The update's own condition does not hold.
    Refused,
}

/// Writes the end of an execution and gives back what it holds, in one transaction: its locks go to the first in line, and its own
/// place in line is left.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails, or too many change the locks at the same time.
pub(crate) async fn end(app: &App, record: &ExecutionRecord, update: &Update, entries: &[Entry]) -> Result<End> {
    give_back_with(app, record, update, entries, 0).await
}

/// As [`end`], for an execution that has no task for a while: it keeps the locks that it asked for, and gives back its place among those
/// that run.
///
/// # Errors
/// As [`end`].
pub(super) async fn leave_running(app: &App, record: &ExecutionRecord, update: &Update) -> Result<End> {
    give_back_with(app, record, update, &[], record.execution.locks.len()).await
}

/// Writes an update of an execution, and gives back its locks from the one with this index on, in one transaction.
#[boxed]
async fn give_back_with(
    app: &App,
    record: &ExecutionRecord,
    update: &Update,
    entries: &[Entry],
    from: usize,
) -> Result<End> {
    let id = &record.execution.execution_id;
    let mut fresh = record.clone();
    for attempt in 0..ATTEMPTS {
        let mut writes = vec![unchanged(update, &fresh)];
        for index in from..fresh.locks_held as usize {
            writes.extend(give_back(app, order::nth(&fresh.execution, index), id).await?);
        }
        if let (Some(place), Some(name)) = (&fresh.place, fresh.line()) {
            writes.extend(leave(app, name, place)?);
        }
        match audit::transact_once(app, writes, entries).await? {
            Attempted::Done => return Ok(End::Done),
            Attempted::Refused(at) => {
                let Some(now) = find(app, id).await? else { return Ok(End::Refused) };
                let is_same = (now.locks_held, &now.place) == (fresh.locks_held, &fresh.place);
                if at == 0 && is_same {
                    return Ok(End::Refused);
                }
                fresh = now;
            }
            Attempted::Conflict => {}
        }
        app.sleep(table::pause(app, attempt)).await;
    }
    Err(table::too_much_contention("a lock"))
}

/// The update, if the execution holds and waits for the same as when it was read.
fn unchanged(update: &Update, record: &ExecutionRecord) -> TransactWriteItem {
    let mut update = update.clone();
    let mut condition = update.condition_expression.take().map(|one| format!("({one}) AND ")).unwrap_or_default();
    condition.push_str("locks_held = :locks_held AND ");
    let values = update.expression_attribute_values.get_or_insert_default();
    values.insert(":locks_held".to_owned(), number(record.locks_held));
    match &record.place {
        Some(place) => {
            condition.push_str("place = :place");
            values.insert(":place".to_owned(), string(place));
        }
        None => condition.push_str("attribute_not_exists(place)"),
    }
    update.condition_expression = Some(condition);
    TransactWriteItem::builder().update(update).build()
}

/// The writes that take a lock from an execution and give it to the first in line. None if the execution does not hold it.
async fn give_back(app: &App, name: &str, id: &ExecutionId) -> Result<Vec<TransactWriteItem>> {
    let Some(held) = items::holder(app, name, id).await? else { return Ok(Vec::new()) };
    let Some(head) = items::head(app, name).await? else { return Ok(Vec::new()) };
    let next = if head.paused || head.held > head.slots { None } else { items::first(app, name).await? };
    let change = items::change(app, name).with_value(":false", AttributeValue::Bool(false));
    let mut writes = vec![held.delete(app)?];
    match next {
        Some(next) => {
            let still = "held <= slots AND (attribute_not_exists(paused) OR paused = :false)";
            writes.push(change.add("waiting", -1).only_if_expression(still).write()?);
            writes.extend(give(app, &next)?);
        }
        None => {
            let change = change.with_value(":zero", number(0));
            let still = "(waiting = :zero OR held > slots OR NOT (attribute_not_exists(paused) OR paused = :false))";
            writes.push(change.add("held", -1).only_if_expression(still).write()?);
        }
    }
    Ok(writes)
}

/// The writes that make the first in line a holder.
fn give(app: &App, next: &Claim) -> Result<[TransactWriteItem; 3]> {
    let change =
        change_from(app, &next.execution_id, &[Status::Queued]).only_if("place", [string(&next.place)]).remove("place");
    Ok([next.delete(app)?, next.as_holder(app).put(app)?, with_lock(app, change, next).write()?])
}

/// The change of an execution that gets a lock. With its last one, it is being started.
pub(crate) fn with_lock(app: &App, change: ItemUpdate, claim: &Claim) -> ItemUpdate {
    let change = change.set("locks_held", number(claim.nth)).remove("waits_for");
    let starts = claim.name == RUNNING || (claim.last && app.config.max_running.is_none());
    if starts {
        let change = change.set("status", string(Status::Starting)).remove("next_attempt_at");
        change.set("starting_at", string(time::rfc3339(app.now())))
    } else {
        change
    }
}

/// The writes by which an execution leaves a line.
fn leave(app: &App, name: &str, place: &str) -> Result<[TransactWriteItem; 2]> {
    let delete = aws_sdk_dynamodb::types::Delete::builder()
        .table_name(&app.config.tables.locks)
        .set_key(Some(items::key(name, place)))
        .condition_expression("attribute_exists(place)")
        .build()?;
    let change = items::change(app, name).add("waiting", -1).write()?;
    Ok([TransactWriteItem::builder().delete(delete).build(), change])
}

/// Gives the free slots of a lock to those who are first in line. A release does so itself, so this is for a lock that was changed, and
/// for the sweep.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails, or too many change the lock at the same time.
pub async fn give_free_slots(app: &App, name: &str) -> Result<()> {
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        let Some(head) = items::head(app, name).await?.filter(items::Head::can_be_given) else { return Ok(()) };
        let Some(next) = items::first(app, &head.name).await? else { return Ok(()) };
        let still = "held < slots AND (attribute_not_exists(paused) OR paused = :false)";
        let change = items::change(app, name)
            .with_value(":false", AttributeValue::Bool(false))
            .add("held", 1)
            .add("waiting", -1)
            .only_if_expression(still);
        let mut writes = vec![change.write()?];
        writes.extend(give(app, &next)?);
        match table::transact_once(app, writes).await? {
            Attempted::Done => attempt = 0,
            Attempted::Refused(_) | Attempted::Conflict => {
                app.sleep(table::pause(app, attempt)).await;
                attempt += 1;
            }
        }
    }
    Err(table::too_much_contention("a lock"))
}

/// Takes a lock from executions that have ended or do not exist. Their end has given it back in the same transaction, so there are none
/// unless an item was changed by hand.
pub(crate) async fn free_lost(app: &App, name: &str) -> Result<()> {
    for claim in items::claims(app, name, items::HOLDER, None).await? {
        let id = &claim.execution_id;
        let is_lost = find(app, id).await?.is_none_or(|record| record.execution.status.is_terminal());
        if is_lost {
            tracing::warn!(lock = name, execution_id = %id, "a lock is freed whose holder has ended");
            for attempt in 0..ATTEMPTS {
                let writes = give_back(app, name, id).await?;
                if writes.is_empty() || table::transact_once(app, writes).await? == Attempted::Done {
                    break;
                }
                app.sleep(table::pause(app, attempt)).await;
            }
        }
    }
    Ok(())
}
