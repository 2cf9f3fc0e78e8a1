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
        self, ExecutionId, ExecutionRecord, Status,
        list::{Cursor, Page},
        run,
    },
    logs::{
        LogEvent,
        read::{self, After},
    },
    time,
    websocket::token,
};
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Result, next_link},
    request::{Caller, Path, Query, RequestId},
};

const DEFAULT_LIMIT: usize = 10;

#[derive(Deserialize)]
pub struct ListParameters {
    limit: Option<String>,
    status: Option<String>,
    cursor: Option<String>,
}

pub async fn list(State(app): State<App>, caller: Caller, Query(query): Query<ListParameters>) -> Result<Response> {
    caller.may(Action::ListExecutions, Resource::Account)?;
    let page = Page {
        limit: match query.limit.as_deref() {
            None => DEFAULT_LIMIT,
            Some(limit) => limit.parse().map_err(|_| Error::invalid("invalid limit parameter"))?,
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

#[derive(Deserialize)]
pub struct LogsParameters {
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

pub async fn kill(State(app): State<App>, caller: Caller, request_id: RequestId, Path(id): Path) -> Result<Response> {
    let record = permitted(&app, &caller, &id, Action::KillExecution).await?;
    if !run::kill(&app, &record, &caller.principal, &request_id.0).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
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
