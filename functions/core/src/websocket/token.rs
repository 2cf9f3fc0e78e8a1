//! Issues tokens that let viewers follow one execution, and checks them. A token can be used any number of times for 24 hours.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    App, Email, Error, Result,
    auth::{self, Action, KeyUser, Principal, Resource, policy},
    boxed,
    execution::{self, ExecutionId},
    key::{ApiKeyHash, token_hash},
    random::random_text,
    table,
};

/// The time for which a token works: a viewer of a long run may come back after a day.
const LIFETIME: Duration = Duration::from_hours(24);

/// An item of the tokens table.
#[derive(Debug, Serialize, Deserialize)]
struct TokenRecord {
    token_hash: String,
    execution_id: ExecutionId,
    /// The address of the API at which it was issued. Pages of that address may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<String>,
    /// The user who was given the token, and the key of the request. The token ends with that key. Absent in tokens of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_to: Option<Email>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_hash: Option<ApiKeyHash>,
    /// Seconds since 1970, for DynamoDB's TTL.
    expires_at: i64,
}

/// The execution and the viewer that a token is for.
#[derive(Debug)]
pub struct Token {
    pub execution_id: ExecutionId,
    /// The address of the API at which it was issued, if that is known.
    pub issued_at: Option<String>,
    /// The user who was given the token.
    pub issued_to: Option<Email>,
    /// The key of the request that was given the token.
    pub key_hash: Option<ApiKeyHash>,
    /// The time at which that key expires.
    pub key_expires_at: Option<Timestamp>,
}

/// Creates a token for an execution and returns the URL that a viewer connects to. `address` is that of the API, as the caller
/// reached it.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn issue(app: &App, id: &ExecutionId, address: &str, to: &Principal) -> Result<String> {
    store(app, id, address, to, random_text::<24>()?).await
}

/// As [`issue`], but the same `seeds` give the same token each time. They must be secret.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn issue_again(app: &App, id: &ExecutionId, address: &str, to: &Principal, seeds: &[&str]) -> Result<String> {
    let mut hash = Sha256::new().chain_update("runvoy websocket\0").chain_update(id.as_str());
    for seed in seeds {
        hash.update([0]);
        hash.update(seed);
    }
    store(app, id, address, to, URL_SAFE_NO_PAD.encode(hash.finalize())).await
}

#[boxed]
async fn store(app: &App, id: &ExecutionId, address: &str, to: &Principal, token: String) -> Result<String> {
    let record = TokenRecord {
        token_hash: token_hash(&token),
        execution_id: id.clone(),
        issued_at: Some(address.to_owned()).filter(|address| !address.is_empty()),
        issued_to: Some(to.email.clone()),
        key_hash: to.key_hash.clone(),
        expires_at: app.expiry(LIFETIME),
    };
    let put = app
        .aws
        .dynamodb
        .put_item()
        .table_name(&app.config.tables.websocket_tokens)
        .set_item(Some(table::to_item(&record)?));
    table::write(app, || put.clone().send()).await?;
    Ok(format!("{}?execution_id={id}&token={token}", app.config.websocket_url()))
}

/// Finds the token that a viewer presents for an execution, and tells why it does not let the viewer follow it, if so: it is for another
/// execution, the key of the user to whom it was given was deleted or revoked, or that user may not read the log any more.
///
/// # Errors
/// [`Error::UnknownWebSocketToken`], also for an expired one; [`Error::Aws`] when DynamoDB fails.
pub async fn check(app: &App, token: &str, id: &str) -> Result<(Token, Option<Error>)> {
    let record: TokenRecord =
        table::get(&app.aws.dynamodb, &app.config.tables.websocket_tokens, "token_hash", &token_hash(token))
            .await?
            .filter(|record: &TokenRecord| !app.is_past(record.expires_at))
            .ok_or(Error::UnknownWebSocketToken)?;
    let (refusal, key_expires_at) = if record.execution_id.as_str() == id {
        refusal(app, &record).await?
    } else {
        (Some(Error::TokenOfAnotherExecution), None)
    };
    let TokenRecord { execution_id, issued_at, issued_to, key_hash, .. } = record;
    Ok((Token { execution_id, issued_at, issued_to, key_hash, key_expires_at }, refusal))
}

/// Tells why a token does not let its user follow the execution, if so, and when the user's key expires. The rights of the user may have
/// changed since the token was issued. The key's scope is left out: who starts a run with a key for runs gets a token for its log.
async fn refusal(app: &App, record: &TokenRecord) -> Result<(Option<Error>, Option<Timestamp>)> {
    let Some(hash) = &record.key_hash else { return Ok((None, None)) };
    let (user, execution) = tokio::try_join!(auth::user_of_key(app, hash), execution::find(app, &record.execution_id))?;
    let Some(KeyUser { principal, expires_at }) = user else { return Ok((Some(Error::UnknownWebSocketToken), None)) };
    // An execution of which nothing is known yet is refused later.
    let Some(execution) = execution.map(|record| record.execution) else { return Ok((None, expires_at)) };
    let log = Resource::Execution { id: execution.execution_id.as_str(), owners: &execution.owned_by };
    Ok((policy::authorize(&principal, Action::ReadLogs, log).err(), expires_at))
}
