//! Lists, creates and revokes users, and says who the caller is.

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, Uri, header},
    response::IntoResponse,
};
use runvoy_core::{
    App, Email, Error, RequestId,
    auth::{Action, Resource, Role, policy},
    user::{self, NewUser, User},
};
use serde::{Deserialize, Serialize};

use super::tags;
use crate::{
    error::{self, Result},
    extract::{self, Caller, JsonBody},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Me {
    email: Email,
    role: Role,
    /// What the user may do to any resource, as `resource:verb`. An owner may do more to what they own.
    #[schema(example = json!(["executions:list", "executions:status"]))]
    permissions: Vec<String>,
}

/// Says who the caller is, and what the caller may do
#[utoipa::path(get, path = "/me", operation_id = "me", tag = tags::USERS,
    responses((status = 200, body = Me, description = "The user that the key belongs to"), error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn me(caller: Caller) -> Result<Json<Me>> {
    let permissions = policy::permissions(&caller.principal)?;
    Ok(Json(Me { email: caller.principal.email, role: caller.principal.role, permissions }))
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Users {
    users: Vec<User>,
}

/// Lists users
#[utoipa::path(get, path = "/users", operation_id = "list_users", tag = tags::USERS,
    responses((status = 200, body = Users, description = "All users"), error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Users>> {
    caller.may(Action::ListUsers, Resource::Account)?;
    Ok(Json(Users { users: user::list(&app).await? }))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct CreateUser {
    #[schema(format = "email", example = "dev@example.com")]
    email: String,
    #[schema(value_type = Role)]
    role: String,
    /// Refused unless it is empty: a key is generated when the user claims it, so that nobody else knows it.
    #[schema(max_length = 0)]
    api_key: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct CreatedUser {
    user: User,
    /// For `GET /api/v1/claim/{token}`: works once, within 15 minutes.
    claim_token: String,
    /// The page on which the user claims the key, by the press of a button.
    claim_url: String,
}

/// Creates a user, and the claim by which they get their API key
///
/// For a user who has not claimed a key yet, the answer has a new token, and the old one stops working.
#[utoipa::path(post, path = "/users/create", operation_id = "create_user", tag = tags::USERS, request_body = CreateUser,
    responses((status = 201, body = CreatedUser, description = "The user, and the token of the claim"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Extension(id): Extension<RequestId>,
    uri: Uri,
    JsonBody(body): JsonBody<CreateUser>,
) -> Result<impl IntoResponse> {
    caller.may(Action::CreateUser, Resource::Account)?;
    if body.api_key.is_some_and(|key| !key.is_empty()) {
        return Err(Error::invalid("api_key cannot be chosen")
            .with_hint("leave it out; the user's key is generated when the user claims it")
            .into());
    }
    let new = NewUser { email: Email::parse(&body.email)?, role: body.role.parse()?, request_id: &id };
    let (user, claim_token) = user::create(&app, new).await?;
    tracing::info!(email = %user.email, role = %user.role, by = %caller.principal.email, "user created");
    let claim_url = format!("{}/claim/{claim_token}", extract::web_url(&app, &uri));
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, no_store, Json(CreatedUser { user, claim_token, claim_url })))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct RevokeUser {
    #[schema(format = "email", example = "dev@example.com")]
    email: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct RevokedUser {
    message: &'static str,
    email: Email,
}

/// Revokes a user: their API key stops working at once
#[utoipa::path(post, path = "/users/revoke", operation_id = "revoke_user", tag = tags::USERS, request_body = RevokeUser,
    responses((status = 200, body = RevokedUser, description = "The key no longer works"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Extension(id): Extension<RequestId>,
    JsonBody(body): JsonBody<RevokeUser>,
) -> Result<Json<RevokedUser>> {
    caller.may(Action::RevokeUser, Resource::Account)?;
    let email = Email::parse(&body.email)?;
    user::revoke(&app, &email, &id).await?;
    tracing::info!(%email, by = %caller.principal.email, "user revoked");
    Ok(Json(RevokedUser { message: "User revoked: the API key no longer works", email }))
}
