//! The front doors: HTTP and WebSockets in, Lambda events out.

pub mod aws;
pub mod event_processor;
pub mod guard;
pub mod orchestrator;
pub mod websocket;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

/// A JSON answer of the shim's own.
fn json(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
