//! Users, their keys, and the links by which a key is handed over.

use std::time::Duration;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::Aead};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    App, Error, Result,
    auth::{ApiKey, ApiKeyHash, Role, authenticate::ApiKeyRecord, key},
    email::Email,
    table::{self, cancellation_codes, string},
    time,
};

/// How long a claim link works.
pub const CLAIM_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// A user as the API shows one; never with a key.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct User {
    pub email: Email,
    pub role: Role,
    #[serde(with = "time::as_rfc3339")]
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    pub revoked: bool,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub last_used: Option<Timestamp>,
    pub created_by_request_id: String,
    pub modified_by_request_id: String,
}

/// An item of the users table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UserRecord {
    #[serde(flatten)]
    user: User,
    /// The user's key, once there is one: revoking the user revokes it in the same transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hash: Option<ApiKeyHash>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claim {
    token_hash: String,
    email: Email,
    role: Role,
    /// A key that the admin chose, readable only with the claim token. Absent: the key is made at the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed_key: Option<String>,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    claimed_at: Option<Timestamp>,
    /// Seconds since 1970, for DynamoDB's TTL.
    expires_at: i64,
}

/// A user who is to be.
#[derive(Debug)]
pub struct NewUser<'a> {
    pub email: Email,
    pub role: Role,
    /// A key that the admin chose; it works at once.
    pub key: Option<&'a ApiKey>,
    pub request_id: &'a str,
}

/// Creates a user, with its key if one was chosen, and the claim by which the key is handed over. Returns the claim's token.
///
/// # Errors
/// [`Error::Conflict`] when the user exists or the key is somebody's already.
pub async fn create(app: &App, new: NewUser<'_>) -> Result<(User, String)> {
    let tables = &app.config.tables;
    let token = key::random_text::<32>()?;
    let user = User {
        email: new.email.clone(),
        role: new.role,
        created_at: app.now(),
        revoked: false,
        last_used: None,
        created_by_request_id: new.request_id.to_owned(),
        modified_by_request_id: new.request_id.to_owned(),
    };
    let record = UserRecord { user: user.clone(), key_hash: new.key.map(ApiKey::hash) };
    let claim = Claim {
        token_hash: key::token_hash(&token),
        email: new.email.clone(),
        role: new.role,
        sealed_key: new.key.map(|key| seal(&token, key)).transpose()?,
        claimed_at: None,
        expires_at: app.expiry(CLAIM_LIFETIME),
    };

    let mut writes = vec![
        put_new(&tables.users, table::to_item(&record)?, "email")?,
        put_new(&tables.claims, table::to_item(&claim)?, "token_hash")?,
    ];
    if let Some(key) = new.key {
        writes.push(put_new_key(app, key, &new.email, new.role)?);
    }
    match app.aws.dynamodb.transact_write_items().set_transact_items(Some(writes)).send().await {
        Ok(_) => Ok((user, token)),
        Err(error) => Err(match cancellation_codes(&error).iter().position(|code| code == "ConditionalCheckFailed") {
            Some(0) => Error::Conflict(format!("a user {} exists already", new.email)),
            Some(_) => Error::Conflict("that API key is in use already; choose another, or leave it out".to_owned()),
            None => error.into(),
        }),
    }
}

/// Hands over the key that a claim token stands for. Works once, for [`CLAIM_LIFETIME`].
///
/// # Errors
/// [`Error::UnknownClaim`], also for an expired token, [`Error::Conflict`] for one that was used.
pub async fn claim(app: &App, token: &str, request_id: &str) -> Result<(ApiKey, Email)> {
    let tables = &app.config.tables;
    let claim: Claim = table::get(&app.aws.dynamodb, &tables.claims, "token_hash", &key::token_hash(token))
        .await?
        .ok_or(Error::UnknownClaim)?;
    if app.is_past(claim.expires_at) {
        return Err(Error::UnknownClaim);
    }
    let claimed = || Error::Conflict("key has already been claimed".to_owned());
    if claim.claimed_at.is_some() {
        return Err(claimed());
    }

    let mark = Update::builder()
        .table_name(&tables.claims)
        .key("token_hash", string(&claim.token_hash))
        .update_expression("SET claimed_at = :now REMOVE sealed_key")
        .condition_expression("attribute_exists(token_hash) AND attribute_not_exists(claimed_at)")
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .build()?;
    let mut writes = vec![TransactWriteItem::builder().update(mark).build()];
    let key = match &claim.sealed_key {
        Some(sealed) => unseal(token, sealed)?,
        None => {
            let key = ApiKey::generate()?;
            writes.push(put_new_key(app, &key, &claim.email, claim.role)?);
            let own = Update::builder()
                .table_name(&tables.users)
                .key("email", string(claim.email.as_str()))
                .update_expression("SET key_hash = :hash, modified_by_request_id = :request")
                .condition_expression("revoked = :no")
                .expression_attribute_values(":hash", string(key.hash().as_str()))
                .expression_attribute_values(":request", string(request_id))
                .expression_attribute_values(":no", aws_sdk_dynamodb::types::AttributeValue::Bool(false))
                .build()?;
            writes.push(TransactWriteItem::builder().update(own).build());
            key
        }
    };
    match app.aws.dynamodb.transact_write_items().set_transact_items(Some(writes)).send().await {
        Ok(_) => Ok((key, claim.email)),
        Err(error) => {
            let codes = cancellation_codes(&error);
            let refused = codes.iter().position(|code| code == "ConditionalCheckFailed");
            Err(match refused {
                Some(2) => Error::UnknownClaim,
                Some(_) => claimed(),
                // Another claim of the same token is being committed at this moment: exactly one of them wins.
                None if codes.iter().any(|code| code == "TransactionConflict") => claimed(),
                None => error.into(),
            })
        }
    }
}

