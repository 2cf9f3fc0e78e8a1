//! Creates a first admin, by an event that only someone with rights in the AWS account can send to this function.

use runvoy_core::{
    App, Email, Error, RequestId,
    audit::Actor,
    auth::Role,
    user::{self, NewUser},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::EventError;

#[derive(Deserialize)]
struct Event {
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    email: String,
}

/// Creates an admin, and answers with the page on which they claim their key, once and within 15 minutes. For an admin who has not
/// claimed a key yet, the answer has a new page.
pub(crate) async fn handle(app: &App, event: Value, request_id: &RequestId) -> Result<Value, EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("request for an admin"))?;
    let email = Email::parse(&event.detail.email).map_err(Error::from)?;
    let actor = Actor::program("event", request_id);
    let new = NewUser { email, role: Role::Admin, actor: &actor };
    let (user, token) = user::create(app, new).await?;
    tracing::info!(email = %user.email, "admin created");
    let claim_path = format!("/claim/{token}");
    let address = app.config.web_url.as_ref().or(app.config.api_url.as_ref());
    let claim_url = address.map(|address| format!("{address}{claim_path}"));
    Ok(json!({"email": user.email, "claim_path": claim_path, "claim_url": claim_url}))
}
