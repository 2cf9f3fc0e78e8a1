//! The routes, a file a resource.

mod claims;
mod documentation;
mod executions;
mod health;
mod images;
mod operations;
mod runs;
mod secrets;
mod users;

use axum::{Router, middleware};
use runvoy_core::App;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::request;

/// What the routes are sorted under in the documentation.
mod tags {
    pub const EXECUTIONS: &str = "Executions";
    pub const IMAGES: &str = "Images";
    pub const SECRETS: &str = "Secrets";
    pub const USERS: &str = "Users";
    pub const OPERATIONS: &str = "Operations";
}

/// Where the API stands.
const BASE: &str = "/api/v1";

/// All routes, and their description as an OpenAPI 3.1 document.
pub fn all() -> (Router<App>, OpenApi) {
    let described = OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(claims::claim))
        .routes(routes!(runs::run))
        .routes(routes!(executions::list))
        .routes(routes!(executions::kill))
        .routes(routes!(executions::status))
        .routes(routes!(executions::logs))
        .routes(routes!(users::list))
        .routes(routes!(users::create))
        .routes(routes!(users::revoke))
        .routes(routes!(images::list))
        .routes(routes!(images::register))
        .routes(routes!(operations::reconcile))
        .routes(routes!(operations::trace))
        .routes(routes!(secrets::list, secrets::create))
        .routes(routes!(secrets::show, secrets::update, secrets::delete));
    // An image's name has slashes, which a described path cannot match.
    let (_, image_paths, image_methods) = routes!(images::show, images::delete);
    let (router, mut api) =
        OpenApiRouter::with_openapi(documentation::outline()).nest(BASE, described).split_for_parts();
    for (path, item) in image_paths.paths {
        api.paths.paths.insert(format!("{BASE}{path}"), item);
    }
    let router = router
        .route(&format!("{BASE}/images/{{*image}}"), image_methods)
        .merge(documentation::routes(BASE, &api))
        .route_layer(middleware::from_fn(request::note_route));
    (router, api)
}
