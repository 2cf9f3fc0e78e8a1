//! Executions: one command in one ECS task each, and what is known of it.

pub mod environment;
pub mod id;
pub mod idempotency;
pub mod list;
pub mod run;
pub mod task;

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use id::ExecutionId;
pub use idempotency::Idempotency;

use crate::{
    App, Error, Result,
    email::Email,
    table::{self, ConditionFailed, number, string},
    time,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    Starting,
    Running,
    Terminating,
    Succeeded,
    Failed,
    Stopped,
}

impl Status {
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Running, Self::Terminating, Self::Succeeded, Self::Failed, Self::Stopped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Terminating => "TERMINATING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
        }
    }

    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }

    /// Whether an event may move an execution from this status to that one. A task's end may be learnt before its start,
    /// so every end state can follow every status that is not one.
    pub fn can_become(self, next: Self) -> bool {
        match next {
            Self::Starting => false,
            Self::Running => self == Self::Starting,
            Self::Terminating => matches!(self, Self::Starting | Self::Running),
            Self::Succeeded | Self::Failed | Self::Stopped => !self.is_terminal(),
        }
    }

    /// The condition under which a write may set this status.
    fn condition(self) -> String {
        let before: Vec<String> = Self::ALL
            .into_iter()
            .filter(|status| status.can_become(self))
            .map(|status| format!(":from_{}", status.as_str()))
            .collect();
        format!("attribute_exists(execution_id) AND #status IN ({})", before.join(", "))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            Error::invalid(format!("status {text:?} is none of {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }
}

/// An execution as the API lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Execution {
    #[schema(value_type = String)]
    pub execution_id: ExecutionId,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    pub command: String,
    pub image_id: String,
    #[serde(with = "time::as_rfc3339")]
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub completed_at: Option<Timestamp>,
    pub status: Status,
    /// `null` until completed.
    #[serde(default)]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream_name: Option<String>,
    pub created_by_request_id: String,
    pub modified_by_request_id: String,
    pub cloud: String,
}

/// An item of the executions table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecutionRecord {
    #[serde(flatten)]
    pub execution: Execution,
    /// Why ECS stopped the task, when it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// The request that the caller's idempotency key stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<String>,
    #[serde(flatten)]
    pub log: LogHead,
}

/// How far an execution's log has been stored. Kept with the execution, so that one read tells both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// The sequence number of the newest stored batch; 0 before the first.
    #[serde(default)]
    pub log_sequence: u64,
    /// The greatest event id stored so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_last_event_id: Option<String>,
    /// Whether the rest of the log has been read after the task's end: no batch is expected any more.
    #[serde(default)]
    pub log_complete: bool,
    /// Counts the viewers that have ever connected: a batch that finds it unchanged has nobody new to look for.
    #[serde(default)]
    pub viewers: u64,
}

/// What a run starts with.
#[derive(Clone, Debug)]
pub struct NewExecution {
    pub execution_id: ExecutionId,
    pub created_by: Email,
    pub command: String,
    pub image_id: String,
    pub started_at: Timestamp,
    pub request_id: String,
    pub idempotency: Option<Idempotency>,
}

/// The partition of the index that lists all executions.
const LISTING: &str = "executions";

/// Sorts executions by start, and those that started together by id: text order is time order.
fn started_key(started_at: Timestamp, id: &ExecutionId) -> String {
    format!("{}#{id}", time::rfc3339(started_at))
}

/// Writes down a run that ECS has accepted. Whatever an event has told already (the record may have been made from the task
/// by then) stays as it is.
pub async fn record(app: &App, new: &NewExecution) -> Result<ExecutionRecord> {
    let id = &new.execution_id;
    let mut expression = "SET created_by = :by, owned_by = :owners, command = :command, image_id = :image, \
        listing = :listing, log_stream_name = :stream, created_by_request_id = :request, cloud = :cloud, \
        modified_by_request_id = if_not_exists(modified_by_request_id, :request), \
        started_at = if_not_exists(started_at, :started), started_key = if_not_exists(started_key, :started_key), \
        #status = if_not_exists(#status, :starting), log_sequence = if_not_exists(log_sequence, :zero), \
        viewers = if_not_exists(viewers, :zero)"
        .to_owned();
    let mut update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.executions)
        .key("execution_id", string(id.as_str()))
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":by", string(new.created_by.as_str()))
        .expression_attribute_values(
            ":owners",
            aws_sdk_dynamodb::types::AttributeValue::L(vec![string(new.created_by.as_str())]),
        )
        .expression_attribute_values(":command", string(&new.command))
        .expression_attribute_values(":image", string(&new.image_id))
        .expression_attribute_values(":listing", string(LISTING))
        .expression_attribute_values(
            ":stream",
            string(crate::logs::stream_name(crate::image::task_definition::RUNNER, id)),
        )
        .expression_attribute_values(":request", string(&new.request_id))
        .expression_attribute_values(":cloud", string("AWS"))
        .expression_attribute_values(":started", string(time::rfc3339(new.started_at)))
        .expression_attribute_values(":started_key", string(started_key(new.started_at, id)))
        .expression_attribute_values(":starting", string(Status::Starting.as_str()))
        .expression_attribute_values(":zero", number(0))
        .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew);
    if let Some(Idempotency { key, request_hash }) = &new.idempotency {
        expression.push_str(", idempotency_key = :key, request_hash = :hash");
        update = update
            .expression_attribute_values(":key", string(key))
            .expression_attribute_values(":hash", string(request_hash));
    }
    let written = update.update_expression(expression).send().await?;
    table::from_item(written.attributes.unwrap_or_default())
}

