use axum::{Json, extract::State};
use runvoy_core::{App, email::Email, user};
use serde::Serialize;

use crate::{
    answer::Result,
    request::{Path, RequestId},
};

#[derive(Serialize, utoipa::ToSchema)]
pub struct Claimed {
    api_key: String,
    user_email: Email,
    message: &'static str,
}

pub async fn claim(State(app): State<App>, id: RequestId, Path(token): Path) -> Result<Json<Claimed>> {
    let (key, user_email) = user::claim(&app, &token, &id.0).await?;
    let message = "Keep this key: it is not shown again. Send it as the X-API-Key header.";
    Ok(Json(Claimed { api_key: key.expose().to_owned(), user_email, message }))
}
