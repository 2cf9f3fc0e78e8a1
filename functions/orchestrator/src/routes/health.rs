use axum::{Json, extract::State};
use runvoy_core::App;
use serde::Serialize;

#[derive(Serialize, utoipa::ToSchema)]
pub struct Health {
    status: &'static str,
    version: &'static str,
    provider: &'static str,
    region: String,
}

pub async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        provider: "AWS",
        region: app.config.region.clone(),
    })
}
