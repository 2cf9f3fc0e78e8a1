//! Approves and denies executions that wait.

use axum::{Json, extract::State};
use runvoy_api_types::{Decide, Decided};
use runvoy_core::{
    App, approval,
    auth::Action,
    execution::{self, ExecutionRecord, Status},
};

use super::{
    executions::{find, permitted_to},
    tags,
};
use crate::{
    error::{self, Result},
    extract::{Caller, JsonBody, Path, Presented},
};

/// The execution that a path names, and the caller, if the caller may decide about it.
async fn decidable(app: &App, presented: Presented, id: &str, action: Action) -> Result<(Caller, ExecutionRecord)> {
    let (caller, found) = presented.and(app, find(app, id)).await?;
    // Who may see the execution is told that there is nothing to decide.
    if let Ok(record) = &found
        && record.execution.approval.is_none()
        && caller.would_be_allowed(Action::ReadExecution, execution::resource(&record.execution))
    {
        return Err(approval::needs_none().into());
    }
    permitted_to(app, caller, id, found, action).await
}

/// Approves an execution that waits
///
/// For those whom the playbook names, and for admins; never for the one who asked for it. When as many have approved as must, it starts, with
/// the version and the values that it shows.
#[utoipa::path(post, path = "/executions/{id}/approve", operation_id = "approve_execution", tag = tags::EXECUTIONS, request_body = Option<Decide>,
    params(("id" = String, Path, description = "Id of the execution")),
    responses((status = 200, body = Decided, description = "The approval is written down"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn approve(
    State(app): State<App>,
    presented: Presented,
    Path(id): Path,
    JsonBody(body): JsonBody<Decide>,
) -> Result<Json<Decided>> {
    let (caller, record) = decidable(&app, presented, &id, Action::ApproveExecution).await?;
    let record = approval::approve(&app, record, &caller.principal.email, body.comment, &caller.actor).await?;
    let message = after_approval(&record);
    Ok(Json(decided(record, message)))
}

/// Denies an execution that waits: it is STOPPED
///
/// For those who may approve it.
#[utoipa::path(post, path = "/executions/{id}/deny", operation_id = "deny_execution", tag = tags::EXECUTIONS, request_body = Option<Decide>,
    params(("id" = String, Path, description = "Id of the execution")),
    responses((status = 200, body = Decided, description = "It is stopped"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn deny(
    State(app): State<App>,
    presented: Presented,
    Path(id): Path,
    JsonBody(body): JsonBody<Decide>,
) -> Result<Json<Decided>> {
    let (caller, record) = decidable(&app, presented, &id, Action::DenyExecution).await?;
    let record = approval::deny(&app, record, &caller.principal.email, body.comment, &caller.actor).await?;
    Ok(Json(decided(record, "Denied: it does not run".to_owned())))
}

/// Says what becomes of an execution that was just approved.
fn after_approval(record: &ExecutionRecord) -> String {
    let execution = &record.execution;
    let missing = execution.approval.as_ref().map_or(0, |one| (one.count as usize).saturating_sub(one.given.len()));
    let ended = execution.status.is_terminal() && record.task().is_none();
    match missing {
        0 if ended => match &execution.reason {
            Some(reason) => format!("Approved, but it did not start: {reason}"),
            None => "Approved, but it did not start".to_owned(),
        },
        0 if execution.status == Status::Queued => "Approved: it waits in line".to_owned(),
        0 => "Approved: it starts".to_owned(),
        1 => "Approved: it waits for one more".to_owned(),
        missing => format!("Approved: it waits for {missing} more"),
    }
}

fn decided(record: ExecutionRecord, message: String) -> Decided {
    Decided { execution_id: record.execution.execution_id, status: record.execution.status, message }
}
