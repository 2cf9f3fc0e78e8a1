//! Writes down who did what, or was refused it, in a table whose items are never changed. Entries have names only: never a key, and never
//! the value of a secret.
//!
//! A change in DynamoDB and its entry are one transaction. What is not in DynamoDB (a value that is read, a task that is given secrets)
//! happens only after its entry is written.

pub mod read;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use runvoy_api_types::{AuditEntry, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    App, RequestId, Result,
    auth::{Action, Principal},
    boxed,
    table::{self, Attempted, Transacted},
    time,
};

/// Parts of a day in the table's key. DynamoDB takes 1,000 writes a second for one of them ("Partition key design").
const SHARDS: u8 = 4;

/// The caller of an action, as entries name it.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// An e-mail address, or the name of what acts without a user, such as `event`.
    pub name: String,
    pub key_id: Option<String>,
    pub request_id: RequestId,
    /// The caller's IP address, as AWS saw it.
    pub source_address: Option<String>,
}

impl Actor {
    /// A user who sends a request.
    pub fn user(principal: &Principal, request_id: &RequestId, source_address: Option<String>) -> Self {
        Self {
            name: principal.email.to_string(),
            key_id: principal.key_id.clone(),
            request_id: request_id.clone(),
            source_address,
        }
    }

    /// An actor without a user's key: an event of AWS, or the program itself.
    pub fn program(name: &str, request_id: &RequestId) -> Self {
        Self { name: name.to_owned(), request_id: request_id.clone(), ..Self::default() }
    }
}

/// An entry, which this module alone writes. Each names an action, as a [`Verb`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Entry(AuditEntry);

impl Entry {
    /// An action that is done, or is done in the same transaction.
    pub fn done(app: &App, actor: &Actor, action: impl Into<Verb>, resource: impl Into<String>) -> Self {
        Self::new(app, actor, action, resource, Outcome::Done)
    }

    /// An action that the caller may not do.
    pub fn refused(app: &App, actor: &Actor, action: impl Into<Verb>, resource: impl Into<String>) -> Self {
        Self::new(app, actor, action, resource, Outcome::Refused)
    }

    /// An action that was permitted, and that AWS did not carry out.
    pub fn failed(app: &App, actor: &Actor, action: impl Into<Verb>, resource: impl Into<String>) -> Self {
        Self::new(app, actor, action, resource, Outcome::Failed)
    }

    fn new(app: &App, actor: &Actor, action: impl Into<Verb>, resource: impl Into<String>, outcome: Outcome) -> Self {
        Self(AuditEntry {
            time: app.now(),
            actor: actor.name.clone(),
            key_id: actor.key_id.clone(),
            action: action.into().0,
            resource: resource.into(),
            outcome,
            request_id: actor.request_id.clone(),
            source_address: actor.source_address.clone(),
            details: BTreeMap::new(),
        })
    }

    /// Adds a detail. An empty one adds nothing.
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let is_empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        if !is_empty {
            self.0.details.insert(name.to_owned(), value);
        }
        self
    }

    /// Writes the line of the function's log. The span of the request adds its id.
    fn log(&self) {
        let Self(entry) = self;
        let details = Value::from_iter(entry.details.clone());
        tracing::info!(
            actor = entry.actor,
            key_id = entry.key_id,
            action = entry.action,
            resource = entry.resource,
            outcome = %entry.outcome,
            source_address = entry.source_address,
            %details,
            "audit"
        );
    }
}

/// The name of an action, as `resource:verb`.
pub struct Verb(String);

impl From<Action> for Verb {
    fn from(action: Action) -> Self {
        Self(action.permission())
    }
}

impl From<&str> for Verb {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// An item of the audit table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    day_shard: String,
    time_id: String,
    /// Seconds since 1970, for DynamoDB's TTL.
    expires_at: i64,
    #[serde(flatten)]
    entry: Entry,
}

impl Record {
    fn new(app: &App, entry: &Entry) -> Self {
        /// Tells the entries of one request apart that have the same time.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) % 1_000_000;
        let time = time::rfc3339(entry.0.time);
        let id = entry.0.request_id.as_str();
        let shard = id.bytes().fold(0_u8, u8::wrapping_add) % SHARDS;
        Self {
            day_shard: day_shard(&time[..DAY_CHARS], shard),
            time_id: format!("{time}#{id}#{number:06}"),
            expires_at: app.expiry(app.config.audit_retention),
            entry: entry.clone(),
        }
    }

    fn item(app: &App, entry: &Entry) -> Result<table::Item> {
        let mut item = table::to_item(&Self::new(app, entry))?;
        // An attribute of an index cannot be empty.
        item.retain(|name, value| name != "request_id" || value.as_s().is_ok_and(|id| !id.is_empty()));
        Ok(item)
    }
}

/// The characters of a day in RFC 3339, `2026-11-26`.
const DAY_CHARS: usize = 10;

fn day_shard(day: &str, shard: u8) -> String {
    format!("{day}#{shard}")
}

/// An entry is never written over: the role of the functions may put items only, and this condition refuses an item that exists.
const IS_NEW: &str = "attribute_not_exists(time_id)";

fn put(app: &App, entry: &Entry) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(&app.config.tables.audit)
        .set_item(Some(Record::item(app, entry)?))
        .condition_expression(IS_NEW)
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// Writes one entry. The caller does what the entry tells of only if this succeeds.
///
/// # Errors
/// [`crate::Error::Aws`] when DynamoDB fails.
#[boxed]
pub async fn write(app: &App, entry: &Entry) -> Result<()> {
    let put = app
        .aws
        .dynamodb
        .put_item()
        .table_name(&app.config.tables.audit)
        .set_item(Some(Record::item(app, entry)?))
        .condition_expression(IS_NEW);
    use table::WriteError as _;
    match table::write(app, || put.clone().send()).await {
        Ok(_) => {}
        // This write itself, repeated because the answer to its first try was lost: each write has a sort key of its own.
        Err(error) if error.condition_failed() => {}
        Err(error) => return Err(error.into()),
    }
    entry.log();
    Ok(())
}

/// Writes several entries, all or none.
///
/// # Errors
/// As [`write`](fn@write).
pub async fn write_all(app: &App, entries: &[Entry]) -> Result<()> {
    match entries {
        [] => Ok(()),
        [one] => write(app, one).await,
        several => transact(app, Vec::new(), several).await.map(drop),
    }
}

/// Writes changes and their entries, all or none. The index of a refusal is that of the change in `writes`.
#[boxed]
pub(crate) async fn transact(app: &App, writes: Vec<TransactWriteItem>, entries: &[Entry]) -> Result<Transacted> {
    let done = table::transact(app, with_entries(app, writes, entries)?).await?;
    log_if_done(done == Transacted::Done, entries);
    Ok(done)
}

/// As [`transact`], sent once. For callers that read again before they repeat it.
pub(crate) async fn transact_once(app: &App, writes: Vec<TransactWriteItem>, entries: &[Entry]) -> Result<Attempted> {
    let done = table::transact_once(app, with_entries(app, writes, entries)?).await?;
    log_if_done(done == Attempted::Done, entries);
    Ok(done)
}

fn with_entries(app: &App, mut writes: Vec<TransactWriteItem>, entries: &[Entry]) -> Result<Vec<TransactWriteItem>> {
    for entry in entries {
        writes.push(put(app, entry)?);
    }
    Ok(writes)
}

fn log_if_done(is_done: bool, entries: &[Entry]) {
    if is_done {
        entries.iter().for_each(Entry::log);
    }
}
