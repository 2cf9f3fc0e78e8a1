//! Lets pages of allowed origins call the API: CORS, by the setting `RUNVOY_CORS_ALLOWED_ORIGINS` and the API's own address.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header, request::Parts};
use runvoy_api_types::headers;
use runvoy_core::{App, config::Origin};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The time for which a browser keeps the answer to a preflight. The longest that Chromium takes is two hours.
const PREFLIGHT_AGE: Duration = Duration::from_hours(1);

pub(crate) fn layer(app: &App) -> CorsLayer {
    let allowed = app.config.allowed_origins.clone();
    let allowed = if allowed.any {
        AllowOrigin::any()
    } else {
        AllowOrigin::predicate(move |origin: &HeaderValue, parts: &Parts| {
            let own = Origin::of_url(&parts.uri.to_string());
            origin.to_str().is_ok_and(|origin| allowed.allow(origin, own.as_slice()))
        })
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS])
        .allow_headers([
            header::CONTENT_TYPE,
            HeaderName::from_static(headers::API_KEY),
            HeaderName::from_static(headers::IDEMPOTENCY_KEY),
            header::IF_MATCH,
        ])
        .expose_headers([
            header::LINK,
            header::ETAG,
            HeaderName::from_static(headers::REQUEST_ID),
            HeaderName::from_static(headers::VERSION),
            HeaderName::from_static(headers::SEARCHED_SINCE),
        ])
        .max_age(PREFLIGHT_AGE)
}
