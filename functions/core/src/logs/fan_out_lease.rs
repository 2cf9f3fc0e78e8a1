//! Keeps the lease of an execution's fan-out in the head of its log. One invocation at a time has it, and sends new lines to all viewers
//! that have caught up: see [`fan_out`](crate::websocket::fan_out).

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;

use super::{LogHead, head::write};
use crate::{
    App, Result,
    execution::ExecutionId,
    random::random_text,
    table::{self, WriteError as _, number, string},
};

/// The time that the fan-out's lease lasts. Its holder renews it every 2 seconds, and begins no post whose longest duration would
/// end after it.
const LEASE: Duration = Duration::from_secs(10);

/// A new name for an invocation, under which it takes the fan-out's lease.
///
/// # Errors
/// [`Error::Internal`](crate::Error::Internal) when the operating system gives no random bytes.
pub fn new_owner() -> Result<String> {
    random_text::<12>()
}

impl LogHead {
    /// Tells whether no invocation has the fan-out's lease, or the one that has it has not renewed it.
    pub(crate) fn is_fan_out_free(&self, now: Timestamp) -> bool {
        self.fan_owner.is_none() || self.fan_until.is_none_or(|until| until < now.as_millisecond())
    }

    /// This head with the fan-out's lease given to an invocation. Before the first lease all viewers are served one by one, so the fan-out
    /// begins at the end of the log.
    pub(crate) fn with_fan_out(&self, owner: &str, now: Timestamp, end: u64) -> Self {
        Self {
            fan_owner: Some(owner.to_owned()),
            fan_until: Some(now.as_millisecond() + LEASE.as_millis() as i64),
            fan_position: Some(self.fan_position.unwrap_or(end)),
            ..self.clone()
        }
    }
}

/// Takes the fan-out's lease. `None` when the head has changed since it was read.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(crate) async fn take(app: &App, id: &ExecutionId, from: &LogHead, owner: &str) -> Result<Option<LogHead>> {
    let to = from.with_fan_out(owner, app.now(), from.sequence);
    let is_taken = write(app, from.replace(app, id, &to)?).await?;
    Ok(is_taken.then(|| LogHead { version: from.version + 1, ..to }))
}

/// Counts a change that the holder of the fan-out's lease is to see before it releases the lease. `false` when the head has changed since
/// it was read.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(crate) async fn wake(app: &App, id: &ExecutionId, from: &LogHead) -> Result<bool> {
    write(app, from.replace(app, id, from)?).await
}

/// The result of a write by an invocation that has the fan-out's lease.
#[derive(Debug)]
pub(crate) enum Kept {
    Done,
    /// The head has changed, and the invocation has the lease still.
    Changed(Box<LogHead>),
    /// The invocation does not have the lease.
    Lost,
}

/// Renews the fan-out's lease of `held`, and writes how far its members are. Returns the head after it.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(crate) async fn renew(app: &App, id: &ExecutionId, held: &LogHead) -> Result<Kept> {
    let until = app.now().as_millisecond() + LEASE.as_millis() as i64;
    let set = "SET version = version + :one, fan_until = :until, fan_position = :position";
    change(app, id, held, set, "", "fan_owner = :owner", &[(":one", number(1)), (":until", number(until))]).await
}

/// Releases the fan-out's lease. Refused when the head has changed since `held` was read, because the change may be lines or a status
/// that the members lack.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(crate) async fn release(app: &App, id: &ExecutionId, held: &LogHead) -> Result<Kept> {
    let values = [(":one", number(1)), (":version", number(held.version))];
    let condition = "fan_owner = :owner AND version = :version";
    let set = "SET version = version + :one, fan_position = :position";
    change(app, id, held, set, " REMOVE fan_owner, fan_until", condition, &values).await
}

/// Releases the fan-out's lease although its members may lack lines, which the caller hands over or leaves to its own repetition.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(crate) async fn give_up(app: &App, id: &ExecutionId, held: &LogHead) -> Result<()> {
    let set = "SET version = version + :one, fan_position = :position";
    let remove = " REMOVE fan_owner, fan_until";
    change(app, id, held, set, remove, "fan_owner = :owner", &[(":one", number(1))]).await.map(drop)
}

async fn change(
    app: &App,
    id: &ExecutionId,
    held: &LogHead,
    set: &str,
    remove: &str,
    condition: &str,
    values: &[(&str, AttributeValue)],
) -> Result<Kept> {
    let (Some(owner), Some(position)) = (&held.fan_owner, held.fan_position) else { return Ok(Kept::Lost) };
    let mut update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.log_heads)
        .key("execution_id", string(id.as_str()))
        .condition_expression(condition)
        .expression_attribute_values(":owner", string(owner))
        .expression_attribute_values(":position", number(position))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    for (name, value) in values {
        update = update.expression_attribute_values(*name, value.clone());
    }
    let mut set = set.to_owned();
    if let Some(status) = held.fan_status {
        set.push_str(", fan_status = :status");
        update = update.expression_attribute_values(":status", string(status));
    }
    if held.fan_ending {
        set.push_str(", fan_ending = :ending");
        update = update.expression_attribute_values(":ending", AttributeValue::Bool(true));
    }
    let update = update.update_expression(set + remove);
    let item = match table::write(app, || update.clone().send()).await {
        // Without its owner, the item shows that the lease is released.
        Ok(answer) if !remove.is_empty() => return Ok(answer.attributes.map_or(Kept::Lost, |_| Kept::Done)),
        Ok(answer) => answer.attributes,
        Err(error) if error.condition_failed() => match error.into_service_error() {
            UpdateItemError::ConditionalCheckFailedException(refused) => refused.item,
            _ => None,
        },
        Err(error) => return Err(error.into()),
    };
    let head: Option<LogHead> = item.map(table::from_item).transpose()?;
    // A repeated try of a release whose answer was lost looks like a lost lease, too.
    Ok(head
        .filter(|head| head.fan_owner.as_ref() == Some(owner))
        .map_or(Kept::Lost, |head| Kept::Changed(Box::new(head))))
}
