//! Reads and writes heads of logs: how far an execution's log is stored, and whether viewers follow it.
//!
//! The head is an item of a table without indexes, so that a batch of lines writes this item and the batch itself. It is made with the
//! first batch or the first viewer. It also holds the lease and the position of the fan-out, which sends new lines to all viewers that
//! have caught up: see [`fan_out`](crate::websocket::fan_out).

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, Update},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Result,
    execution::{self, ExecutionId, ExecutionRecord, Status},
    table::{self, WriteError as _, number, string},
};

/// The time that the fan-out's lease lasts. Its holder renews it every 2 seconds, and begins no post whose longest duration would
/// end after it.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// The number of times that an update of a head is tried that loses a race with another writer.
const ATTEMPTS: u32 = 12;

/// The place up to which an execution's log has been stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Counts the changes of the head. Each is conditional on the count that its writer has read. 0 if there is no item yet.
    #[serde(default)]
    pub(crate) version: u64,
    /// The sequence number of the newest stored batch; 0 before the first.
    #[serde(default)]
    pub sequence: u64,
    /// The greatest event id stored so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_event_id: Option<String>,
    /// Tells whether the log has ended after the task stopped, so that no further batch is expected and viewers are sent off.
    #[serde(default)]
    pub complete: bool,
    /// The part of the log that there was no time to compare with CloudWatch, as `comparison.rs` writes it. A later comparison goes on
    /// there, also after the log's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uncompared: Option<String>,
    /// Tells whether a viewer has ever connected.
    #[serde(default)]
    pub watched: bool,
    /// The command's exit code, once the log has been compared with CloudWatch up to the runner's last line. The task may go on for a
    /// minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_with: Option<i32>,
    /// The invocation that sends to the viewers that have caught up. Absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fan_owner: Option<String>,
    /// The end of that invocation's lease, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fan_until: Option<i64>,
    /// The sequence number of the last batch that all members of the fan-out have. Absent before the fan-out's first lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fan_position: Option<u64>,
    /// The status that was sent to all members that asked for statuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fan_status: Option<Status>,
    /// Tells whether the command's end was sent to all members that asked for statuses.
    #[serde(default)]
    pub(crate) fan_ending: bool,
}

impl LogHead {
    /// The head of an execution without a head of its own: the log fields of the execution's record, which an earlier version of the
    /// program wrote, or the head of an empty log.
    pub(super) fn of_record(record: &ExecutionRecord) -> Self {
        let earlier = &record.earlier_log;
        Self {
            version: 0,
            sequence: earlier.log_sequence,
            last_event_id: earlier.log_last_event_id.clone(),
            complete: earlier.log_complete,
            watched: earlier.viewers > 0,
            ..Self::default()
        }
    }

    /// Tells whether the log has ended and was compared with CloudWatch as a whole, so that no line is missing.
    pub fn is_whole(&self) -> bool {
        self.complete && self.uncompared.is_none()
    }

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

