//! Marks records of viewers, so that the connections table's stream invokes the event processor for them. Lambda repeats such an event until it
//! is handled.

use std::future::Future;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, stream};

use super::connection::{ConnectionKey, item_key, of_execution};
use crate::{
    App, Result,
    execution::ExecutionId,
    key::ApiKeyHash,
    random::random_text,
    table::{self, WriteError as _, string},
};

/// Records that are marked at the same time.
const CONCURRENCY: usize = 128;

/// Asks for an event that serves the execution's fan-out, by a mark on one of these viewers. The mark makes the connections table's
/// stream invoke the event processor, which Lambda repeats until the event is handled.
pub(super) async fn of_fan_out(app: &App, viewers: &[ConnectionKey]) -> Result<()> {
    for key in viewers {
        if mark(app, key, "SET handed_over = :true, fan_out = :mark").await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Hands a viewer over to an event of its own: the mark makes the connections table's stream invoke the event processor, which
/// Lambda repeats until the event is handled. `false` if the viewer has left.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(super) async fn of_viewer(app: &App, key: &ConnectionKey) -> Result<bool> {
    mark(app, key, "SET handed_over = :true, handed_over_by = :mark REMOVE fan_out").await
}

/// Hands viewers over, each to an event of its own.
///
/// # Errors
/// The first error, after all were tried.
pub(super) async fn of_each(app: &App, viewers: Vec<ConnectionKey>) -> Result<()> {
    at_once(viewers, |key| async move { of_viewer(app, &key).await }).await
}

/// Hands one of these viewers of an execution over, or another of the execution's if they have left.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn of_one(app: &App, id: &ExecutionId, viewers: &[ConnectionKey]) -> Result<()> {
    for key in viewers {
        if of_viewer(app, key).await? {
            return Ok(());
        }
    }
    for viewer in of_execution(app, id).await? {
        if of_viewer(app, &viewer.connection.key).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Ends the connections of viewers with these keys, which were revoked or deleted. The mark makes the connections table's stream invoke
/// the event processor, which closes them by [`close`](super::connection::close).
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn of_ended_keys(app: &App, keys: &[ApiKeyHash]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = (0..keys.len()).map(|number| format!(":key{number}")).collect();
    let mut scan = app
        .aws
        .dynamodb
        .scan()
        .table_name(&app.config.tables.websocket_connections)
        .consistent_read(true)
        .projection_expression("execution_id, connection_id")
        .filter_expression(format!("key_hash IN ({})", names.join(", ")));
    for (name, key) in names.iter().zip(keys) {
        scan = scan.expression_attribute_values(name, string(key.as_str()));
    }
    let mut items = scan.into_paginator().items().send();
    let mut ended: Vec<ConnectionKey> = Vec::new();
    while let Some(item) = items.next().await {
        ended.push(table::from_item(item?)?);
    }
    end_each(app, ended).await
}

/// Ends the connections of all viewers of an execution whose owners have changed. Those who may still read its log connect again.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn of_changed_owners(app: &App, id: &ExecutionId) -> Result<()> {
    let viewers = of_execution(app, id).await?;
    end_each(app, viewers.into_iter().map(|viewer| viewer.connection.key).collect()).await
}

/// Marks the records of viewers whose connections end. The stream then closes them.
///
/// # Errors
/// The first error, after all were tried.
pub(super) async fn end_each(app: &App, viewers: Vec<ConnectionKey>) -> Result<()> {
    // The mark is another one each time, so that the stream brings it again where a connection was not closed.
    at_once(viewers, |key| async move {
        mark(app, &key, "SET handed_over = :true, key_ended = :true, handed_over_by = :mark").await
    })
    .await
}

async fn at_once<F: Future<Output = Result<bool>>>(
    viewers: Vec<ConnectionKey>,
    change: impl Fn(ConnectionKey) -> F,
) -> Result<()> {
    let marked: Vec<Result<bool>> = stream::iter(viewers).map(change).buffer_unordered(CONCURRENCY).collect().await;
    marked.into_iter().try_for_each(|marked| marked.map(drop))
}

/// Changes a viewer's record. `:mark` is another text each time, because an item that does not change makes no record of the stream. `false` if
/// the viewer has left.
async fn mark(app: &App, key: &ConnectionKey, change: &str) -> Result<bool> {
    let update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.websocket_connections)
        .set_key(Some(item_key(key)))
        .update_expression(change)
        .condition_expression("attribute_exists(connection_id)")
        .expression_attribute_values(":mark", string(random_text::<6>()?))
        .expression_attribute_values(":true", AttributeValue::Bool(true));
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(true),
        Err(error) if error.condition_failed() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
