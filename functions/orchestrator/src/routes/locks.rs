//! Shows, changes and deletes locks.

use axum::{Json, extract::State, response::IntoResponse};
use runvoy_api_types::{DeletedLock, LockInFull, Locks, SetLock};
use runvoy_core::{
    App,
    auth::{Action, Resource},
    execution, lock,
};

use super::{page::PageParameters, tags};
use crate::{
    error::{self, Result},
    extract::{Caller, JsonBody, Path, Query},
};

/// Lists the locks
#[utoipa::path(get, path = "/locks", operation_id = "list_locks", tag = tags::LOCKS, params(PageParameters),
    responses((status = 200, body = Locks, description = "Locks, by name", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    caller.may(Action::ListLocks, Resource::Account)?;
    let page = lock::page(&app, &query.request()?).await?;
    Ok((query.link("/locks", page.next.as_ref()), Json(Locks { locks: page.items })))
}

/// Shows a lock, who holds it, and who waits for it
///
/// To remove an execution from the line, stop it: `DELETE /executions/{id}`.
#[utoipa::path(get, path = "/locks/{name}", operation_id = "show_lock", tag = tags::LOCKS,
    params(("name" = String, Path, description = "Name of the lock")),
    responses((status = 200, body = LockInFull, description = "The lock"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn show(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<LockInFull>> {
    caller.may(Action::ReadLock, Resource::Account)?;
    Ok(Json(lock::show(&app, &name).await?))
}

/// Sets the slots of a lock, the limit of its line, or pauses it
///
/// A lock that is paused is given to no execution. Those that hold it keep it until they end.
#[utoipa::path(put, path = "/locks/{name}", operation_id = "set_lock", tag = tags::LOCKS, request_body = SetLock,
    params(("name" = String, Path, description = "Name of the lock")),
    responses((status = 200, body = LockInFull, description = "The lock after the change"), error::Malformed, error::TooLarge, error::Refused, error::Unavailable))]
pub(super) async fn set(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetLock>,
) -> Result<Json<LockInFull>> {
    caller.may(Action::SetLock, Resource::Account)?;
    lock::set(&app, &name, &body, &caller.actor).await?;
    execution::give_free_slots(&app, &name).await?;
    Ok(Json(lock::show(&app, &name).await?))
}

/// Deletes a lock that no execution holds or waits for
///
/// The next run that names it makes it anew: with the slots that the run says, no limit of its line, and no pause.
#[utoipa::path(delete, path = "/locks/{name}", operation_id = "delete_lock", tag = tags::LOCKS,
    params(("name" = String, Path, description = "Name of the lock")),
    responses((status = 200, body = DeletedLock, description = "It is gone"), error::Malformed, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn delete(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<DeletedLock>> {
    caller.may(Action::DeleteLock, Resource::Account)?;
    lock::delete(&app, &name, &caller.actor).await?;
    Ok(Json(DeletedLock { name, message: "Lock deleted successfully".to_owned() }))
}
