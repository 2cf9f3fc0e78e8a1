//! The emulated AWS as an endpoint, for whatever signs its requests: the AWS CLI, other SDKs, functions that run elsewhere.

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request as HttpRequest, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::Response,
    routing::any,
};
use serde_json::json;

use super::guard;
use crate::{
    aws::{Aws, Request},
    lambda::function::request_id,
};

/// The largest request: DynamoDB's batches may have 16 MB ("BatchWriteItem").
const MAX_BODY: usize = 16 * 1024 * 1024;
/// What a container calls the machine that it runs on.
const HOST_OF_CONTAINERS: &str = "host.docker.internal";

pub fn router(aws: Aws) -> Router {
    guarded(Router::new().fallback(answer), aws)
}

/// Where API Gateway takes what is sent to viewers: at its own WebSocket endpoint.
pub fn connections(aws: Aws) -> Router {
    guarded(Router::new().route("/ws/@connections/{id}", any(answer)), aws)
}

fn guarded(router: Router<Aws>, aws: Aws) -> Router {
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(signed_only))
        .layer(middleware::from_fn(guard::same_site_only))
        .layer(middleware::from_fn(from_here_or_a_container))
        .with_state(aws)
}

async fn answer(
    State(aws): State<Aws>,
    method: axum::http::Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = aws
        .call(Request {
            method: method.as_str(),
            path: uri.path(),
            target: header("x-amz-target"),
            caller: None,
            invocation: header("amz-sdk-invocation-id"),
            body: &body,
        })
        .await;
    let mut response = Response::new(answer.body.into());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Ok(id) = HeaderValue::from_str(&request_id()) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

async fn from_here_or_a_container(request: HttpRequest, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if host.split(':').next() == Some(HOST_OF_CONTAINERS) {
        next.run(request).await
    } else {
        guard::loopback_only(request, next).await
    }
}

/// Refuses what is not signed, as AWS does. Any key will do: nothing here is worth more than the machine's own files.
async fn signed_only(request: HttpRequest, next: Next) -> Response {
    let signature = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if signature.is_some_and(|signature| signature.starts_with("AWS4-HMAC-SHA256 ")) {
        return next.run(request).await;
    }
    let message = "Missing Authentication Token: sign the request, with any access key";
    super::json(StatusCode::FORBIDDEN, &json!({"__type": "MissingAuthenticationTokenException", "message": message}))
}
