//! Marks records of viewers, so that the connections table's stream invokes the event processor for them. Lambda repeats such an event until it
//! is handled.

use aws_sdk_dynamodb::types::AttributeValue;

use super::connection::{ConnectionKey, item_key, of_execution};
use crate::{
    App, Result,
    execution::ExecutionId,
    key::ApiKeyHash,
    random::random_text,
    table::{self, WriteError as _, string},
};

/// Asks for an event that serves the execution's fan-out, by a mark on one of these viewers. The mark makes the connections table's
/// stream invoke the event processor, which Lambda repeats until the event is handled.
pub(super) async fn of_fan_out(app: &App, viewers: &[ConnectionKey]) -> Result<()> {
    for key in viewers {
        let update = app
            .aws
            .dynamodb
            .update_item()
            .table_name(&app.config.tables.websocket_connections)
            .set_key(Some(item_key(key)))
            // Each mark is another one, because an item that does not change makes no record of the stream.
            .update_expression("SET handed_over = :true, fan_out = :mark")
            .condition_expression("attribute_exists(connection_id)")
            .expression_attribute_values(":mark", string(random_text::<6>()?))
            .expression_attribute_values(":true", AttributeValue::Bool(true));
        match table::write(app, || update.clone().send()).await {
            Ok(_) => return Ok(()),
            // The viewer has left.
            Err(error) if error.condition_failed() => {}
            Err(error) => return Err(error.into()),
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
    let update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.websocket_connections)
        .set_key(Some(item_key(key)))
        // The viewer may be handed over already, and an item that does not change makes no record of the stream.
        .update_expression("SET handed_over = :true, handed_over_by = :mark REMOVE fan_out")
        .condition_expression("attribute_exists(connection_id)")
        .expression_attribute_values(":mark", string(random_text::<6>()?))
        .expression_attribute_values(":true", AttributeValue::Bool(true));
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(true),
        Err(error) if error.condition_failed() => Ok(false),
        Err(error) => Err(error.into()),
    }
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
    while let Some(item) = items.next().await {
        end(app, &table::from_item(item?)?).await?;
    }
    Ok(())
}

/// Ends the connections of all viewers of an execution whose owners have changed. Those who may still read its log connect again.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub async fn of_changed_owners(app: &App, id: &ExecutionId) -> Result<()> {
    for viewer in of_execution(app, id).await? {
        end(app, &viewer.connection.key).await?;
    }
    Ok(())
}

/// Marks a viewer's record, whose stream then closes the connection.
pub(super) async fn end(app: &App, key: &ConnectionKey) -> Result<()> {
    let update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.websocket_connections)
        .set_key(Some(item_key(key)))
        .update_expression("SET handed_over = :true, key_ended = :true")
        .condition_expression("attribute_exists(connection_id)")
        .expression_attribute_values(":true", AttributeValue::Bool(true));
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(()),
        // The viewer has left.
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
