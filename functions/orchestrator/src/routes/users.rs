use axum::{Json, extract::State, http::StatusCode};
use runvoy_core::{
    App,
    auth::{Action, ApiKey, Resource, Role},
    email::Email,
    user::{self, NewUser, User},
};
use serde::{Deserialize, Serialize};

use super::tags;
use crate::{
    answer::{self, Result},
    request::{Caller, JsonBody, RequestId},
};

#[derive(Serialize, utoipa::ToSchema)]
pub struct Users {
    users: Vec<User>,
}

/// Lists users
#[utoipa::path(get, path = "/users", operation_id = "list_users", tag = tags::USERS,
    responses((status = 200, body = Users, description = "All users"), answer::Malformed, answer::Refused, answer::Outage))]
pub async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Users>> {
    caller.may(Action::ListUsers, Resource::Account)?;
    Ok(Json(Users { users: user::list(&app).await? }))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct CreateUser {
    #[schema(format = "email", example = "dev@example.com")]
    email: String,
    #[schema(value_type = Role)]
    role: String,
    /// A key for the user, 24 to 256 visible ASCII characters. Absent: one is made when the claim is made.
    #[schema(min_length = 24, max_length = 256, pattern = "^[!-~]*$")]
    api_key: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct CreatedUser {
    user: User,
    /// For `GET /api/v1/claim/{token}`: works once, within 15 minutes.
    claim_token: String,
}

/// Creates a user, and the claim by which they get their API key
#[utoipa::path(post, path = "/users/create", operation_id = "create_user", tag = tags::USERS, request_body = CreateUser,
    responses((status = 201, body = CreatedUser, description = "The user, and the token of the claim"), answer::Malformed, answer::TooLarge, answer::Refused, answer::Clash, answer::Outage))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    id: RequestId,
    JsonBody(body): JsonBody<CreateUser>,
) -> Result<(StatusCode, Json<CreatedUser>)> {
    caller.may(Action::CreateUser, Resource::Account)?;
    let key = body.api_key.as_deref().map(ApiKey::chosen).transpose()?;
    let new =
        NewUser { email: Email::parse(&body.email)?, role: body.role.parse()?, key: key.as_ref(), request_id: &id.0 };
    let (user, claim_token) = user::create(&app, new).await?;
    tracing::info!(email = %user.email, role = %user.role, by = %caller.principal.email, "user created");
    Ok((StatusCode::CREATED, Json(CreatedUser { user, claim_token })))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct RevokeUser {
    #[schema(format = "email", example = "dev@example.com")]
    email: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct RevokedUser {
    message: &'static str,
    email: Email,
}

/// Revokes a user: their API key stops working at once
#[utoipa::path(post, path = "/users/revoke", operation_id = "revoke_user", tag = tags::USERS, request_body = RevokeUser,
    responses((status = 200, body = RevokedUser, description = "The key no longer works"), answer::Malformed, answer::TooLarge, answer::Refused, answer::Absent, answer::Outage))]
pub async fn revoke(
    State(app): State<App>,
    caller: Caller,
    id: RequestId,
    JsonBody(body): JsonBody<RevokeUser>,
) -> Result<Json<RevokedUser>> {
    caller.may(Action::RevokeUser, Resource::Account)?;
    let email = Email::parse(&body.email)?;
    user::revoke(&app, &email, &id.0).await?;
    tracing::info!(%email, by = %caller.principal.email, "user revoked");
    Ok(Json(RevokedUser { message: "User revoked: the API key no longer works", email }))
}
