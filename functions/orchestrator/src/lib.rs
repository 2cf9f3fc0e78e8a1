//! The HTTP API: an axum router, a file a resource, behind a Lambda Function URL.

mod answer;
mod request;
mod routes;

use std::convert::Infallible;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware,
};
use lambda_http::{Body, Request, Response};
use runvoy_core::{App, Error};
use tower::ServiceExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use answer::ApiError;

/// The largest body that is read. Nothing that the API takes comes near it.
pub const MAX_BODY: usize = 1024 * 1024;

/// The API as Lambda's HTTP adapter calls it.
pub fn service(
    app: App,
) -> impl tower::Service<Request, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync {
    let router = router(app);
    tower::service_fn(move |request: Request| {
        let router = router.clone();
        async move {
            let (parts, body) = router.oneshot(request.map(incoming)).await?.into_parts();
            // The bodies are made in memory here, so that collecting them cannot fail.
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let body = match String::from_utf8(bytes.into()) {
                Ok(text) if text.is_empty() => Body::Empty,
                Ok(text) => Body::Text(text),
                Err(binary) => Body::Binary(binary.into_bytes()),
            };
            Ok(Response::from_parts(parts, body))
        }
    })
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

/// The API as a tower service, for whatever calls it.
pub fn router(app: App) -> Router {
    let cors = cors(&app.config);
    let context = app.clone();
    routes::all()
        .fallback(|uri: Uri| async move { ApiError(Error::NoSuchPath(uri.path().to_owned())) })
        .method_not_allowed_fallback(|| async { answer::method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(cors)
        .layer(middleware::from_fn(move |request, next| request::in_context(context.clone(), request, next)))
        .with_state(app)
}

fn cors(config: &runvoy_core::config::Config) -> CorsLayer {
    let allowed = match config.cors_allowed_origins.as_slice() {
        [] => AllowOrigin::list(origin_of(&config.web_url)),
        [any] if any == "*" => AllowOrigin::any(),
        listed => AllowOrigin::list(listed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS])
        .allow_headers([
            header::CONTENT_TYPE,
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([header::LINK, HeaderName::from_static("x-request-id")])
        .max_age(std::time::Duration::from_secs(3600))
}

/// Scheme, host and port of a URL: what a browser sends as `Origin`.
fn origin_of(url: &str) -> Option<HeaderValue> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    HeaderValue::from_str(&format!("{scheme}://{host}")).ok()
}

/// What a status is called in the error shape.
fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_description_is_the_programs() {
        assert!(
            super::routes::DOCUMENT.trim_end() == super::openapi(),
            "docs/openapi.json differs; write it anew with `just openapi`"
        );
    }
}
