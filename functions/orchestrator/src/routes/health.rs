//! Answers that the API is up.

use axum::{Json, extract::State};
use runvoy_api_types::Health;
use runvoy_core::App;

use super::tags;

pub(super) const PATH: &str = "/health";

/// Says that the API answers
///
/// Makes no AWS call.
#[utoipa::path(get, path = PATH, operation_id = "health", tag = tags::OPERATIONS, security(()),
    responses((status = 200, body = Health, description = "It answers")))]
pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        provider: "AWS".to_owned(),
        region: app.config.region.clone(),
    })
}
