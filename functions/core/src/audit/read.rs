//! Finds entries of the audit, newest first. Every filter is answered by queries, never by reading the whole table.

use std::time::Duration;

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::AttributeValue};
use futures_util::future;
use jiff::{Timestamp, civil::Date};
use runvoy_api_types::{AuditEntry, Outcome};

use super::{DAY_CHARS, Record, SHARDS, day_shard};
use crate::{
    App, Error, RequestId, Result,
    page::Cursor,
    table::{self, string},
    time,
};

/// Indexes of the table.
const BY_ACTOR: &str = "by-actor";
const BY_RESOURCE: &str = "by-resource";
const BY_REQUEST: &str = "by-request";
/// Entries that an answer has at most, which keeps it far below the 6 MB of a Lambda answer.
pub const MAX_LIMIT: usize = 1000;
/// The time that one page looks for entries. Then it ends, even with nothing found, and its cursor goes on from there.
const PAGE_TIME: Duration = Duration::from_secs(1);
/// Days that are looked through at the same time, after the first. Most questions are about today.
const DAYS_AT_ONCE: usize = 8;

/// The entries that are asked for. An absent part asks for all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub resource: Option<String>,
    pub outcome: Option<Outcome>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Tells whether the search goes through the days one by one, because no index helps. With `since`, it does not go through all of them.
    pub fn goes_through_days(&self) -> bool {
        self.resource.is_none() && self.actor.is_none()
    }
}

/// The sort keys that are asked for: from `from` on, and before `before`.
struct Range {
    from: String,
    before: String,
}

/// A page of entries, newest first, and where the next one begins if there may be more.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn page(
    app: &App,
    filter: &Filter,
    limit: usize,
    cursor: Option<&Cursor>,
) -> Result<(Vec<AuditEntry>, Option<Cursor>)> {
    let limit = limit.clamp(1, MAX_LIMIT);
    let cursor = cursor.map(checked).transpose()?;
    let now = app.now();
    let oldest = now.checked_sub(app.config.audit_retention).unwrap_or(Timestamp::UNIX_EPOCH);
    let since = filter.since.map_or(oldest, |since| since.max(oldest));
    // An entry that another instance writes now may carry a time that is a little ahead.
    let until = filter.until.unwrap_or_else(|| now.checked_add(Duration::from_secs(1)).unwrap_or(now));
    let until = time::rfc3339(until);
    let before = cursor.map_or(until.as_str(), |key| key.min(until.as_str()));
    let range = Range { from: time::rfc3339(since), before: before.to_owned() };
    // DynamoDB refuses a range that ends before it begins.
    if range.before <= range.from {
        return Ok((Vec::new(), None));
    }
    match (&filter.resource, &filter.actor) {
        (Some(resource), _) => of_index(app, (BY_RESOURCE, "resource", resource), filter, limit, range).await,
        (None, Some(actor)) => of_index(app, (BY_ACTOR, "actor", actor), filter, limit, range).await,
        (None, None) => of_days(app, filter, limit, range).await,
    }
}

/// The time of the first entry of a request. `None` for a request that has left none, as most reads.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn time_of(app: &App, request_id: &RequestId) -> Result<Option<Timestamp>> {
    let found = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.audit)
        .index_name(BY_REQUEST)
        .key_condition_expression("request_id = :request")
        .expression_attribute_values(":request", string(request_id.as_str()))
        .limit(1)
        .send()
        .await?;
    let key = found.items().first().and_then(|item| item.get("time_id")?.as_s().ok());
    Ok(key.and_then(|key| key.split('#').next()?.parse().ok()))
}

/// The sort key in a cursor. It begins with a day, as the cursors of other lists do not.
fn checked(cursor: &Cursor) -> Result<&str> {
    let key = cursor.key();
    let has_day = key.get(..DAY_CHARS).is_some_and(|day| day.parse::<Date>().is_ok());
    let is_key = has_day && key.bytes().all(|b| b.is_ascii_graphic());
    if is_key {
        Ok(key)
    } else {
        Err(Error::invalid("invalid cursor parameter: take it from the Link header of the previous page")
            .at_field("cursor"))
    }
}

/// Entries of one actor or of one resource.
async fn of_index(
    app: &App,
    (index, key, value): (&str, &str, &str),
    filter: &Filter,
    limit: usize,
    range: Range,
) -> Result<(Vec<AuditEntry>, Option<Cursor>)> {
    let query = query(app, key, value, filter, &range).index_name(index);
    let found = newest(app, query, limit, Some(app.now())).await?;
    Ok((found.records.into_iter().map(|record| record.entry.0).collect(), found.rest.map(Cursor::after)))
}

