//! Lists, makes and deletes the API keys of users.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use futures_util::future::try_join_all;
use runvoy_api_types::{CreateKey, CreatedKey, DeletedKey, Keys};
use runvoy_core::{
    App, Email,
    auth::{self, Action, Resource},
    key::NewKey,
    user,
};
use serde::Deserialize;

use super::{
    named,
    page::{self, PageParameters},
    tags,
};
use crate::{
    error::{self, Result},
    extract::{Caller, JsonBody, Path, Query},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Whose keys; the caller's own if absent. Those of others are for admins.
    email: Option<String>,
}

/// Lists the API keys of a user
///
/// The keys themselves are never shown.
#[utoipa::path(get, path = "/keys", operation_id = "list_keys", tag = tags::USERS, params(ListParameters, PageParameters),
    responses((status = 200, body = Keys, description = "The keys, oldest first"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListParameters>,
    Query(paging): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    let email = match query.email.as_deref().filter(|email| !email.is_empty()) {
        None => caller.principal.email.clone(),
        Some(email) => Email::parse(email).map_err(|problem| problem.at_field("email"))?,
    };
    caller.may(Action::ListKeys, Resource::Keys { of: &email })?;
    let keys = user::list_keys(&app, &email, &paging.request()?).await?;
    let link = keys.next.as_ref().map(|next| {
        page::link("/keys", &[("email", query.email.as_deref()), ("limit", paging.limit.as_deref())], next)
    });
    Ok((link, Json(Keys { keys: keys.items })))
}

/// Makes another API key for the caller
///
/// A user has at most 20. To renew a key, make another one, use it, and delete the old one. A key with a scope makes no keys. The playbooks
/// of a scope are published, and the caller may see them.
#[utoipa::path(post, path = "/keys", operation_id = "create_key", tag = tags::USERS, request_body = CreateKey,
    responses((status = 201, body = CreatedKey, description = "The key; it is not shown again"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateKey>,
) -> Result<impl IntoResponse> {
    caller.may(Action::CreateKey, Resource::Keys { of: &caller.principal.email })?;
    let scope = body.scope.map(auth::checked_scope).transpose()?;
    let new = NewKey {
        email: caller.principal.email.clone(),
        role: caller.principal.role,
        name: body.name.trim().to_owned(),
        expires_in: body.expires_in.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        scope,
    };
    new.check()?;
    let playbooks = new.scope.as_ref().and_then(|scope| scope.playbooks.as_deref()).unwrap_or_default();
    let fields: Vec<String> = (0..playbooks.len()).map(|at| format!("scope.playbooks[{at}]")).collect();
    let checks = playbooks.iter().zip(&fields).map(|(name, field)| named::check_playbook(&app, &caller, name, field));
    try_join_all(checks).await?;
    let (api_key, key) = user::create_key(&app, new, &caller.actor).await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { key, api_key: api_key.expose().to_owned() })))
}

/// Deletes an API key, which stops working at once
///
/// Own keys, and for admins those of others.
#[utoipa::path(delete, path = "/keys/{key_id}", operation_id = "delete_key", tag = tags::USERS,
    params(("key_id" = String, Path, description = "Id of the key, as the list shows it")),
    responses((status = 200, body = DeletedKey, description = "It is gone"), error::Malformed, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn delete(State(app): State<App>, caller: Caller, Path(key_id): Path) -> Result<Json<DeletedKey>> {
    let found = user::find_key(&app, &key_id, &caller.principal.email).await;
    let (hash, email) =
        caller.may_named(Action::DeleteKey, &key_id, found, |(_, email)| Resource::Keys { of: email })?;
    user::delete_key(&app, &hash, &email, &caller.actor).await?;
    Ok(Json(DeletedKey { key_id, message: "Key deleted: it no longer works".to_owned() }))
}