    /// The write that replaces this head by `to`. Its condition is that the head has not changed since it was read.
    pub(crate) fn replace(&self, app: &App, id: &ExecutionId, to: &Self) -> Result<Update> {
        let mut expression =
            "SET version = :to, #sequence = :sequence, complete = :complete, watched = :watched".to_owned();
        let mut update = Update::builder()
            .table_name(&app.config.tables.log_heads)
            .key("execution_id", string(id.as_str()))
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_values(":to", number(self.version + 1))
            .expression_attribute_values(":sequence", number(to.sequence))
            .expression_attribute_values(":complete", AttributeValue::Bool(to.complete))
            .expression_attribute_values(":watched", AttributeValue::Bool(to.watched));
        if let Some(last) = &to.last_event_id {
            expression.push_str(", last_event_id = :last");
            update = update.expression_attribute_values(":last", string(last));
        }
        if let Some(exit_code) = to.ended_with {
            expression.push_str(", ended_with = :ended_with");
            update = update.expression_attribute_values(":ended_with", number(exit_code));
        }
        let mut removed = Vec::new();
        match &to.uncompared {
            Some(rest) => {
                expression.push_str(", uncompared = :rest");
                update = update.expression_attribute_values(":rest", string(rest));
            }
            None if self.uncompared.is_some() => removed.push("uncompared"),
            None => {}
        }
        match (&to.fan_owner, to.fan_until) {
            (Some(owner), Some(until)) => {
                expression.push_str(", fan_owner = :owner, fan_until = :until");
                update = update
                    .expression_attribute_values(":owner", string(owner))
                    .expression_attribute_values(":until", number(until));
            }
            _ => removed.extend(["fan_owner", "fan_until"]),
        }
        if let Some(position) = to.fan_position {
            expression.push_str(", fan_position = :position");
            update = update.expression_attribute_values(":position", number(position));
        }
        if let Some(status) = to.fan_status {
            expression.push_str(", fan_status = :status");
            update = update.expression_attribute_values(":status", string(status));
        }
        if to.fan_ending {
            expression.push_str(", fan_ending = :ending");
            update = update.expression_attribute_values(":ending", AttributeValue::Bool(true));
        }
        if !removed.is_empty() {
            expression.push_str(&format!(" REMOVE {}", removed.join(", ")));
        }
        let update = if self.version == 0 {
            update.condition_expression("attribute_not_exists(execution_id)")
        } else {
            update.condition_expression("version = :from").expression_attribute_values(":from", number(self.version))
        };
        Ok(update.update_expression(expression).build()?)
    }
}

/// The head of an execution's log, strongly consistent. `None` if there is no such execution, or its record has not been written yet.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn find(app: &App, id: &ExecutionId) -> Result<Option<LogHead>> {
    let head = own(app, id).await?;
    if head.is_some() {
        return Ok(head);
    }
    Ok(execution::find(app, id).await?.map(|record| LogHead::of_record(&record)))
}

/// The head of an execution's log, strongly consistent.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution; [`Error::Aws`] when DynamoDB fails.
pub async fn get(app: &App, id: &ExecutionId) -> Result<LogHead> {
    find(app, id).await?.ok_or_else(|| Error::not_found("execution", id.as_str()))
}

/// The head of the log of an execution whose record has been read.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn of(app: &App, record: &ExecutionRecord) -> Result<LogHead> {
    Ok(own(app, &record.execution.execution_id).await?.unwrap_or_else(|| LogHead::of_record(record)))
}

/// The head's own item, strongly consistent. A log has none before its first line or viewer, or if an earlier version of the program
/// kept it on the execution's record.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(super) async fn own(app: &App, id: &ExecutionId) -> Result<Option<LogHead>> {
    table::get(&app.aws.dynamodb, &app.config.tables.log_heads, "execution_id", id.as_str()).await
}

/// Those of the executions whose log is not known to be whole.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn incomplete(app: &App, records: Vec<ExecutionRecord>) -> Result<Vec<ExecutionRecord>> {
    #[derive(Deserialize)]
    struct Listed {
        execution_id: ExecutionId,
        #[serde(flatten)]
        head: LogHead,
    }
    let mut incomplete = Vec::new();
    for records in records.chunks(table::MAX_BATCH_GET) {
        let ids = records.iter().map(|record| record.execution.execution_id.to_string());
        let heads: Vec<Listed> = table::batch_get(app, &app.config.tables.log_heads, "execution_id", ids).await?;
        let is_complete = |record: &ExecutionRecord| {
            let listed = heads.iter().find(|listed| listed.execution_id == record.execution.execution_id);
            listed.map_or(record.earlier_log.log_complete, |listed| listed.head.is_whole())
        };
        incomplete.extend(records.iter().filter(|record| !is_complete(record)).cloned());
    }
    Ok(incomplete)
}

/// Marks an execution as watched, so that invocations that store lines look for its viewers. It must be called before a viewer's
/// record is written: a batch that is being stored meanwhile is refused, and is tried again with the viewer in view. A head that is
/// marked already is not written, so that viewers that connect do not hold up batches.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution; [`Error::Aws`] when DynamoDB fails.
pub async fn mark_watched(app: &App, id: &ExecutionId) -> Result<()> {
    mark(app, id, |head| LogHead { watched: true, ..head }).await.map(drop)
}

