use axum::{Json, extract::State};
use runvoy_core::{
    App,
    auth::{Action, Resource},
    reconcile::{self, Report},
    trace::{self, Trace},
};
use serde::Serialize;

use super::tags;
use crate::{
    answer::{self, Result},
    request::{Caller, Path, RequestId},
};

#[derive(Serialize, utoipa::ToSchema)]
pub struct Reconciled {
    status: &'static str,
    report: Report,
}

/// Holds what is written down against what there is in AWS, and mends what can be mended without loss
///
/// Happens every hour by itself, too.
#[utoipa::path(post, path = "/health/reconcile", operation_id = "reconcile", tag = tags::OPERATIONS,
    responses((status = 200, body = Reconciled, description = "What was looked at, found and done"),
        answer::Malformed, answer::Refused, answer::Outage))]
pub async fn reconcile(State(app): State<App>, caller: Caller, id: RequestId) -> Result<Json<Reconciled>> {
    caller.may(Action::Reconcile, Resource::Account)?;
    Ok(Json(Reconciled { status: "ok", report: reconcile::run(&app, &id.0).await? }))
}

/// Shows what one request did: the functions' log lines with its id, and what it created or changed
#[utoipa::path(get, path = "/trace/{request_id}", operation_id = "trace", tag = tags::OPERATIONS,
    params(("request_id" = String, Path, description = "From the X-Request-Id of an answer")),
    responses((status = 200, body = Trace, description = "What is known of the request; empty for an unknown one"),
        answer::Malformed, answer::Refused, answer::Outage))]
pub async fn trace(State(app): State<App>, caller: Caller, Path(request_id): Path) -> Result<Json<Trace>> {
    caller.may(Action::Trace, Resource::Account)?;
    Ok(Json(trace::request(&app, &request_id).await?))
}
