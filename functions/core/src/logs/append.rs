//! Appends lines to a log, each once, in batches with consecutive sequence numbers.
//!
//! A batch may be delivered twice, out of order, or cut differently. The log's head holds the greatest event id stored so far.
//! Lines that all come after it are new, and appending them costs the same however long the log is. Other lines are compared with the
//! stored batches whose range of ids they overlap.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

use super::{
    LogEvent, LogHead,
    batch::{self, Batch, Packed},
    deduplicate::{comes_after, without_repeated, without_stored},
    head, split,
};
use crate::{
    App, Error, Result, boxed,
    execution::{ExecutionId, recover::recover},
    table::{self, Attempted},
};

/// Bytes of compressed lines in one transaction. DynamoDB allows 4 MB in all ("Constraints in Amazon DynamoDB").
const MAX_TRANSACTION: usize = 3 * 1024 * 1024;

/// The number of times that an invocation that lost a race with another writer tries again.
const ATTEMPTS: u32 = 12;

/// The outcome of an append.
#[derive(Debug)]
pub struct Appended {
    /// The log's head after the append. It names the caller as the holder of the fan-out's lease if `fan_out` was given and the lease was
    /// free.
    pub head: LogHead,
    /// The lines that were new, in the batches that they are stored in.
    pub batches: Vec<Batch>,
}

/// Appends those of `events` that are not stored yet. With `complete`, also marks the log as read to its end. A log that has reached
/// the 10 GB that DynamoDB allows takes no further lines. With `fan_out`, the name of the caller, the transaction that stores the last
/// of the lines also takes the fan-out's lease, if there are viewers and no other invocation has it.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution and ECS knows no such task; [`Error::Aws`] when DynamoDB fails or too many
/// invocations append at the same time, so that the caller's event is delivered again.
pub async fn append(
    app: &App,
    id: &ExecutionId,
    events: Vec<LogEvent>,
    complete: bool,
    fan_out: Option<&str>,
) -> Result<Appended> {
    append_to(app, id, events, complete, fan_out, Logs::All).await
}

/// Appends an event to a log that has not been read to its end. Does nothing to another, whose viewers have been sent off.
///
/// # Errors
/// As [`append`].
pub(super) async fn append_before_end(app: &App, id: &ExecutionId, event: LogEvent) -> Result<()> {
    append_to(app, id, vec![event], false, None, Logs::Incomplete).await.map(drop)
}

/// The logs to which events are appended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logs {
    All,
    Incomplete,
}

#[boxed]
async fn append_to(
    app: &App,
    id: &ExecutionId,
    events: Vec<LogEvent>,
    complete: bool,
    fan_out: Option<&str>,
    logs: Logs,
) -> Result<Appended> {
    let mut events = without_repeated(events.into_iter().flat_map(split::split).collect());
    let mut batches = Vec::new();
    let mut packed: Option<Vec<Packed>> = None;
    let mut attempt = 0;
    loop {
        let head = match head::find(app, id).await? {
            Some(head) => head,
            None => {
                recover(app, &id.into()).await?.ok_or_else(|| Error::not_found("execution", id.as_str()))?;
                LogHead::default()
            }
        };
        if head.complete && logs == Logs::Incomplete {
            return Ok(Appended { head, batches });
        }
        let fresh = match packed.take() {
            Some(packed) if comes_after(&head, packed.iter().flat_map(|packed| &packed.events)) => packed,
            unsure => {
                if let Some(packed) = unsure {
                    events = packed.into_iter().flat_map(|packed| packed.events).collect();
                }
                let new = without_stored(app, id, &head, std::mem::take(&mut events)).await?;
                if new.is_empty() { Vec::new() } else { batch::pack(new)? }
            }
        };
        if fresh.is_empty() && (head.complete || !complete) {
            return Ok(Appended { head, batches });
        }
        let (now, later) = split_transaction(fresh);
        let mut next = next_head(&head, &now, complete && later.is_empty());
        let at = app.now();
        if let Some(owner) = fan_out.filter(|_| later.is_empty() && head.watched && head.is_fan_out_free(at)) {
            next = next.with_fan_out(owner, at, head.sequence);
        }
        match write(app, id, &head, &next, &now).await {
            Ok(true) => {
                let first = head.sequence + 1;
                batches.extend((first..).zip(now).map(|(sequence, packed)| Batch { sequence, events: packed.events }));
                if later.is_empty() {
                    return Ok(Appended { head: next, batches });
                }
                packed = Some(later);
                attempt = 0;
            }
            Err(error) if table::is_full(&error) && !now.is_empty() => {
                // The log can still be marked as complete, so that its viewers are sent off.
                tracing::error!(execution_id = %id, "the log has 10 GB: its further lines are in CloudWatch Logs only");
                packed = Some(Vec::new());
            }
            Ok(false) => {
                attempt += 1;
                if attempt == ATTEMPTS {
                    return Err(table::too_much_contention("a log"));
                }
                packed = Some(now.into_iter().chain(later).collect());
                app.sleep(table::pause(app, attempt)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn split_transaction(packed: Vec<Packed>) -> (Vec<Packed>, Vec<Packed>) {
    let mut size = 0;
    let mut now = packed;
    let fitting = now
        .iter()
        .take_while(|packed| {
            size += packed.size();
            size <= MAX_TRANSACTION
        })
        .count();
    let later = now.split_off(fitting);
    (now, later)
}

fn next_head(head: &LogHead, fresh: &[Packed], complete: bool) -> LogHead {
    let greatest = fresh.iter().flat_map(|packed| &packed.events).map(|event| event.event_id.as_str()).max();
    LogHead {
        version: head.version + 1,
        sequence: head.sequence + fresh.len() as u64,
        last_event_id: greatest.max(head.last_event_id.as_deref()).map(str::to_owned),
        complete: head.complete || complete,
        ..head.clone()
    }
}

/// Writes batches and head in one transaction. `false` when another invocation has moved the head, or the first viewer has connected,
/// since the head was read.
async fn write(app: &App, id: &ExecutionId, from: &LogHead, to: &LogHead, fresh: &[Packed]) -> Result<bool> {
    let mut writes = vec![TransactWriteItem::builder().update(from.replace(app, id, to)?).build()];
    let expires_at = app.expiry(app.config.log_retention);
    for (sequence, packed) in (from.sequence + 1..).zip(fresh) {
        let put = Put::builder()
            .table_name(&app.config.tables.execution_logs)
            .set_item(Some(packed.item(id, sequence, expires_at)))
            .condition_expression("attribute_not_exists(execution_id)")
            .build()?;
        writes.push(TransactWriteItem::builder().put(put).build());
    }
    // A conflict is a lost race too: the head is read again before the next attempt.
    Ok(table::transact_once(app, writes).await? == Attempted::Done)
}
