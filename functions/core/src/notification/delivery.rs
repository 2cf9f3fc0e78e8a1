//! Keeps one item for each message of a notification: how far it has come, and what the receiver answered.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Delivery, DeliveryState, NotificationRecord, queue::Message};
use crate::{
    App, Error, Result,
    page::Cursor,
    table::{self, Item, WriteError as _, number, string},
    time,
};

/// The time for which deliveries are kept: 30 days.
pub(super) const KEPT: Duration = Duration::from_hours(720);
/// The time that an invocation has for one try. After that, another may send the message.
const LEASE: Duration = Duration::from_secs(45);
/// Deliveries in an answer.
const MAX_PAGE: usize = 1000;

/// An item of the deliveries table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DeliveryRecord {
    #[serde(flatten)]
    pub(super) delivery: Delivery,
    /// The time of the first try.
    #[serde(with = "time::as_rfc3339")]
    pub(super) first_tried_at: Timestamp,
}

/// The result of claiming a try.
pub(super) enum Claim {
    /// This invocation sends the message.
    Taken(Box<DeliveryRecord>),
    /// Nothing more is to be done about it.
    Finished,
    /// Another invocation sends it, or it is not time for the next try.
    Until(Timestamp),
}

/// The sort key of a delivery. Deliveries sort by the time of their change.
fn sort_key(message: &Message) -> String {
    format!("{}#{}", time::rfc3339(message.time), message.change)
}

/// Claims the next try of a message, by one conditional write. If the queue hands the message to several invocations, one of them sends it.
pub(super) async fn claim(app: &App, message: &Message) -> Result<Claim> {
    let now = app.now();
    let lease = now.checked_add(LEASE).unwrap_or(now);
    let mut expression = "SET #state = :sending, id = :change, event = :event, #time = :time, tried_at = :now, \
        next_try_at = :lease, attempts = if_not_exists(attempts, :none) + :one, \
        first_tried_at = if_not_exists(first_tried_at, :now), expires_at = :expires"
        .to_owned();
    let mut update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.deliveries)
        .key("notification_id", string(&message.notification_id))
        .key("delivery", string(sort_key(message)))
        .condition_expression(
            "attribute_not_exists(#state) OR (#state IN (:sending, :retrying) AND next_try_at <= :now)",
        )
        .expression_attribute_names("#state", "state")
        .expression_attribute_names("#time", "time")
        .expression_attribute_values(":sending", string(DeliveryState::Sending.to_string()))
        .expression_attribute_values(":retrying", string(DeliveryState::Retrying.to_string()))
        .expression_attribute_values(":change", string(&message.change))
        .expression_attribute_values(":event", string(message.event.to_string()))
        .expression_attribute_values(":time", string(time::rfc3339(message.time)))
        .expression_attribute_values(":now", string(time::rfc3339(now)))
        .expression_attribute_values(":lease", string(time::rfc3339(lease)))
        .expression_attribute_values(":none", number(0))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":expires", number(app.expiry(KEPT)))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    if let Some(id) = &message.execution_id {
        expression.push_str(", execution_id = :execution");
        update = update.expression_attribute_values(":execution", string(id.as_str()));
    }
    let update = update.update_expression(expression);
    match table::write(app, || update.clone().send()).await {
        Ok(written) => Ok(Claim::Taken(Box::new(table::from_item(written.attributes.unwrap_or_default())?))),
        Err(error) if error.condition_failed() => refused(error.into_service_error()),
        Err(error) => Err(error.into()),
    }
}

fn refused(error: aws_sdk_dynamodb::operation::update_item::UpdateItemError) -> Result<Claim> {
    use aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException;
    let ConditionalCheckFailedException(refused) = error else {
        return Err(Error::internal("a refused write is of another kind"));
    };
    let found: DeliveryRecord = table::from_item(refused.item.unwrap_or_default())?;
    match found.delivery.next_try_at.filter(|_| !found.delivery.state.is_final()) {
        Some(next) => Ok(Claim::Until(next)),
        None => Ok(Claim::Finished),
    }
}

/// The result of a try.
pub(super) struct Outcome {
    pub(super) state: DeliveryState,
    pub(super) status_code: Option<u16>,
    pub(super) answer: Option<String>,
    pub(super) next_try_at: Option<Timestamp>,
}

/// Writes down the result of a try, unless another invocation has begun the next one.
pub(super) async fn finish(app: &App, message: &Message, attempts: u32, outcome: &Outcome) -> Result<()> {
    let null = || AttributeValue::Null(true);
    let update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.deliveries)
        .key("notification_id", string(&message.notification_id))
        .key("delivery", string(sort_key(message)))
        .update_expression("SET #state = :state, status_code = :code, answer = :answer, next_try_at = :next")
        .condition_expression("#state = :sending AND attempts = :attempts")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":sending", string(DeliveryState::Sending.to_string()))
        .expression_attribute_values(":attempts", number(attempts))
        .expression_attribute_values(":state", string(outcome.state.to_string()))
        .expression_attribute_values(":code", outcome.status_code.map_or_else(null, number))
        .expression_attribute_values(":answer", outcome.answer.as_ref().map_or_else(null, string))
        .expression_attribute_values(
            ":next",
            outcome.next_try_at.map_or_else(null, |next| string(time::rfc3339(next))),
        );
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(()),
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A page of the deliveries of a notification, newest changes first, and where the next page begins.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn page(
    app: &App,
    record: &NotificationRecord,
    limit: Option<usize>,
    cursor: Option<&Cursor>,
) -> Result<(Vec<Delivery>, Option<Cursor>)> {
    let limit = limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let mut query = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.deliveries)
        .consistent_read(true)
        .scan_index_forward(false)
        .limit(i32::try_from(limit).unwrap_or(i32::MAX))
        .key_condition_expression("notification_id = :id")
        .expression_attribute_values(":id", string(&record.id));
    if let Some(cursor) = cursor {
        query = query
            .exclusive_start_key("notification_id", string(&record.id))
            .exclusive_start_key("delivery", string(cursor.key()));
    }
    let answer = query.send().await?;
    let next = answer.last_evaluated_key.as_ref().and_then(|key| key.get("delivery")?.as_s().ok()).map(Cursor::after);
    let items: Vec<Item> = answer.items.unwrap_or_default();
    let deliveries = items.into_iter().map(|item| Ok(table::from_item::<DeliveryRecord>(item)?.delivery));
    Ok((deliveries.collect::<Result<_>>()?, next))
}
