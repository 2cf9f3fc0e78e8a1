//! Reads and writes the items of the api-keys table: all that one read needs to tell who a caller is.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ApiKey, ApiKeyHash};
use crate::{
    App, Email, Result,
    auth::Role,
    table::{self, string},
    time,
};

/// An item of the api-keys table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApiKeyRecord {
    pub(crate) key_hash: ApiKeyHash,
    pub(crate) email: Email,
    pub(crate) role: Role,
    pub(crate) revoked: bool,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(crate) last_used: Option<Timestamp>,
}

/// The record of a key, by one strongly consistent read.
pub(crate) async fn find(app: &App, hash: &ApiKeyHash) -> Result<Option<ApiKeyRecord>> {
    let found: Option<ApiKeyRecord> =
        table::get(&app.aws.dynamodb, &app.config.tables.api_keys, "key_hash", hash.as_str()).await?;
    Ok(found.filter(|record| record.key_hash == *hash))
}

/// The write that stores a new key. It fails when there is such a key.
pub(crate) fn put_new(app: &App, key: &ApiKey, email: &Email, role: Role) -> Result<TransactWriteItem> {
    let record = ApiKeyRecord { key_hash: key.hash(), email: email.clone(), role, revoked: false, last_used: None };
    let put = Put::builder()
        .table_name(&app.config.tables.api_keys)
        .set_item(Some(table::to_item(&record)?))
        .condition_expression("attribute_not_exists(key_hash)")
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// The write that revokes a key.
pub(crate) fn revoke(app: &App, hash: &ApiKeyHash) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.api_keys)
        .key("key_hash", string(hash.as_str()))
        .update_expression("SET revoked = :yes")
        .condition_expression("attribute_exists(key_hash)")
        .expression_attribute_values(":yes", AttributeValue::Bool(true))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// The write that notes when a key was used.
pub(crate) fn note_use(app: &App, hash: &ApiKeyHash, at: Timestamp) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.api_keys)
        .key("key_hash", string(hash.as_str()))
        .update_expression("SET last_used = :now")
        .condition_expression("attribute_exists(key_hash)")
        .expression_attribute_values(":now", string(time::rfc3339(at)))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
}
