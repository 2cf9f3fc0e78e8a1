//! Shows what would leave the machine, for the console's page Outbox, which only the local system serves: mails, and webhooks. They have what
//! commands printed, so that an admin's key is needed to see them.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    middleware,
    response::Response,
    routing::{get, post},
};
use runvoy_core::App;
use serde_json::json;

use super::{event_processor::refuse_all_but_admins, guard};
use crate::aws::Aws;

/// The sentence for a caller who is no admin.
const WHO: &str = "the outbox is for admins: send the key of one in the header X-API-Key";

/// The state of the routes.
#[derive(Clone)]
pub(crate) struct OutboxPage {
    pub(crate) aws: Aws,
    /// Finds whose key a caller has.
    pub(crate) app: Arc<App>,
}

/// `GET /outbox.json`, and the button of a mail that asks its recipient to confirm the address.
pub(crate) fn router(page: OutboxPage) -> Router {
    Router::new()
        .route("/outbox.json", get(list))
        .route("/outbox/confirm/{token}", post(confirm))
        .layer(middleware::from_fn(guard::same_site_only))
        .layer(middleware::from_fn(guard::loopback_only))
        .with_state(page)
}

async fn list(State(page): State<OutboxPage>, headers: HeaderMap) -> Response {
    match refuse_all_but_admins(&page.app, &headers, WHO).await {
        Some(refused) => refused,
        None => super::json(StatusCode::OK, &json!({"entries": page.aws.outbox.entries()})),
    }
}

async fn confirm(State(page): State<OutboxPage>, headers: HeaderMap, Path(token): Path<String>) -> Response {
    if let Some(refused) = refuse_all_but_admins(&page.app, &headers, WHO).await {
        return refused;
    }
    match page.aws.sns.confirm(&token) {
        Ok(true) => super::json(StatusCode::OK, &json!({"message": "Address confirmed"})),
        Ok(false) => super::error(StatusCode::NOT_FOUND, "NOT_FOUND", "the notification of this mail is gone"),
        Err(error) => super::error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", &error.to_string()),
    }
}
