//! Answers that the API is up.

use axum::{Json, extract::State};
use runvoy_api_types::Health;
use runvoy_core::App;

use super::tags;
use crate::error;

/// Says that the API answers
///
/// Makes no AWS call.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = tags::OPERATIONS, security(()),
    responses((status = 200, body = Health, description = "It answers"), error::Malformed))]
pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        provider: "AWS".to_owned(),
        region: app.config.region.clone(),
    })
}