/// Entries of all actors and resources, day by day.
async fn of_days(app: &App, filter: &Filter, limit: usize, range: Range) -> Result<(Vec<AuditEntry>, Option<Cursor>)> {
    let started = app.now();
    let (Ok(mut day), Ok(last)) = (range.before[..DAY_CHARS].parse::<Date>(), range.from[..DAY_CHARS].parse::<Date>())
    else {
        return Ok((Vec::new(), None));
    };
    let mut entries = Vec::new();
    let mut at_once = 1;
    while day >= last {
        let days = std::iter::successors(Some(day), |day| day.yesterday().ok()).take_while(|day| *day >= last);
        let days: Vec<Date> = days.take(at_once).collect();
        let found = future::try_join_all(days.iter().map(|day| of_day(app, *day, filter, limit, &range))).await?;
        for records in found {
            for record in records {
                entries.push(record.entry.0);
                if entries.len() == limit {
                    return Ok((entries, Some(Cursor::after(record.time_id))));
                }
            }
        }
        let Some(before) = days.last().and_then(|day| day.yesterday().ok()) else { break };
        // A sort key of the day that was read last is greater than the day itself.
        let rest = days.last().map(Date::to_string).unwrap_or_default();
        if before >= last && has_passed(app, started) {
            return Ok((entries, Some(Cursor::after(rest))));
        }
        day = before;
        at_once = DAYS_AT_ONCE;
    }
    Ok((entries, None))
}

async fn of_day(app: &App, day: Date, filter: &Filter, limit: usize, range: &Range) -> Result<Vec<Record>> {
    let day = day.to_string();
    let shards = (0..SHARDS)
        .map(|shard| newest(app, query(app, "day_shard", &day_shard(&day, shard), filter, range), limit, None));
    let found = future::try_join_all(shards).await?;
    let mut records: Vec<Record> = found.into_iter().flat_map(|found| found.records).collect();
    records.sort_by(|a, b| b.time_id.cmp(&a.time_id));
    records.truncate(limit);
    Ok(records)
}

fn has_passed(app: &App, started: Timestamp) -> bool {
    app.now().duration_since(started).unsigned_abs() > PAGE_TIME
}

fn query(app: &App, key: &str, value: &str, filter: &Filter, range: &Range) -> QueryFluentBuilder {
    let mut query = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.audit)
        .scan_index_forward(false)
        .key_condition_expression("#key = :key AND time_id BETWEEN :from AND :before")
        .expression_attribute_names("#key", key)
        .expression_attribute_values(":key", string(value))
        .expression_attribute_values(":from", string(&range.from))
        // `BETWEEN` includes its end.
        .expression_attribute_values(":before", string(predecessor(&range.before)));
    let outcome = filter.outcome.map(|outcome| outcome.to_string());
    let parts = [("action", &filter.action), ("outcome", &outcome), ("actor", &filter.actor)];
    let mut conditions = Vec::new();
    for (name, value) in parts {
        let Some(value) = value.as_ref().filter(|_| name != key) else { continue };
        conditions.push(format!("#{name} = :{name}"));
        query = query
            .expression_attribute_names(format!("#{name}"), name)
            .expression_attribute_values(format!(":{name}"), string(value));
    }
    query.set_filter_expression(Some(conditions.join(" AND ")).filter(|conditions| !conditions.is_empty()))
}

/// A text that is smaller than this sort key, and greater than every smaller sort key.
fn predecessor(key: &str) -> String {
    let mut bytes = key.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = last.saturating_sub(1);
    }
    bytes.push(b'~');
    String::from_utf8(bytes).unwrap_or_default()
}

struct Found {
    records: Vec<Record>,
    /// The sort key of the last entry that was looked at, if there may be more.
    rest: Option<String>,
}

/// The newest entries of a query, `limit` at most. With `started`, it ends when a page's time is over.
async fn newest(app: &App, query: QueryFluentBuilder, limit: usize, started: Option<Timestamp>) -> Result<Found> {
    let mut records: Vec<Record> = Vec::new();
    let mut from = None;
    loop {
        let page = query.clone().set_exclusive_start_key(from).send().await?;
        for item in page.items.unwrap_or_default() {
            records.push(table::from_item(item)?);
            if records.len() == limit {
                let rest = records.last().map(|record| record.time_id.clone());
                return Ok(Found { records, rest });
            }
        }
        from = page.last_evaluated_key.filter(|key| !key.is_empty());
        let Some(last) = &from else { return Ok(Found { records, rest: None }) };
        if started.is_some_and(|started| has_passed(app, started)) {
            let rest = last.get("time_id").and_then(|key| AttributeValue::as_s(key).ok()).cloned();
            return Ok(Found { records, rest });
        }
    }
}
