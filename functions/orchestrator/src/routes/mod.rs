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

use axum::{Router, handler::Handler, middleware};
use runvoy_core::App;
use utoipa::openapi::OpenApi;
use utoipa_axum::{PathItemExt, router::OpenApiRouter, routes};

use crate::request;

#[cfg(test)]
pub use documentation::DOCUMENT;

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

/// Hands all handlers to a macro. Method and path of each stand with it, in its description.
macro_rules! for_all_handlers {
    ($with:ident) => {
        $with![
            health::health,
            claims::claim,
            runs::run,
            executions::list,
            executions::kill,
            executions::status,
            executions::logs,
            users::list,
            users::create,
            users::revoke,
            images::list,
            images::register,
            images::show,
            images::delete,
            operations::reconcile,
            operations::trace,
            secrets::list,
            secrets::create,
            secrets::show,
            secrets::update,
            secrets::delete,
        ]
    };
}

/// A router of handlers, without their descriptions: nothing is made at start that no request needs.
macro_rules! served {
    ($($module:ident :: $handler:ident),* $(,)?) => {
        utoipa_axum::paste! {
            Router::new()$(.merge(served::<$module::[<__path_ $handler>], _, _>($module::$handler)))*
        }
    };
}

/// The descriptions of handlers, as routes that nobody is served by.
macro_rules! described {
    ($($handler:path),* $(,)?) => {
        OpenApiRouter::<App>::new()$(.routes(routes!($handler)))*
    };
}

fn served<D: utoipa::Path, H: Handler<T, App>, T: 'static>(handler: H) -> Router<App> {
    // An image's name has slashes, which a described path cannot match.
    let path = format!("{BASE}{}", D::path().replace("{image}", "{*image}"));
    let methods = D::methods();
    methods.iter().fold(Router::new(), |router, method| {
        router.route(&path, axum::routing::on(method.to_method_filter(), handler.clone()))
    })
}

/// All routes.
pub fn all() -> Router<App> {
    for_all_handlers!(served).merge(documentation::routes(BASE)).route_layer(middleware::from_fn(request::note_route))
}

/// Their description, an OpenAPI 3.1 document.
pub fn openapi() -> OpenApi {
    let described = for_all_handlers!(described);
    OpenApiRouter::<App>::with_openapi(documentation::outline()).nest(BASE, described).into_openapi()
}