/// Notes that every line up to the runner's last one is stored. Returns the head.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution; [`Error::Aws`] when DynamoDB fails.
pub(super) async fn mark_ended(app: &App, id: &ExecutionId, exit_code: i32) -> Result<LogHead> {
    mark(app, id, |head| LogHead { ended_with: Some(exit_code), ..head }).await
}

/// Notes which part of the log has not been compared with CloudWatch. Returns the head.
///
/// # Errors
/// [`Error::NotFound`] when there is no such execution; [`Error::Aws`] when DynamoDB fails.
pub(super) async fn mark_uncompared(app: &App, id: &ExecutionId, rest: Option<String>) -> Result<LogHead> {
    mark(app, id, |head| LogHead { uncompared: rest.clone(), ..head }).await
}

/// Changes a head, unless the change is there already. Returns the head after the change.
async fn mark(app: &App, id: &ExecutionId, change: impl Fn(LogHead) -> LogHead) -> Result<LogHead> {
    for attempt in 0..ATTEMPTS {
        let head = get(app, id).await?;
        let to = change(head.clone());
        if to == head {
            return Ok(head);
        }
        if write(app, head.replace(app, id, &to)?).await? {
            return Ok(LogHead { version: head.version + 1, ..to });
        }
        app.sleep(table::pause(app, attempt)).await;
    }
    Err(table::too_much_contention("the head of a log"))
}

/// Takes the fan-out's lease. `None` when the head has changed since it was read.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn take_fan_out(app: &App, id: &ExecutionId, from: &LogHead, owner: &str) -> Result<Option<LogHead>> {
    let to = from.with_fan_out(owner, app.now(), from.sequence);
    let is_taken = write(app, from.replace(app, id, &to)?).await?;
    Ok(is_taken.then(|| LogHead { version: from.version + 1, ..to }))
}

/// Counts a change that the holder of the fan-out's lease is to see before it releases the lease. `false` when the head has changed since
/// it was read.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn wake_fan_out(app: &App, id: &ExecutionId, from: &LogHead) -> Result<bool> {
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
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn renew_fan_out(app: &App, id: &ExecutionId, held: &LogHead) -> Result<Kept> {
    let until = app.now().as_millisecond() + LEASE.as_millis() as i64;
    let set = "SET version = version + :one, fan_until = :until, fan_position = :position";
    change_fan_out(app, id, held, set, "", "fan_owner = :owner", &[(":one", number(1)), (":until", number(until))])
        .await
}

/// Releases the fan-out's lease. Refused when the head has changed since `held` was read, because the change may be lines or a status
/// that the members lack.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn release_fan_out(app: &App, id: &ExecutionId, held: &LogHead) -> Result<Kept> {
    let values = [(":one", number(1)), (":version", number(held.version))];
    let condition = "fan_owner = :owner AND version = :version";
    let set = "SET version = version + :one, fan_position = :position";
    change_fan_out(app, id, held, set, " REMOVE fan_owner, fan_until", condition, &values).await
}

/// Releases the fan-out's lease although its members may lack lines, which the caller hands over or leaves to its own repetition.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn give_up_fan_out(app: &App, id: &ExecutionId, held: &LogHead) -> Result<()> {
    let set = "SET version = version + :one, fan_position = :position";
    let remove = " REMOVE fan_owner, fan_until";
    change_fan_out(app, id, held, set, remove, "fan_owner = :owner", &[(":one", number(1))]).await.map(drop)
}

async fn change_fan_out(
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

/// Sends one update. `false` when its condition does not hold.
async fn write(app: &App, update: Update) -> Result<bool> {
    let call = app
        .aws
        .dynamodb
        .update_item()
        .table_name(update.table_name)
        .set_key(Some(update.key))
        .update_expression(update.update_expression)
        .set_condition_expression(update.condition_expression)
        .set_expression_attribute_names(update.expression_attribute_names)
        .set_expression_attribute_values(update.expression_attribute_values);
    match table::write(app, || call.clone().send()).await {
        Ok(_) => Ok(true),
        Err(error) if error.condition_failed() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
