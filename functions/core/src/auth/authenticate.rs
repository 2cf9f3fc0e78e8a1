use std::time::Duration;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ApiKey, ApiKeyHash, Role};
use crate::{
    App, Error, Result,
    email::Email,
    table::{self, string},
    time,
};

/// How often `last_used` is refreshed at most.
const LAST_USED_INTERVAL: Duration = Duration::from_secs(60);

/// An item of the api-keys table: what one read needs to know who calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    pub key_hash: ApiKeyHash,
    pub email: Email,
    pub role: Role,
    pub revoked: bool,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub email: Email,
    pub role: Role,
}

/// Finds out who presents this key: one strongly consistent read, so that a revoked key stops working at once.
///
/// # Errors
/// [`Error::NoApiKey`], [`Error::UnknownApiKey`], [`Error::RevokedApiKey`]; [`Error::Database`] when DynamoDB cannot say.
pub async fn authenticate(app: &App, key: Option<&str>) -> Result<Principal> {
    let key = key.map(str::trim).filter(|key| !key.is_empty()).ok_or(Error::NoApiKey)?;
    let hash = ApiKey::presented(key)?.hash();
    let record: ApiKeyRecord = table::get(&app.aws.dynamodb, &app.config.tables.api_keys, "key_hash", hash.as_str())
        .await?
        .filter(|record: &ApiKeyRecord| record.key_hash == hash)
        .ok_or(Error::UnknownApiKey)?;
    if record.revoked {
        return Err(Error::RevokedApiKey);
    }
    refresh_last_used(app, &record);
    Ok(Principal { email: record.email, role: record.role })
}

/// Notes that the key was used, beside the request and never in its way.
fn refresh_last_used(app: &App, record: &ApiKeyRecord) {
    let now = app.now();
    let fresh = record.last_used.is_some_and(|last| now.duration_since(last).unsigned_abs() < LAST_USED_INTERVAL);
    if fresh {
        return;
    }
    let (app, record) = (app.clone(), record.clone());
    tokio::spawn(async move {
        if let Err(error) = touch(&app, &record, now).await {
            tracing::debug!(%error, "last_used was not refreshed");
        }
    });
}

/// Notes when a key was last used, on the user and on the key.
async fn touch(app: &App, record: &ApiKeyRecord, now: Timestamp) -> Result<()> {
    let tables = &app.config.tables;
    let update = |table: &str, key: &str, value: &str| -> Result<TransactWriteItem> {
        let update = Update::builder()
            .table_name(table)
            .key(key, string(value))
            .update_expression("SET last_used = :now")
            .condition_expression(format!("attribute_exists({key})"))
            .expression_attribute_values(":now", string(time::rfc3339(now)))
            .build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    };
    app.aws
        .dynamodb
        .transact_write_items()
        .transact_items(update(&tables.users, "email", record.email.as_str())?)
        .transact_items(update(&tables.api_keys, "key_hash", record.key_hash.as_str())?)
        .send()
        .await?;
    Ok(())
}
