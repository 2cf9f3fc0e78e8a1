//! Keeps the records of viewers: which execution each follows, and how far it has been served.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::operation::delete_connection::DeleteConnectionError;
use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{
        AttributeValue, DeleteRequest, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
        WriteRequest,
    },
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Result,
    audit::{self, Entry},
    auth,
    error::Service,
    execution::{ExecutionId, Status},
    key::ApiKeyHash,
    logs::head,
    table::{self, WriteError as _, number, string},
};

/// The index of connections by their id alone, which is all that a `$disconnect` event contains.
const BY_CONNECTION: &str = "by-connection";
/// The time that a connection's record lives. API Gateway closes every connection after two hours.
const LIFETIME: Duration = Duration::from_hours(24);
/// The time that the handshake of a connection may take after `connected_at`. Until then, API Gateway may not know the connection yet.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(3);
/// The time in which the event of a new connection comes. After that, a viewer that was never served is handed over.
const FIRST_EVENT: Duration = Duration::from_secs(10);
/// The number of items that one call of BatchWriteItem may delete ("BatchWriteItem", DynamoDB API Reference).
const DELETES_A_CALL: usize = 25;
/// The number of times that a call is repeated that left items unprocessed.
const ATTEMPTS: u32 = 8;

/// The key of a viewer's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionKey {
    pub execution_id: ExecutionId,
    pub connection_id: String,
}

/// An item of the connections table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    #[serde(flatten)]
    pub(super) key: ConnectionKey,
    /// Tells whether several lines may be sent in one frame.
    pub(super) batch: bool,
    /// Tells whether the viewer receives the execution's status at each change.
    #[serde(default)]
    pub(super) status: bool,
    /// The last status that was sent.
    #[serde(default, rename = "told", skip_serializing_if = "Option::is_none")]
    pub(super) sent_status: Option<Status>,
    /// Tells whether the command's end was sent.
    #[serde(default)]
    pub(super) sent_ending: bool,
    /// The last line that the viewer has: from an earlier connection, or of the batch after `served`, which was sent in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_event_id: Option<String>,
    /// The sequence number of the last batch that was sent whole. Absent until the viewer is served for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) served: Option<u64>,
    /// The time since when the viewer's buffer is full, in milliseconds since 1970, of one that an invocation handed over because of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) full_since: Option<i64>,
    /// The key of the user who follows. The connection ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key_hash: Option<ApiKeyHash>,
    /// The time at which that key expires, in milliseconds since 1970. The viewer is sent nothing from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key_expires_at: Option<i64>,
    /// Milliseconds since 1970.
    pub(super) connected_at: i64,
    /// Seconds since 1970, for DynamoDB's TTL.
    pub(super) expires_at: i64,
}

/// A viewer's record, with what says who serves the viewer.
#[derive(Clone, Debug, Deserialize)]
pub struct Viewer {
    #[serde(flatten)]
    pub(super) connection: Connection,
    /// Tells whether the viewer is a member of the fan-out, which has one position for all its members.
    #[serde(default, rename = "joined")]
    pub(super) is_member: bool,
    /// The end of the lease of the invocation that serves this viewer alone, in milliseconds since 1970.
    #[serde(default)]
    lease_until: Option<i64>,
    /// Tells whether an event of the viewer's own is under way.
    #[serde(default)]
    handed_over: bool,
}

impl Viewer {
    /// Tells whether no invocation serves the viewer alone.
    pub(super) fn is_idle(&self, now: i64) -> bool {
        self.lease_until.is_none_or(|until| until < now)
    }

    /// Tells whether an event is on its way that serves the viewer: that of its connection, or that of a hand-over.
    pub(super) fn is_awaited(&self, now: i64) -> bool {
        self.handed_over
            || self.connection.served.is_none() && now - self.connection.connected_at < FIRST_EVENT.as_millis() as i64
    }
}

/// The options of a viewer, which it sends when it connects.
#[derive(Clone, Debug, Default)]
pub struct ViewerOptions {
    /// Several lines in one frame.
    pub batch: bool,
    /// A frame with the execution's status at each change.
    pub status: bool,
    /// Only the lines after this one.
    pub last_event_id: Option<String>,
    /// The key of the user who follows.
    pub key_hash: Option<ApiKeyHash>,
    /// The time at which that key expires.
    pub key_expires_at: Option<Timestamp>,
}

impl Connection {
    pub fn new(app: &App, key: ConnectionKey, options: ViewerOptions) -> Self {
        let ViewerOptions { batch, status, last_event_id, key_hash, key_expires_at } = options;
        let connected_at = app.now().as_millisecond();
        let expires_at = app.expiry(LIFETIME);
        Self {
            key,
            batch,
            status,
            sent_status: None,
            sent_ending: false,
            last_event_id,
            served: None,
            full_since: None,
            key_hash,
            key_expires_at: key_expires_at.map(Timestamp::as_millisecond),
            connected_at,
            expires_at,
        }
    }

    /// Tells whether the key of the user who follows has expired. An expiry changes no record, so that no event tells of it.
    pub(super) fn has_expired_key(&self, now: i64) -> bool {
        self.key_expires_at.is_some_and(|at| at <= now)
    }
}

pub(super) fn item_key(key: &ConnectionKey) -> table::Item {
    table::Item::from([
        ("execution_id".to_owned(), string(key.execution_id.as_str())),
        ("connection_id".to_owned(), string(&key.connection_id)),
    ])
}

