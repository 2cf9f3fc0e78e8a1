//! Stores every line of a log once, in batches with consecutive sequence numbers.
//!
//! A batch may be delivered twice, out of order, or cut differently. The log's head holds the greatest event id stored so far.
//! Lines that all come after it are new, and appending them costs the same however long the log is. Other lines are compared with the
//! stored batches whose range of ids they overlap.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

use super::{
    LogEvent, LogHead,
    batch::{self, Batch, Packed},
    head, split,
};
use crate::{
    App, Error, Result,
    execution::{ExecutionId, task},
    table::{self, Attempted, number, string},
};

/// The index of a log's batches by their greatest event id.
const BY_LAST_EVENT: &str = "by-last-event";
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
    let mut events: Vec<LogEvent> = events.into_iter().flat_map(split::split).collect();
    // CloudWatch delivers lines in this order, with few exceptions.
    let is_ascending = events.is_sorted_by(|one, next| one.event_id < next.event_id);
    if !is_ascending {
        let mut seen = HashSet::new();
        events.retain(|event| seen.insert(event.event_id.clone()));
    }
    let mut batches = Vec::new();
    let mut packed: Option<Vec<Packed>> = None;
    let mut attempt = 0;
    loop {
        let head = match head::find(app, id).await? {
            Some(head) => head,
            None => {
                task::recover(app, &id.into()).await?.ok_or_else(|| Error::not_found("execution", id.as_str()))?;
                LogHead::default()
            }
        };
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

/// Tells whether all of these lines come after every stored line.
fn comes_after<'a>(head: &LogHead, mut events: impl Iterator<Item = &'a LogEvent>) -> bool {
    match &head.last_event_id {
        None => true,
        Some(last) => events.all(|event| event.event_id > *last),
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

/// Drops the lines that are stored already.
async fn without_stored(
    app: &App,
    id: &ExecutionId,
    head: &LogHead,
    mut events: Vec<LogEvent>,
) -> Result<Vec<LogEvent>> {
    if comes_after(head, events.iter()) {
        return Ok(events);
    }
    let ids = || events.iter().map(|event| event.event_id.as_str());
    let (Some(first), Some(last)) = (ids().min(), ids().max()) else { return Ok(events) };
    let mut stored = HashSet::new();
    let mut reader = Reader::new(app, id);
    for range in ranges(app, id, first).await? {
        if range.first_event_id.as_str() <= last
            && let Some(batch) = reader.take(range.sequence).await?
        {
            stored.extend(batch.events.into_iter().map(|event| event.event_id));
        }
    }
    events.retain(|event| !stored.contains(&event.event_id));
    Ok(events)
}

/// The ids that a stored batch spans. The spans of two batches may overlap when lines arrived out of order.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Range {
    pub(super) sequence: u64,
    pub(super) first_event_id: String,
    /// The number of lines of the batch. Absent for batches of an earlier version.
    #[serde(default)]
    pub(super) lines: Option<usize>,
}

/// The ranges of all batches that end at this event or later, sorted by their last event.
pub(super) async fn ranges(app: &App, id: &ExecutionId, from: &str) -> Result<Vec<Range>> {
    let mut items = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.execution_logs)
        .index_name(BY_LAST_EVENT)
        .consistent_read(true)
        .key_condition_expression("execution_id = :id AND last_event_id >= :from")
        .projection_expression("#sequence, first_event_id, #lines")
        .expression_attribute_names("#sequence", "sequence")
        .expression_attribute_names("#lines", "lines")
        .expression_attribute_values(":id", string(id.as_str()))
        // The value of an index key must not be empty. Every event id is greater than "0".
        .expression_attribute_values(":from", string(if from.is_empty() { "0" } else { from }))
        .into_paginator()
        .items()
        .send();
    let mut ranges = Vec::new();
    while let Some(item) = items.next().await {
        ranges.push(table::from_item(item?)?);
    }
    Ok(ranges)
}

