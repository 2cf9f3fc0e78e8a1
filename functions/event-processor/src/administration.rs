//! What only somebody with rights in the AWS account can ask for, by sending this function an event themselves: a first admin.

use runvoy_core::{
    App,
    auth::Role,
    email::Email,
    user::{self, NewUser},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::EventError;

#[derive(Deserialize)]
struct Event {
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    email: String,
}

/// Creates an admin, and answers with where the key is claimed: once, within 15 minutes.
pub async fn create_admin(app: &App, event: Value, request_id: &str) -> Result<Value, EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("request for an admin"))?;
    let email = Email::parse(&event.detail.email)?;
    let new = NewUser { email, role: Role::Admin, key: None, request_id };
    let (user, token) = user::create(app, new).await?;
    tracing::info!(email = %user.email, "admin created");
    Ok(json!({"email": user.email, "claim_path": format!("/api/v1/claim/{token}")}))
}
