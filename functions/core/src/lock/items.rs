//! Defines the items of the locks table, and makes the writes that change them.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use jiff::Timestamp;
use runvoy_api_types::{Execution, ExecutionId, Lock, LockUse};
use serde::{Deserialize, Serialize};

use crate::{
    App, Email, Error, Result,
    item_update::ItemUpdate,
    lock::order::nth,
    table::{self, Item, string},
    time,
};

/// The sort key of the item with a lock's counts.
pub(crate) const HEAD: &str = "#lock";
/// The beginning of the sort keys of holders.
pub(crate) const HOLDER: &str = "h#";
/// The beginning of the sort keys of places in line.
pub(crate) const PLACE: &str = "q#";

/// Characters of a lock's name.
const MAX_NAME: usize = 100;

/// Checks a lock's name: 1 to 100 letters, digits, dots, hyphens and underscores, and neither `.` nor `..`.
///
/// # Errors
/// [`Error::Invalid`] for a name that no lock can have.
pub fn check_name(name: &str) -> Result<()> {
    let fits = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            // Clients remove `.` and `..` from a URL's path, so no request would reach such a lock.
            && ![".", ".."].contains(&name);
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!("a lock's name has 1 to {MAX_NAME} letters, digits, dots, hyphens and underscores"))
        .at_field("lock"))
}

/// The counts of a lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) slots: u32,
    #[serde(default)]
    pub(crate) held: u32,
    #[serde(default)]
    pub(crate) waiting: u32,
    #[serde(default)]
    pub(crate) paused: bool,
    #[serde(default)]
    pub(crate) max_queue: Option<u32>,
}

impl Head {
    /// Tells whether an execution that comes now may take the lock at once.
    pub(crate) fn is_free(&self) -> bool {
        self.held < self.slots && self.waiting == 0 && !self.paused
    }

    /// Tells whether the first in line may take the lock.
    pub(crate) fn can_be_given(&self) -> bool {
        self.held < self.slots && self.waiting > 0 && !self.paused
    }

    pub(crate) fn is_full(&self) -> bool {
        self.max_queue.is_some_and(|most| self.waiting >= most)
    }

    pub(crate) fn shown(self) -> Lock {
        let Self { name, slots, held, waiting, paused, max_queue } = self;
        Lock { name, slots, held, waiting, paused, max_queue }
    }
}

/// A holder of a lock, or a place in its line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) place: String,
    pub(crate) execution_id: ExecutionId,
    pub(crate) by: Email,
    #[serde(with = "time::as_rfc3339")]
    pub(crate) since: Timestamp,
    /// The number of locks that the execution holds once it has this one.
    pub(crate) nth: u32,
    /// Tells whether it is the last lock that the execution asked for, or the one that limits running executions.
    pub(crate) last: bool,
    /// Marks a holder that waited in line. The table's stream tells of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) granted: bool,
}

impl Claim {
    /// The claim of an execution to the lock with this index of those that it takes.
    pub(crate) fn new(app: &App, execution: &Execution, index: usize) -> Self {
        let id = &execution.execution_id;
        Self {
            name: nth(execution, index).to_owned(),
            place: format!("{HOLDER}{id}"),
            execution_id: id.clone(),
            by: execution.created_by.clone(),
            since: app.now(),
            nth: u32::try_from(index + 1).unwrap_or(u32::MAX),
            last: index + 1 >= execution.locks.len(),
            granted: false,
        }
    }

    /// Makes this claim a place in line, behind all that have come earlier.
    pub(crate) fn in_line(mut self) -> Self {
        self.place = format!("{PLACE}{:016}#{}", self.since.as_millisecond(), self.execution_id);
        self
    }

    /// The first in line as a holder.
    pub(crate) fn as_holder(&self, app: &App) -> Self {
        Self { place: format!("{HOLDER}{}", self.execution_id), since: app.now(), granted: true, ..self.clone() }
    }

    pub(crate) fn put(&self, app: &App) -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&app.config.tables.locks)
            .set_item(Some(table::to_item(self)?))
            .condition_expression("attribute_not_exists(place)")
            .build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    pub(crate) fn delete(&self, app: &App) -> Result<TransactWriteItem> {
        let delete = Delete::builder()
            .table_name(&app.config.tables.locks)
            .set_key(Some(key(&self.name, &self.place)))
            .condition_expression("attribute_exists(place)")
            .build()?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    pub(crate) fn shown(self) -> LockUse {
        LockUse { execution_id: self.execution_id, created_by: self.by, since: self.since, position: None }
    }
}

pub(crate) fn key(name: &str, place: &str) -> Item {
    Item::from([("name".to_owned(), string(name)), ("place".to_owned(), string(place))])
}

/// A change of a lock's counts.
pub(crate) fn change(app: &App, name: &str) -> ItemUpdate {
    ItemUpdate::new(&app.config.tables.locks, key(name, HEAD))
}

async fn read<T: serde::de::DeserializeOwned>(app: &App, name: &str, place: &str) -> Result<Option<T>> {
    let get = app.aws.dynamodb.get_item().table_name(&app.config.tables.locks);
    let found = get.set_key(Some(key(name, place))).consistent_read(true).send().await?;
    found.item.map(table::from_item).transpose()
}

/// The counts of a lock, strongly consistent. `None` before its first use.
pub(crate) async fn head(app: &App, name: &str) -> Result<Option<Head>> {
    read(app, name, HEAD).await
}

/// The claim of an execution that holds a lock.
pub(crate) async fn holder(app: &App, name: &str, id: &ExecutionId) -> Result<Option<Claim>> {
    read(app, name, &format!("{HOLDER}{id}")).await
}

/// The claims of a lock whose sort keys begin with `begins`, in their order: all, or as many as `limit`.
pub(crate) async fn claims(app: &App, name: &str, begins: &str, limit: Option<i32>) -> Result<Vec<Claim>> {
    let query = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.locks)
        .consistent_read(true)
        .key_condition_expression("#name = :name AND begins_with(place, :begins)")
        .expression_attribute_names("#name", "name")
        .expression_attribute_values(":name", string(name))
        .expression_attribute_values(":begins", string(begins));
    if let Some(limit) = limit {
        let found = query.limit(limit).send().await?;
        return found.items.unwrap_or_default().into_iter().map(table::from_item).collect();
    }
    let mut items = query.into_paginator().items().send();
    let mut claims = Vec::new();
    while let Some(item) = items.next().await {
        claims.push(table::from_item(item?)?);
    }
    Ok(claims)
}

/// The first in line.
pub(crate) async fn first(app: &App, name: &str) -> Result<Option<Claim>> {
    Ok(claims(app, name, PLACE, Some(1)).await?.pop())
}
