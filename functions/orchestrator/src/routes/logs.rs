//! Shows the logs of executions.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runvoy_api_types::Logs;
use runvoy_core::{
    App,
    auth::Action,
    execution::{ExecutionId, Status},
    logs::read::{self, FirstLook, LogCursor, LogPage, PageLimit},
    websocket::token,
};
use serde::Deserialize;

use super::{executions::permitted, page, tags};
use crate::{
    compression::Encoding,
    error::{self, Result},
    extract::{Path, Presented, Query, own_address},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogsParameters {
    /// From the `Link` header of the previous page. `e:` and the `event_id` of a line: the lines after that one, of an execution that has
    /// not ended too.
    after: Option<String>,
}

/// Reads the log of an execution that has ended, or says where to follow one that has not
///
/// While an execution is being stopped, the answer has both. A log that does not fit into one answer comes in pages: the header
/// `Link: <…>; rel="next"` names the next one, and the last event says how many lines are missing. A page has about 5 MB of lines, and
/// about 40 MB for a caller that accepts gzip or zstd.
#[utoipa::path(get, path = "/executions/{id}/logs", operation_id = "execution_logs", tag = tags::EXECUTIONS,
    params(("id" = String, Path, description = "Id of the execution"), LogsParameters),
    responses(
        (status = 200, body = Logs, description = "The log, or where to follow it", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::NotFound, error::Unavailable,
    ))]
pub(super) async fn logs(
    State(app): State<App>,
    presented: Presented,
    uri: Uri,
    headers: HeaderMap,
    Path(id): Path,
    Query(query): Query<LogsParameters>,
) -> Result<Response> {
    let after = query.after.as_deref().filter(|after| !after.is_empty()).map(LogCursor::parse).transpose();
    // The log is read while the key and the execution are. A caller who may not read it gets its answer without waiting for that.
    let look = async {
        let after = after.as_ref().ok().and_then(Option::as_ref);
        Ok(match id.parse::<ExecutionId>() {
            Ok(id) => FirstLook::take(&app, &id, after).await,
            Err(problem) => Err(problem.into()),
        })
    };
    let ((caller, record), look) = tokio::try_join!(permitted(&app, presented, &id, Action::ReadLogs), look)?;
    let status = record.execution.status;
    let execution_id = record.execution.execution_id.clone();
    if !status.is_terminal() {
        let websocket_url = Some(token::issue(&app, &execution_id, &own_address(&uri), &caller.principal).await?);
        let events = match (status, after?) {
            (_, Some(LogCursor::Event(last))) => Some(read::stored_after(&app, &record, look?, &last).await?),
            (Status::Terminating, _) => Some(read::so_far(&app, &record).await?),
            _ => None,
        };
        return Ok(Json(Logs { execution_id, status, events, complete: None, websocket_url }).into_response());
    }
    let after = after?;
    let limit = match Encoding::accepted(&headers) {
        Encoding::Identity => PageLimit::Plain,
        _ => PageLimit::Compressed,
    };
    let LogPage { events, next, is_whole } = read::page(&app, &record, look?, after.as_ref(), limit).await?;
    let body = Json(Logs { execution_id, status, events: Some(events), complete: Some(is_whole), websocket_url: None });
    Ok(match next {
        None => body.into_response(),
        Some(after) => {
            let after = after.encode();
            let after = utf8_percent_encode(&after, NON_ALPHANUMERIC);
            (page::next(&format!("/executions/{id}/logs?after={after}")), body).into_response()
        }
    })
}
