//! Reads and writes heads of logs: how far an execution's log is stored, and whether viewers follow it.
//!
//! The head is an item of a table without indexes, so that a batch of lines writes this item and the batch itself. It is made with the
//! first batch or the first viewer. It also holds the lease and the position of the fan-out: see [`fan_out_lease`](super::fan_out_lease).

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Result, boxed,
    execution::{self, ExecutionId, ExecutionRecord, Status},
    table::{self, WriteError as _, number, string},
};

/// The most times that an update of a head is tried, because it loses races with other writers.
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

/// Keeps the executions whose log is not known to be whole.
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
#[boxed]
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

/// Sends one update. `false` when its condition does not hold.
pub(super) async fn write(app: &App, update: Update) -> Result<bool> {
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
