//! Tokens by which a viewer may follow one execution, for a day, as often as it likes.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    App, Error, Result,
    auth::key::{random_text, token_hash},
    execution::ExecutionId,
    table,
};

pub const LIFETIME: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Serialize, Deserialize)]
struct TokenRecord {
    token_hash: String,
    execution_id: ExecutionId,
    /// Seconds since 1970, for DynamoDB's TTL.
    expires_at: i64,
}

/// Makes a token for an execution and returns the URL that a viewer connects to.
pub async fn issue(app: &App, id: &ExecutionId) -> Result<String> {
    store(app, id, random_text::<24>()?).await
}

/// As [`issue`], with a token that is the same each time for the same `seeds`, which must be secret.
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

/// Lets a viewer in.
///
/// # Errors
/// [`Error::UnknownApiKey`] for an unknown or expired token, [`Error::Forbidden`] for one of another execution.
pub async fn check(app: &App, token: &str, id: &str) -> Result<ExecutionId> {
    let record: TokenRecord =
        table::get(&app.aws.dynamodb, &app.config.tables.websocket_tokens, "token_hash", &token_hash(token))
            .await?
            .filter(|record: &TokenRecord| !app.is_past(record.expires_at))
            .ok_or(Error::UnknownApiKey)?;
    if record.execution_id.as_str() == id { Ok(record.execution_id) } else { Err(Error::Forbidden("view")) }
}
