use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use runvoy_core::{
    App, Error,
    auth::{Action, Resource},
    execution::{
        self, Execution, ExecutionId, ExecutionRecord, Status,
        list::{Cursor, Page},
        run,
    },
    logs::{
        LogEvent,
        read::{self, After},
    },
    time,
    websocket::{serve, token},
};
use serde::{Deserialize, Serialize};

use super::tags;
use crate::{
    answer::{self, Result, next_link},
    request::{Caller, Path, Query, RequestId},
};

const DEFAULT_LIMIT: usize = 10;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// How many at most; 10 by default, 0 for as many as one answer carries.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    limit: Option<String>,
    /// Only these, separated by commas.
    #[param(
        example = "RUNNING,FAILED",
        pattern = "^$|^(STARTING|RUNNING|TERMINATING|SUCCEEDED|FAILED|STOPPED)(,(STARTING|RUNNING|TERMINATING|SUCCEEDED|FAILED|STOPPED))*$"
    )]
    status: Option<String>,
    /// From the `Link` header of the page before.
    cursor: Option<String>,
}

/// Lists executions, newest first
///
/// When there is more, the header `Link: <…>; rel="next"` names the next page. A page costs the same however many
/// executions there are.
#[utoipa::path(get, path = "/executions", operation_id = "list_executions", tag = tags::EXECUTIONS, params(ListParameters),
    responses(
        (status = 200, body = Vec<Execution>, description = "A page of executions", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        answer::Malformed, answer::Refused, answer::Outage,
    ))]
pub async fn list(State(app): State<App>, caller: Caller, Query(query): Query<ListParameters>) -> Result<Response> {
    caller.may(Action::ListExecutions, Resource::Account)?;
    let page = Page {
        limit: match query.limit.as_deref() {
            None => DEFAULT_LIMIT,
            Some(limit) => limit
                .parse::<u32>()
                .map_err(|_| Error::invalid("invalid limit parameter"))?
                .try_into()
                .unwrap_or(usize::MAX),
        },
        statuses: match query.status.as_deref() {
            None | Some("") => Vec::new(),
            Some(list) => list.split(',').map(|status| status.trim().parse()).collect::<runvoy_core::Result<_>>()?,
        },
        cursor: query.cursor.as_deref().map(Cursor::parse).transpose()?,
    };
    let (executions, next) = execution::list::page(&app, &page).await?;
    Ok(match next {
        None => Json(executions).into_response(),
        Some(cursor) => {
            let mut target = format!("/api/v1/executions?limit={}&cursor={}", page.limit, cursor.encode());
            if !page.statuses.is_empty() {
                let statuses: Vec<&str> = page.statuses.iter().map(|status| status.as_str()).collect();
                target.push_str(&format!("&status={}", statuses.join(",")));
            }
            (next_link(&target), Json(executions)).into_response()
        }
    })
}

/// The execution that a path names, if the caller may do this to it.
async fn permitted(app: &App, caller: &Caller, id: &str, action: Action) -> Result<ExecutionRecord> {
    let record = execution::get(app, &id.parse()?).await?;
    caller.may(action, Resource::Execution { id, owners: &record.execution.owned_by })?;
    Ok(record)
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct ExecutionStatus {
    #[schema(value_type = String)]
    execution_id: ExecutionId,
    status: Status,
    command: String,
    image_id: String,
    #[serde(with = "time::as_rfc3339")]
    #[schema(value_type = String, format = "date-time")]
    started_at: Timestamp,
    exit_code: Option<i32>,
    #[serde(with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    completed_at: Option<Timestamp>,
}

/// Says how an execution is doing
#[utoipa::path(get, path = "/executions/{id}/status", operation_id = "execution_status", tag = tags::EXECUTIONS,
    params(("id" = String, Path, description = "Id of the execution")),
    responses((status = 200, body = ExecutionStatus, description = "As it is now"), answer::Malformed, answer::Refused, answer::Absent, answer::Outage))]
pub async fn status(State(app): State<App>, caller: Caller, Path(id): Path) -> Result<Json<ExecutionStatus>> {
    let execution = permitted(&app, &caller, &id, Action::ReadStatus).await?.execution;
    Ok(Json(ExecutionStatus {
        execution_id: execution.execution_id,
        status: execution.status,
        command: execution.command,
        image_id: execution.image_id,
        started_at: execution.started_at,
        exit_code: execution.exit_code,
        completed_at: execution.completed_at,
    }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogsParameters {
    /// From the `Link` header of the page before.
    after: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Logs {
    #[schema(value_type = String)]
    execution_id: ExecutionId,
    status: Status,
    /// `null` while the execution goes on.
    events: Option<Vec<LogEvent>>,
    /// Where to follow an execution that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    websocket_url: Option<String>,
}

/// Reads the log of an execution that has ended, or says where to follow one that goes on
///
/// A log that does not fit in one answer is paged: the header `Link: <…>; rel="next"` names the next page.
#[utoipa::path(get, path = "/executions/{id}/logs", operation_id = "execution_logs", tag = tags::EXECUTIONS,
    params(("id" = String, Path, description = "Id of the execution"), LogsParameters),
    responses(
        (status = 200, body = Logs, description = "The log, or where to follow it", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        answer::Malformed, answer::Refused, answer::Absent, answer::Outage,
    ))]
pub async fn logs(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path,
    Query(query): Query<LogsParameters>,
) -> Result<Response> {
    let record = permitted(&app, &caller, &id, Action::ReadLogs).await?;
    let status = record.execution.status;
    let execution_id = record.execution.execution_id.clone();
    if !status.is_terminal() {
        let websocket_url = Some(token::issue(&app, &execution_id).await?);
        return Ok(Json(Logs { execution_id, status, events: None, websocket_url }).into_response());
    }
    let after = query.after.as_deref().map(After::parse).transpose()?;
    let (events, next) = read::page(&app, &record, after.as_ref()).await?;
    let body = Json(Logs { execution_id, status, events: Some(events), websocket_url: None });
    Ok(match next {
        None => body.into_response(),
        Some(after) => {
            let after = percent_encode(&after.encode());
            (next_link(&format!("/api/v1/executions/{id}/logs?after={after}")), body).into_response()
        }
    })
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Killed {
    #[schema(value_type = String)]
    execution_id: ExecutionId,
    message: &'static str,
}

/// Stops an execution
///
/// The command gets SIGTERM, and SIGKILL when it does not end.
#[utoipa::path(delete, path = "/executions/{id}", operation_id = "kill_execution", tag = tags::EXECUTIONS,
    params(("id" = String, Path, description = "Id of the execution")),
    responses(
        (status = 200, body = Killed, description = "It is being stopped"),
        (status = 204, description = "It has ended, or is being stopped already"),
        answer::Malformed, answer::Refused, answer::Absent, answer::Outage,
    ))]
pub async fn kill(State(app): State<App>, caller: Caller, request_id: RequestId, Path(id): Path) -> Result<Response> {
    let record = permitted(&app, &caller, &id, Action::KillExecution).await?;
    let Some(record) = run::kill(&app, &record, &caller.principal, &request_id.0).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    serve::announce(&app, &record).await;
    tracing::info!(execution_id = id, by = %caller.principal.email, "execution termination initiated");
    let execution_id = record.execution.execution_id;
    Ok(Json(Killed { execution_id, message: "Execution termination initiated" }).into_response())
}

/// Escapes what a query value may not hold (RFC 3986).
fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
