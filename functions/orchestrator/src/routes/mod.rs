//! The routes, a file a resource.

mod claims;
mod executions;
mod health;
mod images;
mod runs;
mod secrets;
mod users;

use axum::{
    Router, middleware,
    routing::{delete, get, post},
};
use runvoy_core::App;

use crate::request;

pub fn all() -> Router<App> {
    Router::new()
        .route("/health", get(health::health))
        .route("/claim/{token}", get(claims::claim))
        .route("/run", post(runs::run))
        .route("/executions", get(executions::list))
        .route("/executions/{id}", delete(executions::kill))
        .route("/executions/{id}/status", get(executions::status))
        .route("/executions/{id}/logs", get(executions::logs))
        .route("/users", get(users::list))
        .route("/users/create", post(users::create))
        .route("/users/revoke", post(users::revoke))
        .route("/images", get(images::list))
        .route("/images/register", post(images::register))
        .route("/images/{*image}", get(images::show).delete(images::delete))
        .route("/secrets", get(secrets::list).post(secrets::create))
        .route("/secrets/{name}", get(secrets::show).put(secrets::update).delete(secrets::delete))
        .route_layer(middleware::from_fn(request::note_route))
}
