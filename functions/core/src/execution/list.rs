//! Lists executions in pages, newest first. A page costs one query for each status that the caller asks for, however many executions
//! there are.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use strum::VariantArray as _;

use super::{Execution, ExecutionId, ExecutionRecord, Status, items::LISTING};
use crate::{
    App, Email, RequestId, Result,
    page::{Cursor, MAX_PAGE_BYTES},
    table::{self, string},
    time,
};

/// Indexes of the executions table.
const BY_STARTED_AT: &str = "by-started-at";
const BY_STATUS: &str = "by-status";
const BY_CREATED_BY: &str = "by-created-by";
const BY_PLAYBOOK: &str = "by-playbook";
const BY_IMAGE: &str = "by-image";

/// Which executions to list.
#[derive(Debug, Default)]
pub struct ExecutionsPage {
    /// The largest number of items; 0 for as many as one answer carries.
    pub limit: usize,
    /// Only executions with one of these; all executions if empty.
    pub statuses: Vec<Status>,
    pub filter: Filter,
    /// Where the previous page ended.
    pub cursor: Option<Cursor>,
}

/// Which executions to leave in a list. An absent part leaves all in.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub created_by: Option<Email>,
    /// An image's id, or its name with or without tag, as the id begins with it.
    pub image: Option<String>,
    pub source: Option<String>,
    /// A lock that it holds, has held, or waits for.
    pub lock: Option<String>,
    /// The name of the playbook that it was started by.
    pub playbook: Option<String>,
    /// Started at this time or later.
    pub since: Option<Timestamp>,
    /// Started at this time or earlier.
    pub until: Option<Timestamp>,
    /// Words that the command contains, all of them, in any case.
    pub words: Vec<String>,
}

/// Hexadecimal digits at the end of an image's id.
const IMAGE_HASH_DIGITS: usize = 8;

/// The name and tag in an image's id: `ubuntu:22.04` of `ubuntu:22.04-a65bbf38`. `None` for a text that is no id.
fn name_in_image_id(id: &str) -> Option<&str> {
    let (name, hash) = id.rsplit_once('-')?;
    let is_hash = hash.len() == IMAGE_HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit());
    (is_hash && name.contains(':')).then_some(name)
}

/// Tells whether an image's id is this one, or begins with this name with or without tag.
pub(crate) fn is_of_image(id: &str, wanted: &str) -> bool {
    let name = name_in_image_id(id).unwrap_or(id);
    id == wanted || name == wanted || name.rsplit_once(':').is_some_and(|(name, _)| name == wanted)
}

impl Filter {
    /// Tells whether a query may return executions that the filter leaves out.
    fn is_sparse(&self) -> bool {
        self.created_by.is_some()
            || self.image.is_some()
            || self.source.is_some()
            || self.lock.is_some()
            || !self.words.is_empty()
    }

    fn matches(&self, execution: &Execution) -> bool {
        let is_image = |wanted: &String| is_of_image(execution.image_id.as_str(), wanted);
        let command = execution.command.to_lowercase();
        self.created_by.as_ref().is_none_or(|by| *by == execution.created_by)
            && self.image.as_ref().is_none_or(is_image)
            && self.source.as_ref().is_none_or(|source| *source == execution.asked.source)
            && self.lock.as_ref().is_none_or(|lock| execution.locks.contains(lock))
            && self.playbook.as_ref().is_none_or(|name| execution.asked.playbook() == Some(name))
            && self.since.is_none_or(|since| since <= execution.started_at)
            && self.until.is_none_or(|until| until >= execution.started_at)
            && self.words.iter().all(|word| command.contains(&word.to_lowercase()))
    }
}

/// The time for which one page reads executions that its filter leaves out. Then the page ends with those that it has found, and the next
/// page goes on there.
const PAGE_TIMEOUT: SignedDuration = SignedDuration::from_secs(1);

#[derive(serde::Deserialize)]
struct Listed {
    started_key: String,
    #[serde(flatten)]
    record: ExecutionRecord,
}

