//! Reconciles the system, and traces a request.

use axum::{Json, extract::State};
use runvoy_api_types::{Reconciled, Trace};
use runvoy_core::{
    App, RequestId,
    audit::{self, Entry},
    auth::{Action, Resource},
    reconcile, trace,
};

use super::tags;
use crate::{
    error::{self, Result},
    extract::{Caller, JsonBody, NoFields, Path},
};

/// Compares the tables with what exists in AWS, and mends what can be mended without loss
///
/// A schedule does the same every hour.
#[utoipa::path(post, path = "/health/reconcile", operation_id = "reconcile", tag = tags::OPERATIONS,
    responses((status = 200, body = Reconciled, description = "What was checked, found and mended"),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn reconcile(
    State(app): State<App>,
    caller: Caller,
    _: JsonBody<NoFields>,
) -> Result<Json<Reconciled>> {
    caller.may(Action::Reconcile, Resource::Account)?;
    audit::write(&app, &Entry::done(&app, &caller.actor, Action::Reconcile, Resource::Account.name())).await?;
    Ok(Json(Reconciled { status: "ok".to_owned(), report: reconcile::run(&app, &caller.actor).await? }))
}

/// Shows what one request did: the functions' log lines with its id, and what it created or changed
#[utoipa::path(get, path = "/trace/{request_id}", operation_id = "trace", tag = tags::OPERATIONS,
    params(("request_id" = String, Path, description = "From the X-Request-Id of an answer")),
    responses((status = 200, body = Trace, description = "What is known of the request; empty for an unknown one"),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn trace(State(app): State<App>, caller: Caller, Path(request_id): Path) -> Result<Json<Trace>> {
    caller.may(Action::Trace, Resource::Account)?;
    Ok(Json(trace::request(&app, &RequestId::parse(&request_id)?).await?))
}
