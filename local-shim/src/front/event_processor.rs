//! The event processor's port, which takes any event as a JSON body.

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::StatusCode,
    middleware,
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};

use super::guard;
use crate::lambda::{
    Function, InvokeError,
    function::{MAX_PAYLOAD, request_id},
};

/// `GET /health` and `POST /process`.
pub(crate) fn router(event_processor: Function) -> Router {
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
        .with_state(event_processor)
}

async fn process(State(function): State<Function>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let details = format!("the event has more than the {MAX_PAYLOAD} bytes that Lambda takes");
            return super::error(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", &details);
        }
        Err(_) => return super::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "the body could not be read"),
    };
    if let Err(invalid) = serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
        let details = format!("the body is not JSON: {invalid}");
        return super::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", &details);
    }
    match function.invoke(&request_id(), body.to_vec()).await {
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
