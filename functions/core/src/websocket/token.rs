//! Tokens that let viewers follow one execution. A token can be used any number of times for 24 hours.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{App, Error, Result, auth::key::token_hash, execution::ExecutionId, random::random_text, table};

const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// An item of the tokens table.
#[derive(Debug, Serialize, Deserialize)]
struct TokenRecord {
    token_hash: String,
    execution_id: ExecutionId,
    /// Seconds since 1970, for DynamoDB's TTL.
    expires_at: i64,
}

/// Creates a token for an execution and returns the URL that a viewer connects to.
pub async fn issue(app: &App, id: &ExecutionId) -> Result<String> {
    store(app, id, random_text::<24>()?).await
}

/// As [`issue`], but the same `seeds` give the same token each time. They must be secret.
pub async fn issue_again(app: &App, id: &ExecutionId, seeds: &[&str]) -> Result<String> {
    let mut hash = Sha256::new().chain_update("runvoy websocket\0").chain_update(id.as_str());
    for seed in seeds {
        hash.update([0]);
        hash.update(seed);
    }
    store(app, id, URL_SAFE_NO_PAD.encode(hash.finalize())).await
}

async fn store(app: &App, id: &ExecutionId, token: String) -> Result<String> {
    let record =
        TokenRecord { token_hash: token_hash(&token), execution_id: id.clone(), expires_at: app.expiry(LIFETIME) };
    app.aws
        .dynamodb
        .put_item()
        .table_name(&app.config.tables.websocket_tokens)
        .set_item(Some(table::to_item(&record)?))
        .send()
        .await?;
    Ok(format!("{}?execution_id={id}&token={token}", app.config.websocket_url()))
}

/// Checks the token that a viewer presents for an execution.
///
/// # Errors
/// [`Error::UnknownWebSocketToken`], also for an expired one, and [`Error::TokenOfAnotherExecution`].
pub async fn check(app: &App, token: &str, id: &str) -> Result<ExecutionId> {
    let record: TokenRecord =
        table::get(&app.aws.dynamodb, &app.config.tables.websocket_tokens, "token_hash", &token_hash(token))
            .await?
            .filter(|record: &TokenRecord| !app.is_past(record.expires_at))
            .ok_or(Error::UnknownWebSocketToken)?;
    if record.execution_id.as_str() == id { Ok(record.execution_id) } else { Err(Error::TokenOfAnotherExecution) }
}
