//! Lists, creates, changes and revokes users, renews their claim links, and says who the caller is.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
    response::IntoResponse,
};
use runvoy_api_types::{
    CreateUser, CreatedUser, Me, RenewedClaim, RevokeUser, RevokedUser, UpdateUser, UpdatedUser, Users,
};
use runvoy_core::{
    App, Email, Error,
    auth::{Action, Resource, policy},
    user::{self, Change, NewUser},
};

use super::{page::PageParameters, tags};
use crate::{
    error::{self, Result},
    extract::{self, Caller, JsonBody, NoFields, Path, Query},
};

/// Says who the caller is, and what the caller may do
#[utoipa::path(get, path = "/me", operation_id = "me", tag = tags::USERS,
    responses((status = 200, body = Me, description = "The user that the key belongs to"), error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn me(caller: Caller) -> Result<Json<Me>> {
    let permissions = policy::permissions(&caller.principal);
    Ok(Json(Me { email: caller.principal.email, role: caller.principal.role, permissions }))
}

/// Lists users
///
/// When there is more, the header `Link: <…>; rel="next"` names the next page.
#[utoipa::path(get, path = "/users", operation_id = "list_users", tag = tags::USERS, params(PageParameters),
    responses((status = 200, body = Users, description = "Users", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    caller.may(Action::ListUsers, Resource::Account)?;
    let page = user::page(&app, &query.request()?).await?;
    Ok((query.link("/users", page.next.as_ref()), Json(Users { users: page.items })))
}

/// Creates a user, and the claim by which they get their API key
///
/// For a user who has not claimed a key yet, the answer has a new token, and the old one stops working.
#[utoipa::path(post, path = "/users/create", operation_id = "create_user", tag = tags::USERS, request_body = CreateUser,
    responses((status = 201, body = CreatedUser, description = "The user, and the token of the claim"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
    JsonBody(body): JsonBody<CreateUser>,
) -> Result<impl IntoResponse> {
    caller.may(Action::CreateUser, Resource::Account)?;
    if body.api_key.is_some_and(|key| !key.is_empty()) {
        return Err(Error::invalid("api_key cannot be chosen")
            .with_hint("leave it out; the user's key is generated when the user claims it")
            .at_field("api_key")
            .into());
    }
    let new = NewUser { email: parse_email(&body.email)?, role: body.role.parse()?, actor: &caller.actor };
    let (user, claim_token) = user::create(&app, new).await?;
    tracing::info!(email = %user.email, role = %user.role, by = %caller.principal.email, "user created");
    let claim_url = format!("{}/claim/{claim_token}", extract::web_url(&app, &uri));
    Ok((StatusCode::CREATED, Json(CreatedUser { user, claim_token, claim_url })))
}

/// Revokes a user: their API keys stop working at once
///
/// The last admin who has a key cannot be revoked.
#[utoipa::path(post, path = "/users/revoke", operation_id = "revoke_user", tag = tags::USERS, request_body = RevokeUser,
    responses((status = 200, body = RevokedUser, description = "The key no longer works"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<RevokeUser>,
) -> Result<Json<RevokedUser>> {
    caller.may(Action::RevokeUser, Resource::Account)?;
    let email = parse_email(&body.email)?;
    let change = Change { revoked: Some(true), ..Change::default() };
    user::change(&app, &email, change, Action::RevokeUser, &caller.actor).await?;
    tracing::info!(%email, by = %caller.principal.email, "user revoked");
    Ok(Json(RevokedUser { message: "User revoked: the API key no longer works".to_owned(), email }))
}

/// Changes what a user may do; what is absent stays as it is
///
/// The change takes effect with the next request of each of the user's keys. The last admin who has a key can be neither revoked nor
/// given another role.
#[utoipa::path(put, path = "/users/{email}", operation_id = "update_user", tag = tags::USERS, request_body = UpdateUser,
    params(("email" = String, Path, description = "Address of the user")),
    responses((status = 200, body = UpdatedUser, description = "The user after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Path(email): Path,
    JsonBody(body): JsonBody<UpdateUser>,
) -> Result<Json<UpdatedUser>> {
    caller.may(Action::UpdateUser, Resource::Account)?;
    let role = body.role.filter(|role| !role.is_empty()).map(|role| role.parse()).transpose()?;
    let change = Change { role, revoked: body.revoked };
    let user = user::change(&app, &parse_email(&email)?, change, Action::UpdateUser, &caller.actor).await?;
    Ok(Json(UpdatedUser { user }))
}

/// Makes a new link for a user who has lost their key
///
/// An earlier link stops working. The user's keys work until they are deleted.
#[utoipa::path(post, path = "/users/{email}/claim", operation_id = "renew_claim", tag = tags::USERS,
    params(("email" = String, Path, description = "Address of the user")),
    responses((status = 201, body = RenewedClaim, description = "The token of the claim"), error::Malformed, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn renew_claim(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
    Path(email): Path,
    _: JsonBody<NoFields>,
) -> Result<impl IntoResponse> {
    caller.may(Action::RenewClaim, Resource::Account)?;
    let claim_token = user::renew_claim(&app, &parse_email(&email)?, &caller.actor).await?;
    let claim_url = format!("{}/claim/{claim_token}", extract::web_url(&app, &uri));
    Ok((StatusCode::CREATED, Json(RenewedClaim { claim_token, claim_url })))
}

/// The address of a user, as a caller names it.
fn parse_email(text: &str) -> Result<Email> {
    Ok(Email::parse(text).map_err(|problem| problem.at_field("email"))?)
}
