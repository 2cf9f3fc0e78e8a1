//! Admits only admins to the actions that this system has besides the API, and writes each refusal of a known caller into the audit.

use std::net::SocketAddr;

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use runvoy_core::{
    App, Error, RequestId,
    audit::{self, Actor, Entry},
    auth::{self, Principal, Role, authenticate::Authenticated},
};

use crate::lambda::function::request_id;

/// The header that holds the key of a caller, as in the API.
const API_KEY: &str = "x-api-key";

/// An action that is for admins, as the audit names it.
pub(super) struct ForAdmins<'a> {
    pub(super) action: &'static str,
    pub(super) resource: &'a str,
    /// The sentence for a caller without an admin's key.
    pub(super) who: &'static str,
}

impl ForAdmins<'_> {
    /// Admits an admin, and writes the action into the audit before it is done.
    ///
    /// # Errors
    /// The answer to a caller who is no admin, or whose action could not be written into the audit.
    pub(super) async fn admit_to_change(
        &self,
        app: &App,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<(), Response> {
        let admin = self.admit(app, headers, peer).await?;
        audit::write(app, &Entry::done(app, &admin, self.action, self.resource)).await.map_err(|error| {
            tracing::error!(error = %error.chain(), "an action is not in the audit");
            super::error(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", "try again in a moment")
        })
    }

    /// The actor of the action if the caller has the key of an admin.
    ///
    /// # Errors
    /// The answer to any other caller.
    pub(super) async fn admit(&self, app: &App, headers: &HeaderMap, peer: SocketAddr) -> Result<Actor, Response> {
        let key = headers.get(API_KEY).and_then(|key| key.to_str().ok());
        let address = peer.ip().to_string();
        let actor_of =
            |caller: &Principal| Actor::user(caller, &RequestId::new(request_id()), Some(peer.ip().to_string()));
        match auth::authenticate(app, key).await {
            // A key that is limited to some actions is not enough.
            Ok(Authenticated::Yes(caller, _)) if caller.role == Role::Admin && caller.scope.is_none() => {
                Ok(actor_of(&caller))
            }
            Ok(Authenticated::Yes(caller, _)) => {
                write_down(app, &Entry::refused(app, &actor_of(&caller), self.action, self.resource)).await;
                Err(super::error(StatusCode::FORBIDDEN, "FORBIDDEN", self.who))
            }
            Ok(Authenticated::No(caller, _)) => {
                let key = format!("key:{}", caller.key_id.clone().unwrap_or_default());
                write_down(app, &Entry::refused(app, &actor_of(&caller), "keys:use", key)).await;
                Err(super::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", self.who))
            }
            Err(Error::NoApiKey | Error::UnknownApiKey) => {
                // The audit has entries of known callers only. Unknown ones could fill it.
                tracing::warn!(
                    address,
                    action = self.action,
                    resource = self.resource,
                    "a caller without a key was refused"
                );
                Err(super::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", self.who))
            }
            Err(error) => {
                tracing::error!(error = %error.chain(), "a key could not be checked");
                let details = "the key could not be checked; try again in a moment";
                Err(super::error(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", details))
            }
        }
    }
}

/// Writes down a refusal. If that fails, the refusal stands all the same.
async fn write_down(app: &App, entry: &Entry) {
    if let Err(error) = audit::write(app, entry).await {
        tracing::error!(error = %error.chain(), "a refusal is not in the audit");
    }
}