/// One batch, by its sequence number.
pub(super) async fn get(app: &App, id: &ExecutionId, sequence: u64) -> Result<Option<Batch>> {
    let found = app
        .aws
        .dynamodb
        .get_item()
        .table_name(&app.config.tables.execution_logs)
        .key("execution_id", string(id.as_str()))
        .key("sequence", number(sequence))
        .consistent_read(true)
        .send()
        .await?;
    found.item.map(Batch::from_item).transpose()
}

/// The batch that was stored last, unless it has expired.
pub(super) async fn newest(app: &App, id: &ExecutionId, head: &LogHead) -> Result<Option<Batch>> {
    if head.sequence == 0 { Ok(None) } else { get(app, id, head.sequence).await }
}

/// The last lines that are stored of a log, at most those of its two newest batches.
pub(crate) async fn tail(app: &App, id: &ExecutionId) -> Result<Vec<LogEvent>> {
    let Some(head) = head::find(app, id).await? else { return Ok(Vec::new()) };
    let batches = after(app, id, head.sequence.saturating_sub(2)).await?;
    let mut events: Vec<LogEvent> = batches.into_iter().flat_map(|batch| batch.events).collect();
    events.sort_by(|a, b| a.timestamp.cmp(&b.timestamp).then_with(|| a.event_id.cmp(&b.event_id)));
    Ok(events)
}

/// The next batches after a sequence number, as many as one answer of DynamoDB carries (1 MB); empty when there are none.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails, or a batch cannot be unpacked.
pub async fn after(app: &App, id: &ExecutionId, sequence: u64) -> Result<Vec<Batch>> {
    items_after(app, id, sequence).await?.into_iter().map(Batch::from_item).collect()
}

pub(super) async fn items_after(app: &App, id: &ExecutionId, sequence: u64) -> Result<Vec<table::Item>> {
    let answer = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.execution_logs)
        .consistent_read(true)
        .key_condition_expression("execution_id = :id AND #sequence > :sequence")
        .expression_attribute_names("#sequence", "sequence")
        .expression_attribute_values(":id", string(id.as_str()))
        .expression_attribute_values(":sequence", number(sequence))
        .send()
        .await?;
    Ok(answer.items.unwrap_or_default())
}

fn sequence_of(item: &table::Item) -> Option<u64> {
    item.get("sequence")?.as_n().ok()?.parse().ok()
}

/// Reads batches in any order, each once. A batch is read with those that follow it, as many as one answer of DynamoDB carries (1 MB),
/// so that a log of many small batches takes few calls.
pub(super) struct Reader<'a> {
    app: &'a App,
    id: &'a ExecutionId,
    /// Items that were read and not taken yet, still compressed, by sequence number.
    ahead: HashMap<u64, table::Item>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(app: &'a App, id: &'a ExecutionId) -> Self {
        Self { app, id, ahead: HashMap::new() }
    }

    /// The reader of which these items have been read.
    pub(super) fn with(mut self, items: Vec<table::Item>) -> Self {
        self.ahead.extend(items.into_iter().filter_map(|item| Some((sequence_of(&item)?, item))));
        self
    }

    /// The batch with this sequence number. `None` if it is not stored any more.
    pub(super) async fn take(&mut self, sequence: u64) -> Result<Option<Batch>> {
        if let Some(item) = self.ahead.remove(&sequence) {
            return Batch::from_item(item).map(Some);
        }
        let mut found = None;
        for item in items_after(self.app, self.id, sequence.saturating_sub(1)).await? {
            match sequence_of(&item) {
                Some(number) if number == sequence => found = Some(Batch::from_item(item)?),
                Some(number) => drop(self.ahead.insert(number, item)),
                None => {}
            }
        }
        Ok(found)
    }
}

/// The batch that contains an event, if it is stored.
pub(crate) async fn holding(app: &App, id: &ExecutionId, event_id: &str) -> Result<Option<Batch>> {
    let mut reader = Reader::new(app, id);
    for range in ranges(app, id, event_id).await? {
        if range.first_event_id.as_str() <= event_id
            && let Some(batch) = reader.take(range.sequence).await?
            && batch.events.iter().any(|event| event.event_id == event_id)
        {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}