/// One page, and where the next one starts if there is one.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails, and [`Error::Invalid`](crate::Error::Invalid) for an image or a cursor that is none.
pub async fn page(app: &App, page: &ExecutionsPage) -> Result<(Vec<Execution>, Option<Cursor>)> {
    let mut sources = Vec::new();
    let filter = &page.filter;
    let image_id = filter.image.as_deref().filter(|image| name_in_image_id(image).is_some());
    // The narrowest index is read, and the rest is the filter of what it returns.
    match (&filter.created_by, image_id) {
        _ if filter.playbook.is_some() => {
            sources.push(Source::new(BY_PLAYBOOK, "playbook", filter.playbook.as_deref().unwrap_or_default()));
        }
        (Some(by), _) => sources.push(Source::new(BY_CREATED_BY, "created_by", by.as_str())),
        (None, Some(id)) => sources.push(Source::new(BY_IMAGE, "image_id", id)),
        (None, None) if page.statuses.is_empty() => sources.push(Source::new(BY_STARTED_AT, "listing", LISTING)),
        (None, None) => {}
    }
    let by_status = sources.is_empty();
    for status in Status::VARIANTS.iter().filter(|status| by_status && page.statuses.contains(status)) {
        sources.push(Source::new(BY_STATUS, "status", status.into()));
    }
    let wanted = if page.limit == 0 { usize::MAX } else { page.limit };
    let mut before = page.cursor.as_ref().map(|cursor| cursor.key().to_owned());
    let mut executions: Vec<Execution> = Vec::new();
    let mut bytes = 0;
    let limit = if filter.is_sparse() || !by_status && !page.statuses.is_empty() { 0 } else { page.limit };
    let range = Range {
        from: filter.since.map(time::rfc3339),
        // Greater than the sort keys of all executions that were started at this time.
        until: filter.until.map(|until| format!("{}#~", time::rfc3339(until))),
        before: before.clone(),
    };
    let gives_up = app.now() + PAGE_TIMEOUT;
    loop {
        // Take the newest of the sources' next executions. Each source has been read far enough to know its own.
        let mut newest: Option<usize> = None;
        for at in 0..sources.len() {
            sources[at].fill(app, limit, &range).await?;
            let candidate = sources[at].peek();
            if candidate.is_some() && newest.is_none_or(|newest| sources[newest].peek() < candidate) {
                newest = Some(at);
            }
        }
        let Some(at) = newest else { return Ok((executions, None)) };
        let is_late = limit == 0 && before.is_some() && app.now() >= gives_up;
        if executions.len() >= wanted || bytes >= MAX_PAGE_BYTES || is_late {
            return Ok((executions, before.map(Cursor::after)));
        }
        if let Some(next) = sources[at].ready.pop_front() {
            // An index lags behind its table, so an execution may be listed under two statuses for a moment.
            if before.as_ref() != Some(&next.started_key) {
                before = Some(next.started_key);
                let execution = next.record.execution;
                let has_status = page.statuses.is_empty() || page.statuses.contains(&execution.status);
                if has_status && filter.matches(&execution) {
                    bytes += 512 + execution.command.len();
                    executions.push(execution);
                }
            }
        }
    }
}

/// The start of the last execution that a page has looked at, where the next page begins. `None` for a cursor that another list has made.
pub fn searched_since(next: &Cursor) -> Option<Timestamp> {
    next.key().split_once('#').and_then(|(started_at, _)| started_at.parse().ok())
}

/// All executions that have not ended, by status, newest first. There are no more than tasks that the account may run, and runs that wait.
pub(crate) async fn not_ended(app: &App) -> Result<Vec<ExecutionRecord>> {
    let not_ended: Vec<Status> = Status::VARIANTS.iter().copied().filter(|status| !status.is_terminal()).collect();
    with_status(app, &not_ended).await
}

