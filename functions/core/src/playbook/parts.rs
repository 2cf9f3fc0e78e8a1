//! Finds the playbooks whose schedules may differ from what the playbook says, and keeps an earlier publication from changing the schedules
//! of a later one.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use runvoy_api_types::ScheduleName;

use super::{HEAD, Head, PlaybookName, head, listed};
use crate::{
    App, Result,
    table::{self, WriteError as _, number, string},
};

/// A write that fails its transaction once another request has published or deleted the playbook. `None` when no publication or deletion is
/// under way.
pub(crate) fn guard(app: &App, head: &Head) -> Result<Option<TransactWriteItem>> {
    let Some(pending) = head.pending() else { return Ok(None) };
    let update = Update::builder()
        .table_name(&app.config.tables.playbooks)
        .key("name", string(head.shown.name.as_str()))
        .key("version", number(HEAD))
        .update_expression("SET pending = :pending")
        .condition_expression("pending = :pending")
        .expression_attribute_values(":pending", string(pending))
        .build()?;
    Ok(Some(TransactWriteItem::builder().update(update).build()))
}

/// Notes that these are the playbook's schedules, and that they are as it says. Does nothing once another request has published or deleted
/// it.
pub(crate) async fn settle(app: &App, head: &Head, made: &[ScheduleName]) -> Result<()> {
    let Some(pending) = head.pending() else { return Ok(()) };
    let names = made.iter().map(|name| string(name.as_str())).collect();
    let update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.playbooks)
        .key("name", string(head.shown.name.as_str()))
        .key("version", number(HEAD))
        .update_expression("SET schedules_made = :made REMOVE pending")
        .condition_expression("pending = :pending")
        .expression_attribute_values(":made", aws_sdk_dynamodb::types::AttributeValue::L(names))
        .expression_attribute_values(":pending", string(pending));
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(()),
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The names of the playbooks whose schedules may differ from what the playbook says: of those that are listed, and of `others`, which may
/// be deleted.
pub(crate) async fn unfinished(app: &App, others: impl IntoIterator<Item = PlaybookName>) -> Result<Vec<PlaybookName>> {
    let mut names: std::collections::BTreeSet<PlaybookName> = others.into_iter().collect();
    let mut items = listed(app)
        .projection_expression("#name")
        .expression_attribute_names("#name", "name")
        .into_paginator()
        .items()
        .send();
    while let Some(item) = items.next().await {
        let item = item?;
        names.extend(item.get("name").and_then(|name| name.as_s().ok()?.parse::<PlaybookName>().ok()));
    }
    let mut unfinished = Vec::new();
    for name in names {
        if head(app, &name).await?.is_some_and(|head| head.pending.is_some()) {
            unfinished.push(name);
        }
    }
    Ok(unfinished)
}