/// Takes a user's key away. It stops working at once.
pub async fn revoke(app: &App, email: &Email, request_id: &str) -> Result<()> {
    let tables = &app.config.tables;
    // The key may be claimed between the read and the write: the condition then fails, and we look again.
    for _ in 0..5 {
        let record: UserRecord = table::get(&app.aws.dynamodb, &tables.users, "email", email.as_str())
            .await?
            .ok_or_else(|| Error::not_found("user", email.as_str()))?;
        let mut user = Update::builder()
            .table_name(&tables.users)
            .key("email", string(email.as_str()))
            .update_expression("SET revoked = :yes, modified_by_request_id = :request")
            .expression_attribute_values(":yes", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
            .expression_attribute_values(":request", string(request_id));
        let mut writes = Vec::new();
        match &record.key_hash {
            None => user = user.condition_expression("attribute_exists(email) AND attribute_not_exists(key_hash)"),
            Some(hash) => {
                user = user
                    .condition_expression("key_hash = :hash")
                    .expression_attribute_values(":hash", string(hash.as_str()));
                let key = Update::builder()
                    .table_name(&tables.api_keys)
                    .key("key_hash", string(hash.as_str()))
                    .update_expression("SET revoked = :yes")
                    .condition_expression("attribute_exists(key_hash)")
                    .expression_attribute_values(":yes", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
                    .build()?;
                writes.push(TransactWriteItem::builder().update(key).build());
            }
        }
        writes.push(TransactWriteItem::builder().update(user.build()?).build());
        match app.aws.dynamodb.transact_write_items().set_transact_items(Some(writes)).send().await {
            Ok(_) => return Ok(()),
            Err(error) if cancellation_codes(&error).is_empty() => return Err(error.into()),
            Err(_) => continue,
        }
    }
    Err(Error::Database(format!("user {email} kept changing while being revoked")))
}

/// All users, by e-mail.
pub async fn list(app: &App) -> Result<Vec<User>> {
    let mut users: Vec<User> = table::scan::<UserRecord>(&app.aws.dynamodb, &app.config.tables.users)
        .await?
        .into_iter()
        .map(|record| record.user)
        .collect();
    users.sort_by(|a, b| a.email.cmp(&b.email));
    Ok(users)
}

fn put_new(table: &str, item: table::Item, key: &str) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression(format!("attribute_not_exists({key})"))
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

fn put_new_key(app: &App, key: &ApiKey, email: &Email, role: Role) -> Result<TransactWriteItem> {
    let record = ApiKeyRecord { key_hash: key.hash(), email: email.clone(), role, revoked: false, last_used: None };
    put_new(&app.config.tables.api_keys, table::to_item(&record)?, "key_hash")
}

/// Encrypts a key so that only the claim token opens it. The token is used for this one message, so the nonce is fixed.
fn seal(token: &str, key: &ApiKey) -> Result<String> {
    let sealed = cipher(token)
        .encrypt(&Default::default(), key.expose().as_bytes())
        .map_err(|_| Error::Internal("the key could not be sealed".to_owned()))?;
    Ok(STANDARD.encode(sealed))
}

fn unseal(token: &str, sealed: &str) -> Result<ApiKey> {
    let bad = || Error::Internal("a claim's sealed key does not open".to_owned());
    let sealed = STANDARD.decode(sealed).map_err(|_| bad())?;
    let key = cipher(token).decrypt(&Default::default(), sealed.as_slice()).map_err(|_| bad())?;
    ApiKey::presented(&String::from_utf8(key).map_err(|_| bad())?).map_err(|_| bad())
}

fn cipher(token: &str) -> ChaCha20Poly1305 {
    let key = Sha256::new().chain_update("runvoy claim\0").chain_update(token).finalize();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&key);
    ChaCha20Poly1305::new(&bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_claim_token_opens_a_sealed_key() {
        let key = ApiKey::generate().unwrap();
        let sealed = seal("token", &key).unwrap();
        assert!(!sealed.contains(key.expose()));
        assert_eq!(unseal("token", &sealed).unwrap().expose(), key.expose());
        assert!(unseal("other", &sealed).is_err());
    }
}
