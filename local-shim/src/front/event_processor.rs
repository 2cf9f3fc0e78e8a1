//! Serves the event processor's port, which takes any event as a JSON body. Every user of this machine can reach it, so an event that
//! acts for a person is taken with an admin's key only.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    middleware,
    response::Response,
    routing::{get, post},
};
use runvoy_core::App;
use serde_json::{Value, json};

use super::{admins::ForAdmins, guard};
use crate::lambda::{Function, InvokeError, MAX_PAYLOAD, function::request_id};

/// The source of the events that act for a person: they create an admin, or start what a person has scheduled.
const ACTS_FOR_A_PERSON: &str = "runvoy";
/// The sentence for a caller without an admin's key.
const WHO: &str =
    "an event of the source runvoy acts for a person, so it needs the key of an admin in the header X-API-Key";

/// The most characters of an event's kind in the audit.
const MAX_KIND: usize = 64;

/// The state of the port.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) event_processor: Function,
    /// Finds whose key a caller has.
    pub(crate) app: Arc<App>,
}

/// `GET /health` and `POST /process`.
pub(crate) fn router(port: Port) -> Router {
    const PATHS: &str = "this port has GET /health and POST /process";
    let health = json!({"status": "ok", "component": "async-processor"});
    Router::new()
        .route("/health", get(async move || super::json(StatusCode::OK, &health)))
        .route("/process", post(process))
        .fallback(async || super::error(StatusCode::NOT_FOUND, "NOT_FOUND", PATHS))
        .method_not_allowed_fallback(async || super::error(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", PATHS))
        .layer(DefaultBodyLimit::max(MAX_PAYLOAD))
        .layer(middleware::from_fn(guard::same_site_only))
        .layer(middleware::from_fn(guard::loopback_only))
        .with_state(port)
}

async fn process(
    State(port): State<Port>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let details = format!("the event has more than the {MAX_PAYLOAD} bytes that Lambda takes");
            return super::error(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", &details);
        }
        Err(_) => return super::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "the body could not be read"),
    };
    let event: Value = match serde_json::from_slice(&body) {
        Ok(event) => event,
        Err(invalid) => {
            let details = format!("the body is not JSON: {invalid}");
            return super::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", &details);
        }
    };
    if event["source"] == ACTS_FOR_A_PERSON {
        let kind: String = event["detail-type"].as_str().unwrap_or_default().chars().take(MAX_KIND).collect();
        let sending = ForAdmins { action: "events:send", resource: &format!("event:{kind}"), who: WHO };
        if let Err(refused) = sending.admit_to_change(&port.app, &headers, peer).await {
            return refused;
        }
    }
    // The function gets the event as it was read here, and not the bytes of the body, so that it finds the source that was checked.
    match port.event_processor.invoke(&request_id(), event.to_string().into_bytes()).await {
        Ok(answer) => match serde_json::from_slice(&answer) {
            Ok(Value::Null) | Err(_) => super::json(StatusCode::OK, &json!({"status": "processed"})),
            Ok(answer) => super::json(StatusCode::OK, &answer),
        },
        Err(failed @ InvokeError::TimedOut(_)) => {
            super::error(StatusCode::GATEWAY_TIMEOUT, "EVENT_FAILED", &failed.to_string())
        }
        Err(failed) => super::error(StatusCode::INTERNAL_SERVER_ERROR, "EVENT_FAILED", &failed.to_string()),
    }
}
