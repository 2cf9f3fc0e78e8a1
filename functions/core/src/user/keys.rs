//! Lists, makes and deletes the keys of a user.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::{ATTEMPTS, UserRecord, get, records};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    error::Service,
    key::{self, ApiKey, ApiKeyHash, Key, NewKey},
    page::{Page, PageRequest},
    table::{Transacted, number, string},
    time,
    websocket::hand_over,
};

/// The keys that one user may have. All of them change in one transaction with the user, and one read finds them.
pub(super) const MAX_KEYS: usize = 20;

/// A page of the keys of a user, oldest first.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user.
pub async fn list_keys(app: &App, email: &Email, request: &PageRequest) -> Result<Page<Key>> {
    let record = get(app, email).await?;
    let mut keys: Vec<Key> = key::find_all(app, record.keys()).await?;
    for key in &mut keys {
        // An earlier version, which allowed one key for each user, did not store when it was made.
        key.created_at.get_or_insert(record.user.created_at);
    }
    let place = |key: &Key| format!("{}#{}", key.created_at.map(time::rfc3339).unwrap_or_default(), key.key_id);
    request.of(keys, place, |key| key.name.clone())
}

/// Makes a key for a user. The key itself is shown once, and only its hash is stored.
///
/// # Errors
/// [`Error::Conflict`] when the user has as many keys as one may have, or has been revoked.
pub async fn create_key(app: &App, new: NewKey, actor: &Actor) -> Result<(ApiKey, Key)> {
    let api_key = ApiKey::generate()?;
    let hash = api_key.hash();
    let add = Update::builder()
        .table_name(&app.config.tables.users)
        .key("email", string(new.email.as_str()))
        .update_expression("SET modified_by_request_id = :request ADD key_hashes :hashes, version :one")
        .condition_expression(
            "revoked = :no AND #role = :role AND (attribute_not_exists(key_hashes) OR size(key_hashes) < :most)",
        )
        .expression_attribute_names("#role", "role")
        .expression_attribute_values(":role", string(new.role.to_string()))
        .expression_attribute_values(":hashes", AttributeValue::Ss(vec![hash.as_str().to_owned()]))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":most", number(MAX_KEYS))
        .expression_attribute_values(":request", string(actor.request_id.as_str()))
        .expression_attribute_values(":no", AttributeValue::Bool(false))
        .build()?;
    let writes = vec![TransactWriteItem::builder().update(add).build(), key::put_new(app, &api_key, &new)?];
    let entry = Entry::done(app, actor, Action::CreateKey, key::resource(&hash))
        .detail("user", new.email.to_string())
        .detail("name", new.name.clone())
        .detail("actions", new.scope.as_ref().and_then(|scope| scope.actions.clone()))
        .detail("playbooks", new.scope.as_ref().and_then(|scope| scope.playbooks.clone()));
    match audit::transact(app, writes, &[entry]).await? {
        Transacted::Done => Ok((api_key, new.shown(app, &hash))),
        Transacted::Refused(_) => {
            Err(Error::conflict(format!("{} has {MAX_KEYS} keys, and can have no more", new.email))
                .with_hint("delete one that is not used any more"))
        }
    }
}

/// Finds a key by its id, and whose it is. The caller's own keys take one read; those of others take all users.
///
/// # Errors
/// [`Error::NotFound`] when there is no such key.
pub async fn find_key(app: &App, key_id: &str, caller: &Email) -> Result<(ApiKeyHash, Email)> {
    let of = |record: &UserRecord| record.keys().find(|hash| hash.id() == key_id).cloned();
    let own = get(app, caller).await?;
    if let Some(hash) = of(&own) {
        return Ok((hash, caller.clone()));
    }
    let found = records(app).await?.into_iter().find_map(|record| Some((of(&record)?, record.user.email)));
    found.ok_or_else(|| Error::not_found("key", key_id))
}

/// Deletes a key, which stops working at once.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it meanwhile.
pub async fn delete_key(app: &App, hash: &ApiKeyHash, email: &Email, actor: &Actor) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let record = get(app, email).await?;
        let remove = if record.key_hash.as_ref() == Some(hash) {
            "SET modified_by_request_id = :request REMOVE key_hash ADD version :one"
        } else if record.key_hashes.contains(hash) {
            "SET modified_by_request_id = :request DELETE key_hashes :hashes ADD version :one"
        } else {
            return Err(Error::not_found("key", hash.id()));
        };
        let mut update = Update::builder()
            .table_name(&app.config.tables.users)
            .key("email", string(email.as_str()))
            .update_expression(remove)
            .condition_expression("version = :version OR attribute_not_exists(version) AND :version = :zero")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":version", number(record.version))
            .expression_attribute_values(":request", string(actor.request_id.as_str()));
        if record.key_hash.as_ref() != Some(hash) {
            let hashes = AttributeValue::Ss(vec![hash.as_str().to_owned()]);
            update = update.expression_attribute_values(":hashes", hashes);
        }
        let writes = vec![TransactWriteItem::builder().update(update.build()?).build(), key::delete(app, hash)?];
        let entry = Entry::done(app, actor, Action::DeleteKey, key::resource(hash)).detail("user", email.to_string());
        if audit::transact(app, writes, &[entry]).await? == Transacted::Done {
            // A failure is only logged: the key is gone, so a repeated request would not find it. A connection that stays open ends with
            // its execution.
            if let Err(error) = hand_over::of_ended_keys(app, std::slice::from_ref(hash)).await {
                tracing::error!(error = %error.chain(), "connections of a deleted key stay open");
            }
            return Ok(());
        }
    }
    Err(Error::unavailable(Service::DynamoDb, format!("the record of {email} kept changing")))
}