/// Marks the execution as watched, and then writes a viewer's record. A batch that is being stored at this moment by an invocation
/// that takes the execution for unwatched is refused, and is repeated with the viewer in view.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution. [`Error::UnknownWebSocketToken`] when the viewer's key has ended meanwhile.
/// [`Error::Aws`] when DynamoDB fails, or has taken so long that a delivery may have found the connection unknown to API Gateway and
/// removed its record.
pub async fn add(app: &App, connection: &Connection, entry: &Entry) -> Result<()> {
    head::mark_watched(app, &connection.key.execution_id).await?;
    // The mark may take a while where many lines are stored, and no delivery knows of the connection meanwhile.
    let connection = &Connection { connected_at: app.now().as_millisecond(), ..connection.clone() };
    let put = Put::builder()
        .table_name(&app.config.tables.websocket_connections)
        .set_item(Some(table::to_item(connection)?))
        .build()?;
    let writes = vec![TransactWriteItem::builder().put(put).build()];
    audit::transact(app, writes, std::slice::from_ref(entry)).await?;
    let took = app.now().as_millisecond() - connection.connected_at;
    // A revocation ends the connections that it finds after it has changed the key. It may have looked before this one was written.
    let still_works = match &connection.key_hash {
        Some(hash) => auth::user_of_key(app, hash).await.map(|user| user.is_some()),
        None => Ok(true),
    };
    if !matches!(still_works, Ok(true)) {
        remove(app, &connection.key).await?;
        still_works?;
        return Err(Error::UnknownWebSocketToken);
    }
    let answers_after = app.now().as_millisecond() - connection.connected_at;
    if took > HANDSHAKE.as_millis() as i64 / 3 || answers_after > HANDSHAKE.as_millis() as i64 * 2 / 3 {
        remove(app, &connection.key).await?;
        return Err(Error::unavailable(Service::DynamoDb, "the record of a viewer was not written in time"));
    }
    Ok(())
}

/// The viewers of an execution, strongly consistent.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn of_execution(app: &App, id: &ExecutionId) -> Result<Vec<Viewer>> {
    let mut items = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.websocket_connections)
        .consistent_read(true)
        .key_condition_expression("execution_id = :id")
        .expression_attribute_values(":id", string(id.as_str()))
        .into_paginator()
        .items()
        .send();
    let mut viewers = Vec::new();
    while let Some(item) = items.next().await {
        viewers.push(table::from_item(item?)?);
    }
    Ok(viewers)
}

/// Makes a viewer that no invocation serves a member of the fan-out. `None` if it has left, or an invocation has served it since it was read.
pub(super) async fn adopt(app: &App, connection: &Connection) -> Result<Option<Connection>> {
    let Some(served) = connection.served else { return Ok(None) };
    let update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.websocket_connections)
        .set_key(Some(item_key(&connection.key)))
        .update_expression("SET joined = :true REMOVE lease_owner, lease_until, handed_over, fan_out")
        .condition_expression(
            "served = :served AND attribute_not_exists(joined) AND (attribute_not_exists(lease_until) OR lease_until < :now)",
        )
        .expression_attribute_values(":true", AttributeValue::Bool(true))
        .expression_attribute_values(":served", number(served))
        .expression_attribute_values(":now", number(app.now().as_millisecond()))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match table::write(app, || update.clone().send()).await {
        Ok(answer) => answer.attributes.map(table::from_item).transpose(),
        Err(error) if error.condition_failed() => {
            let item = match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(refused) => refused.item,
                _ => None,
            };
            // Only the holder of the fan-out's lease adopts, so a viewer that is a member now is one whose answer to the SDK's first try was
            // lost.
            let viewer: Option<Viewer> = item.filter(|item| !item.is_empty()).map(table::from_item).transpose()?;
            Ok(viewer.filter(|viewer| viewer.is_member).map(|viewer| viewer.connection))
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the record of a viewer by its connection id.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
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

/// Removes the record of a viewer.
pub(super) async fn remove(app: &App, key: &ConnectionKey) -> Result<()> {
    let delete = app
        .aws
        .dynamodb
        .delete_item()
        .table_name(&app.config.tables.websocket_connections)
        .set_key(Some(item_key(key)));
    table::write(app, || delete.clone().send()).await?;
    Ok(())
}

/// Removes the records of viewers whose connections are closed.
pub(super) async fn remove_all(app: &App, keys: &[ConnectionKey]) -> Result<()> {
    for keys in keys.chunks(DELETES_A_CALL) {
        let mut deletes = Vec::new();
        for key in keys {
            let delete = DeleteRequest::builder().set_key(Some(item_key(key))).build()?;
            deletes.push(WriteRequest::builder().delete_request(delete).build());
        }
        for attempt in 0.. {
            let call = app.aws.dynamodb.batch_write_item();
            let answer = call.request_items(&app.config.tables.websocket_connections, deletes).send().await?;
            match answer.unprocessed_items.and_then(|items| items.into_values().next()).filter(|rest| !rest.is_empty())
            {
                Some(rest) if attempt < ATTEMPTS => deletes = rest,
                Some(_) => return Err(Error::unavailable(Service::DynamoDb, "records of viewers stayed unprocessed")),
                None => break,
            }
            app.sleep(table::pause(app, attempt)).await;
        }
    }
    Ok(())
}

/// Closes a viewer's connection and removes its record.
///
/// # Errors
/// [`Error::Aws`] when API Gateway or DynamoDB fails.
pub async fn close(app: &App, key: &ConnectionKey) -> Result<()> {
    match app.aws.websocket.delete_connection().connection_id(&key.connection_id).send().await {
        Ok(_) => {}
        // The viewer has closed it.
        Err(error) if matches!(error.as_service_error(), Some(DeleteConnectionError::GoneException(_))) => {}
        Err(error) => return Err(Error::aws(Service::ApiGateway)(error)),
    }
    remove(app, key).await
}
