//! Creates, lists, shows, changes and deletes secrets.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use runvoy_api_types::{CreateSecret, DeletedSecret, Message, SecretAnswer, Secrets, UpdateSecret};
use runvoy_core::{
    App,
    auth::{Action, Resource},
    secret::{self, NewSecret, Secret, SecretChange},
};

use super::{page::PageParameters, tags};
use crate::{
    error::{self, Result},
    extract::{Caller, JsonBody, Path, Query},
};

/// Lists secrets, without their values
///
/// When there is more, the header `Link: <…>; rel="next"` names the next page.
#[utoipa::path(get, path = "/secrets", operation_id = "list_secrets", tag = tags::SECRETS, params(PageParameters),
    responses((status = 200, body = Secrets, description = "Secrets", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    caller.may(Action::ListSecrets, Resource::Account)?;
    let page = secret::page(&app, &query.request()?).await?;
    Ok((query.link("/secrets", page.next.as_ref()), Json(Secrets { total: page.total, secrets: page.items })))
}

/// The secret that a path names, if the caller may do this to it.
pub(super) async fn permitted(app: &App, caller: &Caller, name: &str, action: Action) -> Result<Secret> {
    caller.may_named(action, name, secret::find(app, name).await, secret::resource)
}

/// Shows one secret, with its value
#[utoipa::path(get, path = "/secrets/{name}", operation_id = "show_secret", tag = tags::SECRETS,
    params(("name" = String, Path, description = "Name of the secret")),
    responses((status = 200, body = SecretAnswer, description = "The secret, with its value"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn show(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<impl IntoResponse> {
    let secret = permitted(&app, &caller, &name, Action::ReadSecret).await?;
    let value = secret::value(&app, &secret.name, &caller.actor).await?;
    Ok(Json(SecretAnswer { secret: Secret { value: Some(value), ..secret } }))
}

/// Creates a secret
#[utoipa::path(post, path = "/secrets", operation_id = "create_secret", tag = tags::SECRETS, request_body = CreateSecret,
    responses((status = 201, body = Message, description = "Done"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateSecret>,
) -> Result<(StatusCode, Json<Message>)> {
    caller.may(Action::CreateSecret, Resource::Account)?;
    let CreateSecret { name, key_name, value, description } = body;
    let new = NewSecret { name: name.parse()?, key_name, value, description };
    secret::create(&app, new, &caller.principal.email, &caller.actor).await?;
    Ok((StatusCode::CREATED, Json(Message { message: "Secret created successfully".to_owned() })))
}

/// Changes a secret; what is absent stays as it is
#[utoipa::path(put, path = "/secrets/{name}", operation_id = "update_secret", tag = tags::SECRETS, request_body = UpdateSecret,
    params(("name" = String, Path, description = "Name of the secret")),
    responses((status = 200, body = Message, description = "Done"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<UpdateSecret>,
) -> Result<Json<Message>> {
    let secret = permitted(&app, &caller, &name, Action::UpdateSecret).await?;
    let change = SecretChange {
        key_name: body.key_name.filter(|name| !name.is_empty()),
        value: body.value.filter(|value| !value.is_empty()),
        description: body.description,
    };
    secret::update(&app, &secret.name, change, &caller.principal.email, &caller.actor).await?;
    Ok(Json(Message { message: "Secret updated successfully".to_owned() }))
}

/// Deletes a secret, its value too
#[utoipa::path(delete, path = "/secrets/{name}", operation_id = "delete_secret", tag = tags::SECRETS,
    params(("name" = String, Path, description = "Name of the secret")),
    responses((status = 200, body = DeletedSecret, description = "It is gone"), error::Malformed, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn delete(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<DeletedSecret>> {
    let secret = permitted(&app, &caller, &name, Action::DeleteSecret).await?;
    secret::delete(&app, &secret.name, &caller.actor).await?;
    Ok(Json(DeletedSecret { name, message: "Secret deleted successfully".to_owned() }))
}
