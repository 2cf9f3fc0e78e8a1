//! Reads the stored batches of a log.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;

use super::{LogEvent, LogHead, batch::Batch};
use crate::{
    App, Result,
    execution::ExecutionId,
    table::{self, number, string},
};

/// The index of a log's batches by their greatest event id.
const BY_LAST_EVENT: &str = "by-last-event";

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

/// A query of the batches of a log. The key condition may name the execution as `:id`.
fn query(app: &App, id: &ExecutionId) -> QueryFluentBuilder {
    app.aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.execution_logs)
        .consistent_read(true)
        .expression_attribute_values(":id", string(id.as_str()))
}

/// The time of the last line that is stored of a log, in milliseconds. Those of its two newest batches are compared.
pub(super) async fn last_timestamp(app: &App, id: &ExecutionId) -> Result<Option<i64>> {
    Ok(tail(app, id, 2).await?.last().map(|event| event.timestamp))
}

/// The last lines that are stored of a log: those of its newest batches, this many, or as many as one answer of DynamoDB carries (1 MB).
/// A command that prints slowly has one line in each.
pub(crate) async fn tail(app: &App, id: &ExecutionId, batches: usize) -> Result<Vec<LogEvent>> {
    let answer = query(app, id)
        .key_condition_expression("execution_id = :id")
        .scan_index_forward(false)
        .limit(i32::try_from(batches).unwrap_or(i32::MAX))
        .send()
        .await?;
    let batches: Vec<Batch> =
        answer.items.unwrap_or_default().into_iter().map(Batch::from_item).collect::<Result<_>>()?;
    let mut events: Vec<LogEvent> = batches.into_iter().flat_map(|batch| batch.events).collect();
    events.sort_by(|a, b| a.timestamp.cmp(&b.timestamp).then_with(|| a.event_id.cmp(&b.event_id)));
    Ok(events)
}

/// The next batches after a sequence number, as many as one answer of DynamoDB carries (1 MB); empty when there are none.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails, or a batch cannot be unpacked.
pub async fn after(app: &App, id: &ExecutionId, sequence: u64) -> Result<Vec<Batch>> {
    items_after(app, id, sequence).await?.into_iter().map(Batch::from_item).collect()
}

pub(super) async fn items_after(app: &App, id: &ExecutionId, sequence: u64) -> Result<Vec<table::Item>> {
    let answer = query(app, id)
        .key_condition_expression("execution_id = :id AND #sequence > :sequence")
        .expression_attribute_names("#sequence", "sequence")
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
        self.item(sequence).await?.map(Batch::from_item).transpose()
    }

    /// Calls `show` with the id of each line of a batch, in their order, and not at all if the batch is not stored any more.
    pub(super) async fn take_ids(&mut self, sequence: u64, show: impl FnMut(&str)) -> Result<()> {
        self.item(sequence).await?.map_or(Ok(()), |item| Batch::ids_of_item(item, show))
    }

    async fn item(&mut self, sequence: u64) -> Result<Option<table::Item>> {
        if let Some(item) = self.ahead.remove(&sequence) {
            return Ok(Some(item));
        }
        let mut found = None;
        for item in items_after(self.app, self.id, sequence.saturating_sub(1)).await? {
            match sequence_of(&item) {
                Some(number) if number == sequence => found = Some(item),
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
