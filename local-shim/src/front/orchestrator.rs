//! Serves the orchestrator's port: turns an HTTP request into the event of a Function URL, and the function's answer into a response.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, FromRef, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware,
    response::Response,
    routing::{any, get},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{guard, websocket};
use crate::{
    data_dir,
    lambda::{Function, InvokeError, MAX_PAYLOAD, function::request_id},
};

/// The state of the port.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) orchestrator: Function,
    pub(crate) websocket: Arc<websocket::Gateway>,
    /// The folder of the state, if it is on a disk.
    pub(crate) data_dir: Option<PathBuf>,
}

impl FromRef<Port> for Arc<websocket::Gateway> {
    fn from_ref(port: &Port) -> Self {
        port.websocket.clone()
    }
}

/// The API, and the WebSocket endpoint at `/ws`.
pub(crate) fn router(port: Port) -> Router {
    Router::new()
        .route("/ws", any(websocket::upgrade))
        .route("/outbox", get(outbox_page))
        .fallback(invoke)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(guard::loopback_only))
        .with_state(port)
}

/// The console's document, which shows the outbox at this path. The function itself has no such page.
async fn outbox_page(state: State<Port>, peer: ConnectInfo<SocketAddr>, mut request: Request) -> Response {
    *request.uri_mut() = Uri::from_static("/");
    invoke(state, peer, request).await
}

async fn invoke(State(port): State<Port>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    let id = request_id();
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_PAYLOAD).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let details = format!("the body has more than the {MAX_PAYLOAD} bytes that Lambda takes");
            return error_with_id(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", &details, &id);
        }
        Err(_) => {
            let details = "the body ends early, or its chunks are malformed";
            return error_with_id(StatusCode::BAD_REQUEST, "INVALID_REQUEST", details, &id);
        }
    };
    let event = event(&parts, &body, peer, &id);
    match port.orchestrator.invoke(&id, event.to_string().into_bytes()).await {
        Ok(answer) => {
            let made = response(&answer, &parts.method, &id);
            let has_failed = made.status() == StatusCode::SERVICE_UNAVAILABLE;
            let full = port.data_dir.filter(|folder| has_failed && !data_dir::has_room(folder));
            let named = full.and_then(|folder| name_full_disk(&answer, &folder.display()));
            named.map_or(made, |answer| response(&answer, &parts.method, &id))
        }
        Err(failed) => {
            tracing::error!(request_id = id, error = %failed, "the orchestrator gave no answer");
            let (status, code) = match failed {
                InvokeError::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, "INTERNAL_ERROR"),
                InvokeError::RequestTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
                _ => (StatusCode::BAD_GATEWAY, "INTERNAL_ERROR"),
            };
            error_with_id(status, code, &failed.to_string(), &id)
        }
    }
}

/// The event of a Function URL ("Request payload format", Lambda function URLs): API Gateway's version 2.0.
fn event(parts: &axum::http::request::Parts, body: &Bytes, peer: SocketAddr, request_id: &str) -> Value {
    let mut headers: Map<String, Value> = Map::new();
    for name in parts.headers.keys() {
        let values: Vec<_> =
            parts.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        headers.insert(name.as_str().to_owned(), Value::from(values.join(",")));
    }
    let forwarded = match headers.get("x-forwarded-for").and_then(Value::as_str) {
        Some(before) => format!("{before}, {}", peer.ip()),
        None => peer.ip().to_string(),
    };
    headers.insert("x-forwarded-for".to_owned(), Value::from(forwarded));
    // A Function URL sets this header, whatever the client sent.
    headers.insert("x-forwarded-proto".to_owned(), Value::from("http"));
    let cookies: Vec<_> = parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookie| cookie.to_str().ok())
        .flat_map(|cookies| cookies.split("; "))
        .collect();
    let (body, encoded) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (STANDARD.encode(body), true),
    };
    let host = headers.get("host").and_then(Value::as_str).unwrap_or("localhost").to_owned();
    let user_agent = headers.get("user-agent").cloned().unwrap_or_default();
    let now = jiff::Timestamp::now();
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "cookies": cookies,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": "local",
            "http": {
                "method": parts.method.as_str(),
                "path": parts.uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": peer.ip().to_string(),
                "userAgent": user_agent,
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S %z").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "body": body,
        "isBase64Encoded": encoded,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionUrlResponse {
    status_code: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Adds to the answer of a function for which an AWS service failed that the disk of this machine is full, which a function cannot know.
fn name_full_disk(answer: &[u8], folder: &dyn std::fmt::Display) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(answer).ok()?;
    let mut body: Value = serde_json::from_str(answer["body"].as_str()?).ok()?;
    let hint = format!("the disk is full: make room for {folder}");
    body["details"] = format!("{}; {hint}", body["error"].as_str()?).into();
    body["hint"] = hint.into();
    answer["body"] = body.to_string().into();
    serde_json::to_vec(&answer).ok()
}

/// The function's answer as HTTP ("Response payload format", Lambda function URLs).
fn response(answer: &[u8], method: &Method, request_id: &str) -> Response {
    read_answer(answer, method).unwrap_or_else(|| {
        let details = "the function's answer is not an HTTP response";
        error_with_id(StatusCode::BAD_GATEWAY, "INTERNAL_ERROR", details, request_id)
    })
}

fn read_answer(answer: &[u8], method: &Method) -> Option<Response> {
    let answer: FunctionUrlResponse = serde_json::from_slice(answer).ok()?;
    let body = match answer.body {
        Some(body) if answer.is_base64_encoded => Body::from(STANDARD.decode(body).ok()?),
        Some(body) => Body::from(body),
        None => Body::empty(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status_code).ok()?;
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        // The server sets the length of a body. For HEAD there is none, and the function tells the length that GET's would have.
        if name != header::CONTENT_LENGTH || method == Method::HEAD {
            response.headers_mut().insert(name, HeaderValue::from_str(value.as_str()?).ok()?);
        }
    }
    for cookie in &answer.cookies {
        response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_str(cookie).ok()?);
    }
    Some(response)
}

fn error_with_id(status: StatusCode, code: &str, details: &str, request_id: &str) -> Response {
    let mut response = super::error(status, code, details);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
