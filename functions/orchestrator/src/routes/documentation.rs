//! Serves the API's description, as a document for programs.

use axum::{Router, http::header, routing::get};
use runvoy_core::App;
use utoipa::openapi::{
    Info, OpenApi, OpenApiBuilder, SecurityRequirement,
    extensions::ExtensionsBuilder,
    security::{ApiKey, ApiKeyValue, SecurityScheme},
};

use super::tags;
use runvoy_api_types::{ErrorBody, fargate, limits};
use serde_json::json;

/// The description as `just openapi` writes it. A test compares it with the handlers.
pub(crate) const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");
/// The name of the API's way to authenticate, within the description.
const SCHEME: &str = "api_key";

/// The document without its paths.
pub(super) fn outline() -> OpenApi {
    let mut info = Info::new("runvoy", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Runs a command in a container on AWS for anyone who holds an API key. Every answer carries `X-Request-Id` and `X-Runvoy-Version`. Every \
         error has the same shape: `error`, `code` and `details`. An optional field or parameter that is empty (`\"\"`, or `null` in a body) \
         means the same as an absent one."
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
    let mut document = OpenApiBuilder::new()
        .info(info)
        .tags(Some([
            tag(tags::EXECUTIONS, "Commands that run or have run"),
            tag(tags::IMAGES, "What commands may run in"),
            tag(tags::SCHEDULES, "Runs that start at times of a clock, at a rate, or once"),
            tag(tags::SECRETS, "Values that commands receive and that no table holds"),
            tag(
                tags::PLAYBOOKS,
                "Commands with parameters, which others may run without the right to run anything else",
            ),
            tag(tags::LOCKS, "What executions hold while they run, and wait for"),
            tag(tags::USERS, "The users of the API and their roles"),
            tag(tags::NOTIFICATIONS, "Who is told of what becomes of executions"),
            tag(tags::OPERATIONS, "The system itself"),
        ]))
        .components(Some(components))
        .security(Some([SecurityRequirement::new(SCHEME, Vec::<String>::new())]))
        .build();
    document.extensions = Some(ExtensionsBuilder::new().add("x-limits", limits_for_clients()).build());
    document
}

/// Limits for clients that check before they send, among them the console.
fn limits_for_clients() -> serde_json::Value {
    let fargate: Vec<_> =
        fargate::SIZES.iter().map(|size| json!({"cpu": size.cpu, "memory": size.memory_sizes()})).collect();
    json!({
        "max_overrides_characters": limits::MAX_OVERRIDES_CHARACTERS,
        "own_overrides_characters": limits::OWN_OVERRIDES_CHARACTERS,
        "max_timeout_seconds": limits::MAX_TIMEOUT_SECONDS,
        "max_secret_bytes": limits::MAX_SECRET_BYTES,
        "max_description_bytes": limits::MAX_DESCRIPTION_BYTES,
        "max_secrets_of_a_run": limits::MAX_SECRETS_OF_A_RUN,
        "default_cpu": limits::DEFAULT_CPU,
        "default_memory": limits::DEFAULT_MEMORY,
        "fargate_sizes": fargate,
    })
}

/// `/openapi.json`. The console has a page that shows it.
pub(super) fn routes(base: &str) -> Router<App> {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    Router::new().route(&format!("{base}/openapi.json"), get(move || async move { (headers, DOCUMENT) }))
}
