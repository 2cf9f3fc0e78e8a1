//! A viewer's record: how far it has been served, and who is serving it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Result,
    execution::{ExecutionId, Status},
    table::{self, ConditionFailed, cancellation_codes, number, string},
};

/// Index of connections by their id alone: all that a `$disconnect` event tells.
const BY_CONNECTION: &str = "by-connection";
pub const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How long one server has a viewer to itself. Longer than the longest call to AWS, so that who is slow is not overtaken.
pub const LEASE: Duration = Duration::from_secs(20);

/// How long after `connected_at` a connection that API Gateway does not know may be one whose handshake is not over yet.
pub const HANDSHAKE: Duration = Duration::from_secs(3);

/// What names a viewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionKey {
    pub execution_id: ExecutionId,
    pub connection_id: String,
}

/// An item of the connections table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    #[serde(flatten)]
    pub key: ConnectionKey,
    /// Whether it takes many lines in one frame.
    pub batch: bool,
    /// Whether it wants to be told the execution's status.
    #[serde(default)]
    pub status: bool,
    /// The status that it has been told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Status>,
    /// The last line it has of what is not sent whole: from before, if it comes back, or of the batch after `served`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<String>,
    /// The sequence number of the last batch it has been sent whole. Absent until it is served for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<u64>,
    /// Milliseconds since 1970.
    pub connected_at: i64,
    /// Seconds since 1970, for DynamoDB's TTL.
    pub expires_at: i64,
}

/// What a viewer asks for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Many lines in one frame.
    pub batch: bool,
    /// To be told the execution's status at each change.
    pub status: bool,
    /// Lines only from after this one.
    pub last_event_id: Option<String>,
}

impl Connection {
    pub fn new(app: &App, key: ConnectionKey, wishes: Wishes) -> Self {
        let Wishes { batch, status, last_event_id } = wishes;
        let connected_at = app.now().as_millisecond();
        let expires_at = app.expiry(LIFETIME);
        Self { key, batch, status, told: None, last_event_id, served: None, connected_at, expires_at }
    }
}

fn item_key(key: &ConnectionKey) -> table::Item {
    table::Item::from([
        ("execution_id".to_owned(), string(key.execution_id.as_str())),
        ("connection_id".to_owned(), string(&key.connection_id)),
    ])
}

/// Writes a viewer down and counts it on its execution, so that a batch being stored at this moment does not miss it.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution; [`Error::Database`] also when it took so long that the viewer may be
/// taken for one that has left before it is let in.
pub async fn add(app: &App, connection: &Connection) -> Result<()> {
    let id = &connection.key.execution_id;
    let count = Update::builder()
        .table_name(&app.config.tables.executions)
        .key("execution_id", string(id.as_str()))
        .update_expression("ADD viewers :one")
        .condition_expression("attribute_exists(execution_id)")
        .expression_attribute_values(":one", number(1))
        .build()?;
    let put = Put::builder()
        .table_name(&app.config.tables.websocket_connections)
        .set_item(Some(table::to_item(connection)?))
        .build()?;
    for attempt in 1..=8_u64 {
        let written = app
            .aws
            .dynamodb
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(count.clone()).build())
            .transact_items(TransactWriteItem::builder().put(put.clone()).build())
            .send()
            .await;
        match written {
            Ok(_) if app.now().as_millisecond() - connection.connected_at > HANDSHAKE.as_millis() as i64 / 3 => {
                remove(app, &connection.key).await?;
                return Err(Error::Database("a new viewer could not be noted in time".to_owned()));
            }
            Ok(_) => return Ok(()),
            Err(error) => {
                let codes = cancellation_codes(&error);
                if codes.first().is_some_and(|code| code == "ConditionalCheckFailed") {
                    return Err(Error::not_found("execution", id.as_str()));
                }
                if !codes.iter().any(|code| code == "TransactionConflict") {
                    return Err(error.into());
                }
                app.sleep(Duration::from_millis(5 * attempt)).await;
            }
        }
    }
    Err(Error::Database(format!("the execution {id} is too busy to take another viewer")))
}

/// The viewers of an execution.
pub async fn of_execution(app: &App, id: &ExecutionId) -> Result<Vec<ConnectionKey>> {
    let mut items = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.websocket_connections)
        .consistent_read(true)
        .key_condition_expression("execution_id = :id")
        .projection_expression("execution_id, connection_id")
        .expression_attribute_values(":id", string(id.as_str()))
        .into_paginator()
        .items()
        .send();
    let mut keys = Vec::new();
    while let Some(item) = items.next().await {
        keys.push(table::from_item(item?)?);
    }
    Ok(keys)
}

/// Forgets a viewer by its connection id.
pub async fn remove_by_id(app: &App, connection_id: &str) -> Result<()> {
    let found = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.websocket_connections)
        .index_name(BY_CONNECTION)
        .key_condition_expression("connection_id = :id")
        .projection_expression("execution_id, connection_id")
        .expression_attribute_values(":id", string(connection_id))
        .send()
        .await?;
    for item in found.items.unwrap_or_default() {
        remove(app, &table::from_item(item)?).await?;
    }
    Ok(())
}

/// Forgets a viewer.
pub async fn remove(app: &App, key: &ConnectionKey) -> Result<()> {
    app.aws
        .dynamodb
        .delete_item()
        .table_name(&app.config.tables.websocket_connections)
        .set_key(Some(item_key(key)))
        .send()
        .await?;
    Ok(())
}