/// The execution with this id, strongly consistent.
pub async fn find(app: &App, id: &ExecutionId) -> Result<Option<ExecutionRecord>> {
    table::get(&app.aws.dynamodb, &app.config.tables.executions, "execution_id", id.as_str()).await
}

/// The execution with this id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(app: &App, id: &ExecutionId) -> Result<ExecutionRecord> {
    find(app, id).await?.ok_or_else(|| Error::not_found("execution", id.as_str()))
}

/// What a status change writes besides the status.
#[derive(Clone, Debug, Default)]
pub struct Transition {
    pub exit_code: Option<i32>,
    pub completed_at: Option<Timestamp>,
    pub duration_seconds: Option<i64>,
    pub stopped_reason: Option<String>,
    pub request_id: Option<String>,
}

/// How a status change came out.
#[derive(Debug)]
pub enum Changed {
    /// It took place; the record as it is now.
    Yes(Box<ExecutionRecord>),
    /// The execution was past it already; the record as it was found.
    No(Box<ExecutionRecord>),
    /// There is no such execution (yet).
    Missing,
}

/// Moves an execution to a status, if it can still become that: one conditional write, so that events in any order, any
/// number of times, come out the same.
pub async fn change(app: &App, id: &ExecutionId, to: Status, with: Transition) -> Result<Changed> {
    let mut expression = "SET #status = :to".to_owned();
    let mut update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.executions)
        .key("execution_id", string(id.as_str()))
        .condition_expression(to.condition())
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":to", string(to.as_str()))
        .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew)
        .return_values_on_condition_check_failure(aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld);
    for from in Status::ALL.into_iter().filter(|from| from.can_become(to)) {
        update = update.expression_attribute_values(format!(":from_{}", from.as_str()), string(from.as_str()));
    }
    for (attribute, value) in [
        ("exit_code", with.exit_code.map(number)),
        ("completed_at", with.completed_at.map(|at| string(time::rfc3339(at)))),
        ("duration_seconds", with.duration_seconds.map(number)),
        ("stopped_reason", with.stopped_reason.map(string)),
        ("modified_by_request_id", with.request_id.map(string)),
    ] {
        if let Some(value) = value {
            expression.push_str(&format!(", {attribute} = :{attribute}"));
            update = update.expression_attribute_values(format!(":{attribute}"), value);
        }
    }
    match update.update_expression(expression).send().await {
        Ok(written) => Ok(Changed::Yes(table::from_item(written.attributes.unwrap_or_default())?)),
        Err(error) if error.condition_failed() => {
            use aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException;
            match error.into_service_error() {
                ConditionalCheckFailedException(refused) if refused.item().is_some_and(|item| !item.is_empty()) => {
                    Ok(Changed::No(table::from_item(refused.item.unwrap_or_default())?))
                }
                _ => Ok(Changed::Missing),
            }
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_an_end_state() {
        for from in Status::ALL.into_iter().filter(|status| status.is_terminal()) {
            for to in Status::ALL {
                assert!(!from.can_become(to), "{from} → {to}");
            }
        }
    }

    #[test]
    fn a_status_moves_only_along_the_contracts_arrows() {
        use Status::*;
        for to in Status::ALL {
            let from: Vec<Status> = Status::ALL.into_iter().filter(|from| from.can_become(to)).collect();
            let expected: &[Status] = match to {
                Starting => &[],
                Running => &[Starting],
                Terminating => &[Starting, Running],
                Succeeded | Failed | Stopped => &[Starting, Running, Terminating],
            };
            assert_eq!(from, expected, "→ {to}");
        }
    }
}
