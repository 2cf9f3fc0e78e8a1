//! Reads and writes the items of the api-keys table. An item has all that tells who a caller is, so that a request takes one read for it.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use jiff::Timestamp;
use runvoy_api_types::{Key, KeyScope, Role, text};
use serde::{Deserialize, Serialize};

use super::{ApiKey, ApiKeyHash};
use crate::{
    App, Email, Error, Result,
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
    #[serde(default)]
    name: String,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(crate) last_used: Option<Timestamp>,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<KeyScope>,
}

impl From<ApiKeyRecord> for Key {
    fn from(record: ApiKeyRecord) -> Self {
        let ApiKeyRecord { key_hash, email, name, created_at, last_used, expires_at, scope, .. } = record;
        let name = if name.is_empty() { FIRST.to_owned() } else { name };
        Self { key_id: key_hash.id(), name, email, created_at, last_used, expires_at, scope }
    }
}

/// The name of a key that was claimed.
const FIRST: &str = "claimed";
/// The longest name of a key, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// The longest life that a key can be given: ten years. Without one, it lives until it is deleted.
const MAX_LIFETIME: Duration = Duration::from_hours(87600);

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub email: Email,
    pub role: Role,
    pub name: String,
    pub expires_in: Option<Duration>,
    pub scope: Option<KeyScope>,
}

impl NewKey {
    /// The key that a user claims.
    pub(crate) fn first(email: &Email, role: Role) -> Self {
        Self { email: email.clone(), role, name: FIRST.to_owned(), expires_in: None, scope: None }
    }

    /// # Errors
    /// [`Error::Invalid`] for a name or a lifetime that no key can have.
    pub fn check(&self) -> Result<()> {
        if !(1..=MAX_NAME_BYTES).contains(&self.name.trim().len()) {
            return Err(Error::invalid(format!("name must have 1 to {MAX_NAME_BYTES} bytes")).at_field("name"));
        }
        text::check_line("name", &self.name)?;
        if self.expires_in.is_some_and(|time| time > MAX_LIFETIME) {
            return Err(Error::invalid(format!("expires_in must be at most {} seconds", MAX_LIFETIME.as_secs()))
                .at_field("expires_in"));
        }
        Ok(())
    }

    fn record(&self, app: &App, hash: ApiKeyHash) -> ApiKeyRecord {
        let now = app.now();
        ApiKeyRecord {
            key_hash: hash,
            email: self.email.clone(),
            role: self.role,
            revoked: false,
            name: self.name.clone(),
            created_at: Some(now),
            last_used: None,
            expires_at: self.expires_in.and_then(|time| now.checked_add(time).ok()),
            scope: self.scope.clone(),
        }
    }

    /// The key as the API shows it.
    pub(crate) fn shown(&self, app: &App, hash: &ApiKeyHash) -> Key {
        self.record(app, hash.clone()).into()
    }
}

/// The name of a key in entries of the audit.
pub(crate) fn resource(hash: &ApiKeyHash) -> String {
    format!("key:{}", hash.id())
}

/// The record of a key, by one strongly consistent read.
pub(crate) async fn find(app: &App, hash: &ApiKeyHash) -> Result<Option<ApiKeyRecord>> {
    table::get(&app.aws.dynamodb, &app.config.tables.api_keys, "key_hash", hash.as_str()).await
}

/// Several keys, in no particular order.
pub(crate) async fn find_all<'a>(app: &App, hashes: impl Iterator<Item = &'a ApiKeyHash>) -> Result<Vec<Key>> {
    let hashes: Vec<String> = hashes.map(|hash| hash.as_str().to_owned()).collect();
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let records: Vec<ApiKeyRecord> = table::batch_get(app, &app.config.tables.api_keys, "key_hash", hashes).await?;
    Ok(records.into_iter().map(Key::from).collect())
}

/// The write that stores a new key. It fails when there is such a key.
pub(crate) fn put_new(app: &App, key: &ApiKey, new: &NewKey) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(&app.config.tables.api_keys)
        .set_item(Some(table::to_item(&new.record(app, key.hash()))?))
        .condition_expression("attribute_not_exists(key_hash)")
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// The write that gives a key the role of its user, and revokes it or lets it in again.
pub(crate) fn change(app: &App, hash: &ApiKeyHash, role: Role, revoked: bool) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.api_keys)
        .key("key_hash", string(hash.as_str()))
        .update_expression("SET revoked = :revoked, #role = :role")
        .condition_expression("attribute_exists(key_hash)")
        .expression_attribute_names("#role", "role")
        .expression_attribute_values(":revoked", AttributeValue::Bool(revoked))
        .expression_attribute_values(":role", string(role.to_string()))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// The write that deletes a key.
pub(crate) fn delete(app: &App, hash: &ApiKeyHash) -> Result<TransactWriteItem> {
    let delete =
        Delete::builder().table_name(&app.config.tables.api_keys).key("key_hash", string(hash.as_str())).build()?;
    Ok(TransactWriteItem::builder().delete(delete).build())
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