/// Has a viewer served by an event of its own: the connections table's stream passes this on, and it is delivered until it is
/// handled.
pub async fn hand_over(app: &App, key: &ConnectionKey) -> Result<()> {
    app.aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.websocket_connections)
        .set_key(Some(item_key(key)))
        .update_expression("SET handed_over = :true")
        .condition_expression("attribute_exists(connection_id)")
        .expression_attribute_values(":true", AttributeValue::Bool(true))
        .send()
        .await
        .map(drop)
        // It has left.
        .or_else(|error| if error.condition_failed() { Ok(()) } else { Err(error.into()) })
}

/// A viewer that this server, and nobody else, may send to. Letting go of it or renewing the lease notes how far it has been
/// served, as `connection` says.
#[derive(Debug)]
pub struct Lease {
    pub connection: Connection,
    owner: String,
    taken: Timestamp,
}

/// A lease as others see it: another one is another server's, or renewed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Held {
    lease_owner: String,
    lease_until: i64,
}

/// How an attempt at a lease came out.
pub enum Leased {
    Yes(Box<Lease>),
    /// Somebody else is serving the viewer.
    Busy(Held),
    /// The viewer has left.
    Gone,
}

impl Lease {
    /// Takes the viewer, if nobody has it.
    pub async fn take(app: &App, key: &ConnectionKey) -> Result<Leased> {
        let owner = crate::auth::key::random_text::<12>()?;
        let taken = app.now();
        let now = taken.as_millisecond();
        let answer = app
            .aws
            .dynamodb
            .update_item()
            .table_name(&app.config.tables.websocket_connections)
            .set_key(Some(item_key(key)))
            .update_expression("SET lease_owner = :owner, lease_until = :until REMOVE handed_over")
            .condition_expression(
                "attribute_exists(connection_id) AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            )
            .expression_attribute_values(":owner", string(&owner))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":until", number(now + LEASE.as_millis() as i64))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let item = match answer {
            Ok(answer) => answer.attributes,
            Err(error) if error.condition_failed() => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(refused) => refused.item,
                _ => None,
            },
            Err(error) => return Err(error.into()),
        };
        let Some(item) = item.filter(|item| !item.is_empty()) else { return Ok(Leased::Gone) };
        let held: Held = table::from_item(item.clone())?;
        // Refused with the lease in its own name: the answer to its first attempt was lost.
        if held.lease_owner != owner {
            return Ok(Leased::Busy(held));
        }
        Ok(Leased::Yes(Box::new(Self { connection: table::from_item(item)?, owner, taken })))
    }

    /// Whether so much of the lease is gone that it should be renewed before more is sent. Early, so that others soon see
    /// that its server is alive.
    pub fn is_aging(&self, app: &App) -> bool {
        app.now().duration_since(self.taken).unsigned_abs() > LEASE / 10
    }

    /// Goes on with the viewer. `false` when the lease was lost.
    pub async fn renew(&mut self, app: &App) -> Result<bool> {
        let taken = app.now();
        let until = taken.as_millisecond() + LEASE.as_millis() as i64;
        let update = self.update(app, &["lease_until = :until"], &["handed_over"]);
        let kept =
            update.expression_attribute_values(":until", number(until)).send().await.map(|_| true).or_else(lost)?;
        self.taken = taken;
        Ok(kept)
    }

    /// Lets go of the viewer, unless the lease was lost; which is also what it looks like when the answer to a first attempt
    /// was.
    pub async fn release(self, app: &App) -> Result<()> {
        let update = self.update(app, &[], &["lease_owner", "lease_until", "handed_over"]);
        update.send().await.map(|_| true).or_else(lost)?;
        Ok(())
    }

    /// Lets go of a viewer that lacks something still, and has it served by an event of its own: see [`hand_over`].
    pub async fn hand_over(self, app: &App) -> Result<()> {
        let update = self.update(app, &["handed_over = :true"], &["lease_owner", "lease_until"]);
        update
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .send()
            .await
            .map(|_| true)
            .or_else(lost)?;
        Ok(())
    }

    /// An update by whoever has the lease, which also notes how far the viewer has been served and what it has been told.
    fn update(&self, app: &App, set: &[&str], remove: &[&str]) -> UpdateItemFluentBuilder {
        let (mut set, mut remove) = (set.to_vec(), remove.to_vec());
        let mut update = app
            .aws
            .dynamodb
            .update_item()
            .table_name(&app.config.tables.websocket_connections)
            .set_key(Some(item_key(&self.connection.key)))
            .condition_expression("lease_owner = :owner")
            .expression_attribute_values(":owner", string(&self.owner));
        let Connection { served, last_event_id, told, .. } = &self.connection;
        if let Some(served) = served {
            set.push("served = :served");
            update = update.expression_attribute_values(":served", number(*served));
            match last_event_id {
                Some(id) => {
                    set.push("last_event_id = :last");
                    update = update.expression_attribute_values(":last", string(id));
                }
                None => remove.push("last_event_id"),
            }
        }
        if let Some(told) = told {
            set.push("told = :told");
            update = update.expression_attribute_values(":told", string(told.as_str()));
        }
        let set = if set.is_empty() { String::new() } else { format!("SET {} ", set.join(", ")) };
        update.update_expression(format!("{set}REMOVE {}", remove.join(", ")))
    }
}

fn lost<E>(error: crate::error::SdkError<E>) -> Result<bool>
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + crate::error::DynamoDbError,
{
    if error.condition_failed() { Ok(false) } else { Err(error.into()) }
}
