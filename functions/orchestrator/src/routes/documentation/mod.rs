//! The API's description, as a document for programs and a page for people.

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};
use runvoy_core::App;
use utoipa::openapi::{
    Info, OpenApi, OpenApiBuilder, SecurityRequirement,
    security::{ApiKey, ApiKeyValue, SecurityScheme},
};

use super::tags;
use crate::answer::ErrorBody;

/// What `just openapi` has written: a test holds it against the handlers.
pub const DOCUMENT: &str = include_str!("../../../../../docs/openapi.json");
const SCHEME: &str = "api_key";

/// The document without its paths.
pub fn outline() -> OpenApi {
    let mut info = Info::new("runvoy", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Runs a command in a container on AWS for whoever holds an API key. Every answer carries `X-Request-Id`; whatever \
         goes wrong has one shape, `error`, `code` and `details`."
            .to_owned(),
    );
    let tag = |name: &str, description: &str| {
        utoipa::openapi::tag::TagBuilder::new().name(name).description(Some(description)).build()
    };
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
        "X-API-Key",
        "From the claim that an admin handed over",
    )));
    let components =
        utoipa::openapi::ComponentsBuilder::new().schema_from::<ErrorBody>().security_scheme(SCHEME, key).build();
    OpenApiBuilder::new()
        .info(info)
        .tags(Some([
            tag(tags::EXECUTIONS, "Commands that run or ran"),
            tag(tags::IMAGES, "What commands may run in"),
            tag(tags::SECRETS, "Values that commands see and tables do not"),
            tag(tags::USERS, "Who may call, and as what"),
            tag(tags::OPERATIONS, "The system itself"),
        ]))
        .components(Some(components))
        .security(Some([SecurityRequirement::new(SCHEME, Vec::<String>::new())]))
        .build()
}

/// `/openapi.json`, and `/docs`, a page that shows it. Everything the page needs is part of the program.
pub fn routes(base: &str) -> Router<App> {
    Router::new()
        .route(&format!("{base}/openapi.json"), get(|| page("application/json", DOCUMENT)))
        .route(&format!("{base}/docs"), get(|| page("text/html; charset=utf-8", include_str!("page.html"))))
        .route(&format!("{base}/docs/page.css"), get(|| page("text/css; charset=utf-8", include_str!("page.css"))))
        .route(&format!("{base}/docs/page.js"), get(|| page("text/javascript; charset=utf-8", include_str!("page.js"))))
}

async fn page(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        // Nothing from elsewhere, and no frame around a page that takes an API key.
        (
            HeaderName::from_static("content-security-policy"),
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
