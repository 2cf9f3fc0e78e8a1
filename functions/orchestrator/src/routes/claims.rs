use axum::{Json, extract::State};
use runvoy_core::{App, email::Email, user};
use serde::Serialize;

use super::tags;
use crate::{
    answer::{self, Result},
    request::{Path, RequestId},
};

#[derive(Serialize, utoipa::ToSchema)]
pub struct Claimed {
    api_key: String,
    user_email: Email,
    message: &'static str,
}

/// Hands over a new user's API key
///
/// Works once, within 15 minutes of the user's creation. Of two claims at once exactly one wins.
#[utoipa::path(get, path = "/claim/{token}", operation_id = "claim_key", tag = tags::USERS, security(()),
    params(("token" = String, Path, description = "From the answer that created the user")),
    responses((status = 200, body = Claimed, description = "The key; it is not shown again"), answer::Malformed, answer::Absent, answer::Clash, answer::Outage))]
pub async fn claim(State(app): State<App>, id: RequestId, Path(token): Path) -> Result<Json<Claimed>> {
    let (key, user_email) = user::claim(&app, &token, &id.0).await?;
    let message = "Keep this key: it is not shown again. Send it as the X-API-Key header.";
    Ok(Json(Claimed { api_key: key.expose().to_owned(), user_email, message }))
}
