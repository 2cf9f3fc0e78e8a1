//! Tells who a caller is by the API key that the request presents.

use jiff::Timestamp;

use super::Role;
use crate::{
    App, Email, Error, Result,
    key::{self, ApiKey, ApiKeyHash, KeyScope, KeyUse},
};

/// The user that a request comes from, and the key that it presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub email: Email,
    pub role: Role,
    /// The id of the key, for the audit.
    pub key_id: Option<String>,
    /// The actions that the key is limited to.
    pub scope: Option<KeyScope>,
    /// Stands for the key in what the request makes, such as a WebSocket token, which ends with the key.
    pub key_hash: Option<ApiKeyHash>,
}

impl Principal {
    /// A user without a key, as events and tests act for one.
    pub fn without_key(email: Email, role: Role) -> Self {
        Self { email, role, key_id: None, scope: None, key_hash: None }
    }
}

/// The result of looking a presented key up.
#[derive(Debug)]
pub enum Authenticated {
    /// The key works. The second part is there when `last_used` is older than a minute: the caller passes it to [`note_use`](crate::user::note_use) beside
    /// its own work.
    Yes(Principal, Option<KeyUse>),
    /// The key is known and does not work: it was revoked, or has expired. Whose it is goes into the audit.
    No(Principal, Error),
}

/// The hash of the key that a request presents. Reads nothing, so that a request without a key, or with a mistyped one, costs nothing.
///
/// # Errors
/// [`Error::NoApiKey`], [`Error::UnknownApiKey`].
pub fn presented(key: Option<&str>) -> Result<ApiKeyHash> {
    let key = key.map(str::trim).filter(|key| !key.is_empty()).ok_or(Error::NoApiKey)?;
    Ok(ApiKey::presented(key)?.hash())
}

/// Finds the user that a key belongs to, by one strongly consistent read, so that a revoked key stops working at once.
///
/// # Errors
/// [`Error::NoApiKey`], [`Error::UnknownApiKey`]; [`Error::Aws`] when DynamoDB fails.
pub async fn authenticate(app: &App, key: Option<&str>) -> Result<Authenticated> {
    authenticate_hash(app, presented(key)?).await
}

/// As [`authenticate`], for a key that was [`presented`].
///
/// # Errors
/// [`Error::UnknownApiKey`]; [`Error::Aws`] when DynamoDB fails.
pub async fn authenticate_hash(app: &App, hash: ApiKeyHash) -> Result<Authenticated> {
    let record = key::find(app, &hash).await?.ok_or(Error::UnknownApiKey)?;
    let key_use = KeyUse::to_note(app, &record);
    let refusal = refusal(app, &record);
    let principal = Principal {
        email: record.email,
        role: record.role,
        key_id: Some(hash.id()),
        scope: record.scope,
        key_hash: Some(hash),
    };
    Ok(match refusal {
        None => Authenticated::Yes(principal, key_use),
        Some(error) => Authenticated::No(principal, error),
    })
}

fn refusal(app: &App, record: &key::ApiKeyRecord) -> Option<Error> {
    if record.revoked {
        Some(Error::RevokedApiKey)
    } else if record.expires_at.is_some_and(|at| app.now() >= at) {
        Some(Error::ExpiredApiKey)
    } else {
        None
    }
}

/// The user of a key, without the key's scope, and the time at which the key expires.
#[derive(Debug)]
pub(crate) struct KeyUser {
    pub(crate) principal: Principal,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The user of a key with which something was made that ends with the key. `None` if the key does not work any more.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn user_of_key(app: &App, hash: &ApiKeyHash) -> Result<Option<KeyUser>> {
    let record = key::find(app, hash).await?.filter(|record| refusal(app, record).is_none());
    Ok(record.map(|record| KeyUser {
        principal: Principal::without_key(record.email, record.role),
        expires_at: record.expires_at,
    }))
}
