//! Answers that the API is up.

use axum::{Json, extract::State};
use runvoy_core::App;
use serde::Serialize;

use super::tags;

/// The version that answers, and its region.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    status: &'static str,
    version: &'static str,
    provider: &'static str,
    region: String,
}

/// Says that the API answers
///
/// Makes no AWS call.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = tags::OPERATIONS, security(()),
    responses((status = 200, body = Health, description = "It answers")))]
pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        provider: "AWS",
        region: app.config.region.clone(),
    })
}
