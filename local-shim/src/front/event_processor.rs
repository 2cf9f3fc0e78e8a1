//! The event processor's port: any event as a JSON body.

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
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

pub fn router(event_processor: Function) -> Router {
    Router::new()
        .route("/health", get(|| async { super::json(StatusCode::OK, &json!({"status": "ok", "component": "async-processor"})) }))
        .route("/process", post(process))
        .fallback(|| async {
            super::json(StatusCode::NOT_FOUND, &json!({"error": "Not Found", "code": "NOT_FOUND", "details": "here are GET /health and POST /process"}))
        })
        .method_not_allowed_fallback(|| async {
            super::json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "Method Not Allowed", "code": "METHOD_NOT_ALLOWED", "details": "here are GET /health and POST /process"}))
        })
        .layer(DefaultBodyLimit::max(MAX_PAYLOAD))
        .layer(middleware::from_fn(guard::same_site_only))
        .layer(middleware::from_fn(guard::loopback_only))
        .with_state(event_processor)
}

async fn process(
    State(function): State<Function>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let error = |status: StatusCode, code: &str, details: &str| {
        let short = status.canonical_reason().unwrap_or("Error");
        super::json(status, &json!({"error": short, "code": code, "details": details}))
    };
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let details = format!("the event is larger than the {MAX_PAYLOAD} bytes that Lambda takes");
            return error(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", &details);
        }
        Err(_) => return error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "the body could not be read"),
    };
    if let Err(invalid) = serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
        return error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", &format!("the body is not JSON: {invalid}"));
    }
    match function.invoke(&request_id(), body.to_vec()).await {
        Ok(answer) => match serde_json::from_slice(&answer) {
            Ok(Value::Null) | Err(_) => super::json(StatusCode::OK, &json!({"status": "processed"})),
            Ok(answer) => super::json(StatusCode::OK, &answer),
        },
        Err(failed @ InvokeError::TimedOut(_)) => {
            error(StatusCode::GATEWAY_TIMEOUT, "EVENT_FAILED", &failed.to_string())
        }
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, "EVENT_FAILED", &failed.to_string()),
    }
}