/// All executions with one of these statuses, by status, newest first.
pub(crate) async fn with_status(app: &App, statuses: &[Status]) -> Result<Vec<ExecutionRecord>> {
    let mut found = Vec::new();
    for status in statuses {
        let mut source = Source::new(BY_STATUS, "status", status.into());
        loop {
            source.fill(app, 0, &Range::default()).await?;
            let Some(next) = source.ready.pop_front() else { break };
            found.push(next.record);
        }
    }
    Ok(found)
}

/// Executions that DynamoDB looks at for one page of [`EndedPages`]: about 200 KB, since a page of the 1 MB that a query may return takes
/// about 20 MB of memory while it is read.
const ENDED_PAGE: i32 = 300;

/// Reads executions that ended in a span of time, a page at a time, so that as many as a busy account has need little memory. DynamoDB
/// leaves the others out.
pub(crate) struct EndedPages {
    /// No execution is older: the sort key at which the reading ends.
    since: String,
    ended: (String, String),
    resume: Option<table::Item>,
    is_over: bool,
}

impl EndedPages {
    /// Of executions that were started since `since`, those that ended in this span.
    pub(crate) fn new(since: Timestamp, ended: (Timestamp, Timestamp)) -> Self {
        let ended = (time::rfc3339(ended.0), time::rfc3339(ended.1));
        Self { since: time::rfc3339(since), ended, resume: None, is_over: false }
    }

    /// The next page, which may be empty. `None` after the last.
    ///
    /// # Errors
    /// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
    pub(crate) async fn next(&mut self, app: &App) -> Result<Option<Vec<ExecutionRecord>>> {
        if self.is_over {
            return Ok(None);
        }
        let answer = app
            .aws
            .dynamodb
            .query()
            .table_name(&app.config.tables.executions)
            .index_name(BY_STARTED_AT)
            .scan_index_forward(false)
            .key_condition_expression("listing = :listing AND started_key >= :since")
            .filter_expression("completed_at BETWEEN :from AND :until")
            .expression_attribute_values(":listing", string(LISTING))
            .expression_attribute_values(":since", string(&self.since))
            .expression_attribute_values(":from", string(&self.ended.0))
            .expression_attribute_values(":until", string(&self.ended.1))
            .set_exclusive_start_key(self.resume.take())
            .limit(ENDED_PAGE)
            .send()
            .await?;
        self.resume = answer.last_evaluated_key;
        self.is_over = self.resume.is_none();
        let items = answer.items.unwrap_or_default().into_iter();
        items.map(ExecutionRecord::from_item).collect::<Result<_>>().map(Some)
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

/// The part of an index that is read, by sort keys.
#[derive(Debug, Default)]
struct Range {
    from: Option<String>,
    until: Option<String>,
    /// The sort key of the execution before the page.
    before: Option<String>,
}

/// One partition of an index. Its pages are read as they are needed.
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

    async fn fill(&mut self, app: &App, limit: usize, range: &Range) -> Result<()> {
        let upper = [&range.before, &range.until].into_iter().flatten().min();
        // DynamoDB refuses a range that ends before it begins.
        self.exhausted |= range.from.as_ref().zip(upper).is_some_and(|(from, upper)| from > upper);
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
            let condition = match (&range.from, upper) {
                // Both ends of BETWEEN are part of it. The caller leaves the execution before the page out.
                (Some(_), Some(_)) => "#partition = :partition AND started_key BETWEEN :from AND :before",
                (Some(_), None) => "#partition = :partition AND started_key >= :from",
                (None, Some(_)) => "#partition = :partition AND started_key < :before",
                (None, None) => "#partition = :partition",
            };
            if let Some(from) = &range.from {
                query = query.expression_attribute_values(":from", string(from));
            }
            if let Some(upper) = upper {
                query = query.expression_attribute_values(":before", string(upper));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_image_is_the_part_of_its_id_before_the_hash() {
        assert_eq!(name_in_image_id("acme/ubuntu:22.04-a65bbf38"), Some("acme/ubuntu:22.04"));
        for name in ["ubuntu:22.04", "ubuntu-a65bbf38", "ubuntu:a65bbf38", ""] {
            assert_eq!(name_in_image_id(name), None, "{name}");
        }
    }
}
