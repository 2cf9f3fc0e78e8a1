//! Serves the console's page Outbox, which only the local system has: the mails and webhooks that would leave the machine. They may hold
//! the output of commands, so an admin's key is needed to see them.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode},
    middleware,
    response::Response,
    routing::{get, post},
};
use runvoy_core::App;
use serde_json::json;

use super::{admins::ForAdmins, guard};
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

async fn list(
    State(page): State<OutboxPage>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let reading = ForAdmins { action: "outbox:read", resource: "outbox", who: WHO };
    match reading.admit(&page.app, &headers, peer).await {
        Err(refused) => refused,
        Ok(_) => super::json(StatusCode::OK, &json!({"entries": page.aws.outbox.entries()})),
    }
}

async fn confirm(
    State(page): State<OutboxPage>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Response {
    let confirming = ForAdmins { action: "outbox:confirm", resource: "outbox", who: WHO };
    if let Err(refused) = confirming.admit_to_change(&page.app, &headers, peer).await {
        return refused;
    }
    match page.aws.sns.confirm(&token) {
        Ok(true) => super::json(StatusCode::OK, &json!({"message": "Address confirmed"})),
        Ok(false) => super::error(StatusCode::NOT_FOUND, "NOT_FOUND", "the notification of this mail is gone"),
        Err(error) => super::error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", &error.to_string()),
    }
}
