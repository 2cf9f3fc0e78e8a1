//! Pages of executions, newest first. A page costs one query for each status that the caller asks for, however many executions
//! there are.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use strum::VariantArray as _;

use super::{Execution, ExecutionId, ExecutionRecord, Status, record::LISTING};
use crate::{
    App, RequestId, Result,
    page::{Cursor, MAX_PAGE_BYTES},
    table::{self, string},
};

const BY_STARTED_AT: &str = "by-started-at";
const BY_STATUS: &str = "by-status";

/// Which executions to list.
#[derive(Debug, Default)]
pub struct ExecutionsPage {
    /// How many at most; 0 for as many as one answer carries.
    pub limit: usize,
    /// Only executions with one of these; all executions if empty.
    pub statuses: Vec<Status>,
    /// Where the previous page ended.
    pub cursor: Option<Cursor>,
}

#[derive(serde::Deserialize)]
struct Listed {
    started_key: String,
    #[serde(flatten)]
    record: ExecutionRecord,
}

/// One page, and where the next one starts if there is one.
pub async fn page(app: &App, page: &ExecutionsPage) -> Result<(Vec<Execution>, Option<Cursor>)> {
    let mut sources = Vec::new();
    if page.statuses.is_empty() {
        sources.push(Source::new(BY_STARTED_AT, "listing", LISTING));
    }
    for status in Status::VARIANTS.iter().filter(|status| page.statuses.contains(status)) {
        sources.push(Source::new(BY_STATUS, "status", status.into()));
    }
    let wanted = if page.limit == 0 { usize::MAX } else { page.limit };
    let mut before = page.cursor.as_ref().map(|cursor| cursor.key().to_owned());
    let mut executions: Vec<Execution> = Vec::new();
    let mut bytes = 0;
    loop {
        // Take the newest of the sources' next executions. Each source has been read far enough to know its own.
        let mut newest: Option<usize> = None;
        for at in 0..sources.len() {
            sources[at].fill(app, page.limit, page.cursor.as_ref()).await?;
            let candidate = sources[at].peek();
            if candidate.is_some() && newest.is_none_or(|newest| sources[newest].peek() < candidate) {
                newest = Some(at);
            }
        }
        let Some(at) = newest else { return Ok((executions, None)) };
        if executions.len() >= wanted || bytes >= MAX_PAGE_BYTES {
            return Ok((executions, before.map(Cursor::after)));
        }
        if let Some(next) = sources[at].ready.pop_front() {
            // An index lags behind its table, so an execution may be listed under two statuses for a moment.
            if before.as_ref() != Some(&next.started_key) {
                bytes += 512 + next.record.execution.command.len();
                before = Some(next.started_key);
                executions.push(next.record.execution);
            }
        }
    }
}

/// All executions that have not ended, by status, newest first.
pub(crate) async fn open(app: &App) -> Result<Vec<ExecutionRecord>> {
    let mut open = Vec::new();
    for status in Status::VARIANTS.iter().filter(|status| !status.is_terminal()) {
        let mut source = Source::new(BY_STATUS, "status", status.into());
        loop {
            source.fill(app, 0, None).await?;
            let Some(next) = source.ready.pop_front() else { break };
            open.push(next.record);
        }
    }
    Ok(open)
}

/// Executions that have ended, of those started since this time.
pub(crate) async fn ended(app: &App, since: Timestamp) -> Result<Vec<ExecutionRecord>> {
    let mut source = Source::new(BY_STARTED_AT, "listing", LISTING);
    let mut ended = Vec::new();
    loop {
        source.fill(app, 0, None).await?;
        let next = source.ready.pop_front().filter(|next| next.record.execution.started_at >= since);
        let Some(next) = next else { return Ok(ended) };
        if next.record.execution.status.is_terminal() {
            ended.push(next.record);
        }
    }
}

/// Ids of the executions that a request created or changed.
pub(crate) async fn of_request(app: &App, request_id: &RequestId) -> Result<Vec<ExecutionId>> {
    let mut ids = ids_by_index(app, "by-created-by-request", "created_by_request_id", request_id.as_str()).await?;
    ids.extend(ids_by_index(app, "by-modified-by-request", "modified_by_request_id", request_id.as_str()).await?);
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// Ids of the executions that an index lists under this value of its key attribute.
pub(super) async fn ids_by_index(app: &App, index: &str, attribute: &str, value: &str) -> Result<Vec<ExecutionId>> {
    #[derive(serde::Deserialize)]
    struct Key {
        execution_id: ExecutionId,
    }
    let mut items = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.executions)
        .index_name(index)
        .key_condition_expression("#attribute = :value")
        .expression_attribute_names("#attribute", attribute)
        .expression_attribute_values(":value", string(value))
        .into_paginator()
        .items()
        .send();
    let mut ids = Vec::new();
    while let Some(item) = items.next().await {
        ids.push(table::from_item::<Key>(item?)?.execution_id);
    }
    Ok(ids)
}

/// One partition of an index, of which as many pages are read as needed.
struct Source {
    index: &'static str,
    key: &'static str,
    value: String,
    ready: std::collections::VecDeque<Listed>,
    resume: Option<table::Item>,
    exhausted: bool,
}

impl Source {
    fn new(index: &'static str, key: &'static str, value: &str) -> Self {
        Self { index, key, value: value.to_owned(), ready: Default::default(), resume: None, exhausted: false }
    }

    fn peek(&self) -> Option<&str> {
        self.ready.front().map(|listed| listed.started_key.as_str())
    }

    async fn fill(&mut self, app: &App, limit: usize, cursor: Option<&Cursor>) -> Result<()> {
        while self.ready.is_empty() && !self.exhausted {
            let mut query = app
                .aws
                .dynamodb
                .query()
                .table_name(&app.config.tables.executions)
                .index_name(self.index)
                .scan_index_forward(false)
                .expression_attribute_names("#partition", self.key)
                .expression_attribute_values(":partition", AttributeValue::S(self.value.clone()))
                .set_exclusive_start_key(self.resume.take());
            let condition = match cursor {
                Some(cursor) => {
                    query = query.expression_attribute_values(":before", string(cursor.key()));
                    "#partition = :partition AND started_key < :before"
                }
                None => "#partition = :partition",
            };
            if limit > 0 {
                // One more than the page holds shows whether there is a next page.
                query = query.limit(i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX));
            }
            let answer = query.key_condition_expression(condition).send().await?;
            for item in answer.items.unwrap_or_default() {
                let Listed { started_key, record } = table::from_item(item)?;
                self.ready.push_back(Listed { started_key, record: record.with_reason() });
            }
            self.resume = answer.last_evaluated_key;
            self.exhausted = self.resume.is_none();
        }
        Ok(())
    }
}
