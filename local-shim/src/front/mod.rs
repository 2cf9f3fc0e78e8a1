//! Turns HTTP requests and WebSockets into Lambda events, and the functions' answers into responses.

mod admins;
pub(crate) mod aws;
mod aws_response;
pub(crate) mod cloudformation;
pub(crate) mod event_processor;
mod guard;
pub(crate) mod orchestrator;
pub(crate) mod outbox;
pub(crate) mod websocket;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// An error of this system, in the shape that the API's errors have.
fn error(status: StatusCode, code: &str, details: &str) -> Response {
    let phrase = status.canonical_reason().unwrap_or("Error");
    json(status, &json!({"error": phrase, "code": code, "details": details}))
}

/// A JSON answer of this system. It may hold the output of commands, so no cache keeps it and no browser takes it for a document.
fn json(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body.to_string()).into_response()
}
