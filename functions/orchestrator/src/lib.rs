//! Serves the HTTP API: an axum router, with a file for each resource, behind a Lambda Function URL. The web console is served beside it.

mod body;
mod compression;
mod console;
mod cors;
mod error;
mod extract;
mod function_url;
mod middleware;
mod parameters;
mod routes;

use std::convert::Infallible;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::from_fn,
    response::IntoResponse,
};
use lambda_http::{Body, Request, Response};
use lambda_runtime::{Diagnostic, LambdaEvent};
use runvoy_api_types::limits::MAX_BODY_BYTES;
use runvoy_core::{App, redaction::redacted};
use serde_json::Value;
use tower::ServiceExt;

use error::ApiError;

/// The API, built once at start. Cheap to clone.
#[derive(Clone)]
pub struct Api(Router);

/// Builds the API.
pub fn service(app: App) -> Api {
    Api(router(app))
}

/// Answers one event of a Lambda Function URL.
///
/// # Errors
/// An event that no Function URL sends. Every request is answered, a malformed one with a status of 400 or more.
pub async fn handle(api: &Api, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    if tracing::enabled!(tracing::Level::TRACE) {
        tracing::trace!(request_id = event.context.request_id, event = %redacted(&event.payload), "received");
    }
    let api = api.clone();
    function_url::handle(tower::service_fn(move |request| answer(api.clone(), request)), event).await
}

async fn answer(api: Api, request: Request) -> Result<Response<Body>, Infallible> {
    let encoding = compression::Encoding::accepted(request.headers());
    let methods = routes::methods_of_image(request.uri().path());
    let (mut parts, body) = api.0.oneshot(request.map(incoming)).await?.into_parts();
    let says_methods = parts.headers.contains_key(header::ALLOW) || parts.status == StatusCode::METHOD_NOT_ALLOWED;
    if let Some(methods) = methods.filter(|_| says_methods) {
        parts.headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    // Every body is made in memory, so collecting it cannot fail.
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let body = match compression::compress(encoding, &mut parts.headers, &bytes) {
        Some(compressed) => Body::Binary(compressed),
        None if bytes.is_empty() => Body::Empty,
        None => match String::from_utf8(bytes.into()) {
            Ok(text) => Body::Text(text),
            Err(binary) => Body::Binary(binary.into_bytes()),
        },
    };
    Ok(Response::from_parts(parts, body))
}

fn incoming(body: Body) -> axum::body::Body {
    match body {
        Body::Text(text) => axum::body::Body::from(text),
        Body::Binary(bytes) => axum::body::Body::from(bytes),
        _ => axum::body::Body::empty(),
    }
}

/// The API's description: an OpenAPI 3.1 document.
pub fn openapi() -> String {
    routes::openapi().to_pretty_json().unwrap_or_default()
}

fn router(app: App) -> Router {
    let cors = cors::layer(&app);
    let context = app.clone();
    routes::all()
        .fallback(no_such_path)
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(cors)
        .layer(from_fn(move |request, next| middleware::in_context(context.clone(), request, next)))
        .with_state(app)
}

/// A browser that looks for a page gets one that says that there is none; programs get JSON.
async fn no_such_path(State(app): State<App>, method: Method, uri: Uri) -> Response<axum::body::Body> {
    let is_page = method.is_safe() && uri.path() != "/api" && !uri.path().starts_with("/api/");
    if is_page { console::not_found(&app) } else { ApiError::NoSuchPath(uri.path().to_owned()).into_response() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_description_is_the_programs() {
        assert!(
            super::routes::DOCUMENT.trim_end() == super::openapi(),
            "docs/openapi.json differs; write it again with `just openapi`"
        );
    }
}
