//! Lists the routes, with a file for each resource.

mod approvals;
mod audit;
mod base;
mod claims;
mod documentation;
mod executions;
mod health;
mod images;
mod keys;
mod locks;
mod logs;
mod named;
mod notifications;
mod operations;
mod owners;
mod page;
mod playbooks;
mod runs;
mod schedules;
mod secrets;
mod tags;
mod users;

use axum::{Router, handler::Handler, middleware::from_fn, routing::MethodRouter};
use runvoy_core::App;
use utoipa::openapi::OpenApi;
use utoipa_axum::{PathItemExt, router::OpenApiRouter, routes};

use base::BASE;
pub(crate) use owners::methods_of_image;

use crate::{
    console, middleware,
    parameters::{self, Known},
};

#[cfg(test)]
pub(crate) use documentation::DOCUMENT;

/// Passes all handlers to a macro. The description of each handler contains its method and path.
macro_rules! for_all_handlers {
    ($with:ident) => {
        $with![
            health::health,
            claims::claim,
            runs::run,
            executions::list,
            executions::kill,
            approvals::approve,
            approvals::deny,
            executions::show,
            executions::status,
            logs::logs,
            users::me,
            users::list,
            users::create,
            users::revoke,
            users::update,
            users::renew_claim,
            keys::list,
            keys::create,
            keys::delete,
            images::list,
            images::register,
            images::show,
            images::delete,
            owners::own_execution,
            owners::own_secret,
            owners::share_secret,
            playbooks::list,
            playbooks::check,
            playbooks::show,
            playbooks::publish,
            playbooks::delete,
            playbooks::versions,
            playbooks::run,
            playbooks::own,
            playbooks::share,
            owners::own_schedule,
            owners::own_notification,
            owners::share_schedule,
            operations::reconcile,
            operations::trace,
            audit::list,
            locks::list,
            locks::show,
            locks::set,
            locks::delete,
            secrets::list,
            secrets::create,
            secrets::show,
            secrets::update,
            secrets::delete,
            notifications::list,
            notifications::create,
            notifications::show,
            notifications::update,
            notifications::delete,
            notifications::test,
            notifications::rotate,
            notifications::deliveries,
            schedules::list,
            schedules::create,
            schedules::show,
            schedules::update,
            schedules::delete,
            schedules::next,
            schedules::run,
        ]
    };
}

/// A router of handlers without their descriptions, which no request needs and which take time to build at a cold start.
macro_rules! served {
    ($($module:ident :: $handler:ident),* $(,)?) => {
        utoipa_axum::paste! {
            Router::new()$(.merge(served::<$module::[<__path_ $handler>], _, _>($module::$handler)))*
        }
    };
}

/// The descriptions of handlers, as a router that serves no request.
macro_rules! described {
    ($($handler:path),* $(,)?) => {
        OpenApiRouter::<App>::new()$(.routes(routes!($handler)))*
    };
}

fn served<D: utoipa::Path, H: Handler<T, App>, T: 'static>(handler: H) -> Router<App> {
    // The name of an image has slashes, which only a wildcard matches. OpenAPI has no form for that.
    let path = format!("{BASE}{}", D::path().replace("{image}", "{*image}"));
    let methods = D::methods();
    methods.iter().fold(Router::new(), |router, method| {
        router.route(&path, checked::<D>(axum::routing::on(method.to_method_filter(), handler.clone())))
    })
}

/// A route that refuses query parameters which its description does not name. Monitors add some of their own to the route of the health, so
/// that no cache answers them.
fn checked<D: utoipa::Path>(route: MethodRouter<App>) -> MethodRouter<App> {
    if D::path() == health::PATH {
        return route;
    }
    let known = Known::of::<D>();
    route.layer(from_fn(move |request, next| parameters::refuse_unknown(known.clone(), request, next)))
}

/// A router with all routes.
pub(crate) fn all() -> Router<App> {
    // Both routes below an image have the same parameters: none.
    let change_image = checked::<owners::__path_own_image>(axum::routing::put(owners::change_image));
    for_all_handlers!(served)
        .route(&format!("{BASE}/images/{{*image}}"), change_image)
        .merge(documentation::routes(BASE))
        .merge(console::routes())
        .route_layer(from_fn(middleware::note_route))
}

/// The description of all routes, an OpenAPI 3.1 document.
pub(crate) fn openapi() -> OpenApi {
    let described = for_all_handlers!(described).merge(described![owners::own_image, owners::share_image]);
    OpenApiRouter::<App>::with_openapi(documentation::outline()).nest(BASE, described).into_openapi()
}
