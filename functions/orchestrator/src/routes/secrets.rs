use axum::{Json, extract::State, http::StatusCode};
use runvoy_core::{
    App,
    auth::{Action, Resource},
    secret::{self, NewSecret, Secret, SecretChange},
};
use serde::{Deserialize, Serialize};

use crate::{
    answer::Result,
    request::{Caller, JsonBody, Path, RequestId},
};

#[derive(Serialize, utoipa::ToSchema)]
pub struct Secrets {
    secrets: Vec<Secret>,
    total: usize,
}

pub async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Secrets>> {
    caller.may(Action::ListSecrets, Resource::Account)?;
    let secrets = secret::list(&app).await?;
    Ok(Json(Secrets { total: secrets.len(), secrets }))
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct SecretAnswer {
    secret: Secret,
}

/// The secret that a path names, if the caller may do this to it.
async fn permitted(app: &App, caller: &Caller, name: &str, action: Action) -> Result<Secret> {
    let secret = secret::find(app, name).await?;
    caller.may(action, Resource::Secret { name, owners: &secret.owned_by })?;
    Ok(secret)
}

pub async fn show(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<SecretAnswer>> {
    let secret = permitted(&app, &caller, &name, Action::ReadSecret).await?;
    let value = secret::value(&app, &name).await?;
    Ok(Json(SecretAnswer { secret: Secret { value: Some(value), ..secret } }))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct CreateSecret {
    name: String,
    /// The environment variable under which a run sees the value.
    key_name: String,
    /// At most 4096 bytes.
    value: String,
    description: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Message {
    message: &'static str,
}

pub async fn create(
    State(app): State<App>,
    caller: Caller,
    id: RequestId,
    JsonBody(body): JsonBody<CreateSecret>,
) -> Result<(StatusCode, Json<Message>)> {
    caller.may(Action::CreateSecret, Resource::Account)?;
    let CreateSecret { name, key_name, value, description } = body;
    let new = NewSecret { name, key_name, value, description };
    secret::create(&app, new, &caller.principal.email, &id.0).await?;
    Ok((StatusCode::CREATED, Json(Message { message: "Secret created successfully" })))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct UpdateSecret {
    description: Option<String>,
    key_name: Option<String>,
    value: Option<String>,
}

pub async fn update(
    State(app): State<App>,
    caller: Caller,
    id: RequestId,
    Path(name): Path,
    JsonBody(body): JsonBody<UpdateSecret>,
) -> Result<Json<Message>> {
    permitted(&app, &caller, &name, Action::UpdateSecret).await?;
    let change = SecretChange { key_name: body.key_name, value: body.value, description: body.description };
    secret::update(&app, &name, change, &caller.principal.email, &id.0).await?;
    Ok(Json(Message { message: "Secret updated successfully" }))
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct DeletedSecret {
    name: String,
    message: &'static str,
}

pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    id: RequestId,
    Path(name): Path,
) -> Result<Json<DeletedSecret>> {
    permitted(&app, &caller, &name, Action::DeleteSecret).await?;
    secret::delete(&app, &name, &id.0).await?;
    Ok(Json(DeletedSecret { name, message: "Secret deleted successfully" }))
}
