//! Users, their keys, and the claims by which a key is handed over.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::Aead};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    App, Error, RequestId, Result,
    auth::{ApiKey, ApiKeyHash, Role, authenticate::ApiKeyRecord, key},
    email::Email,
    error::Service,
    random::random_text,
    table::{self, Transacted, string},
    time,
};

/// How long a claim link works.
const CLAIM_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How often a revocation reads a user again whose record has changed meanwhile.
const ATTEMPTS: u32 = 5;

/// A user as the API shows one. It has no key.
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
    #[schema(value_type = String)]
    pub created_by_request_id: RequestId,
    #[schema(value_type = String)]
    pub modified_by_request_id: RequestId,
}

/// An item of the users table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UserRecord {
    #[serde(flatten)]
    user: User,
    /// The user's key, once they have claimed it. Revoking the user revokes it in the same transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hash: Option<ApiKeyHash>,
    /// The claim by which the key is handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim_hash: Option<String>,
}

/// An item of the claims table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claim {
    token_hash: String,
    email: Email,
    role: Role,
    /// A key that the admin chose, encrypted with the claim token. If absent, the key is generated when the user claims it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed_key: Option<String>,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    claimed_at: Option<Timestamp>,
    /// Seconds since 1970, for DynamoDB's TTL.
    expires_at: i64,
}

/// A user who is to be created.
#[derive(Debug)]
pub struct NewUser<'a> {
    pub email: Email,
    pub role: Role,
    /// A key that the admin chose, which works at once.
    pub key: Option<&'a ApiKey>,
    pub request_id: &'a RequestId,
}

/// Creates a user, and the claim by which their key is handed over. Returns the claim's token.
///
/// For a user who has not claimed a key yet, a new claim takes the place of the old one, whose token stops working. This is how an
/// admin replaces a link that was lost or has expired.
///
/// # Errors
/// [`Error::Conflict`] when the user has a key already or was revoked, or when another user has the chosen key.
pub async fn create(app: &App, new: NewUser<'_>) -> Result<(User, String)> {
    const USER: usize = 0;
    let tables = &app.config.tables;
    let token = random_text::<32>()?;
    let user = User {
        email: new.email.clone(),
        role: new.role,
        created_at: app.now(),
        revoked: false,
        last_used: None,
        created_by_request_id: new.request_id.clone(),
        modified_by_request_id: new.request_id.clone(),
    };
    let claim = Claim {
        token_hash: key::token_hash(&token),
        email: new.email.clone(),
        role: new.role,
        sealed_key: new.key.map(|key| seal(&token, key)).transpose()?,
        claimed_at: None,
        expires_at: app.expiry(CLAIM_LIFETIME),
    };
    let record = UserRecord { user, key_hash: new.key.map(ApiKey::hash), claim_hash: Some(claim.token_hash.clone()) };
    let put_claim = put_new(&tables.claims, table::to_item(&claim)?, "token_hash")?;

    let mut writes = vec![put_new(&tables.users, table::to_item(&record)?, "email")?, put_claim.clone()];
    if let Some(key) = new.key {
        writes.push(put_new_key(app, key, &new.email, new.role)?);
    }
    match table::transact(app, writes).await? {
        Transacted::Refused(USER) => {
            let user = renew_claim(app, &new, put_claim, &record).await?;
            Ok((user, token))
        }
        Transacted::Refused(_) => Err(Error::conflict(
            "another user has that API key",
            "choose another, or leave it out to have one generated",
        )),
        Transacted::Done | Transacted::Conflict => Ok((record.user, token)),
    }
}

/// Replaces the claim of a user who has no key yet.
async fn renew_claim(app: &App, new: &NewUser<'_>, put_claim: TransactWriteItem, record: &UserRecord) -> Result<User> {
    let exists = || {
        Error::conflict(
            format!("a user {} exists already", new.email),
            "GET /api/v1/users lists the users; choose another address",
        )
    };
    let tables = &app.config.tables;
    let existing: UserRecord =
        table::get(&app.aws.dynamodb, &tables.users, "email", new.email.as_str()).await?.ok_or_else(exists)?;
    if existing.key_hash.is_some() || existing.user.revoked {
        return Err(exists());
    }
    let record = UserRecord {
        user: User {
            created_at: existing.user.created_at,
            created_by_request_id: existing.user.created_by_request_id,
            ..record.user.clone()
        },
        ..record.clone()
    };
    let put = Put::builder()
        .table_name(&tables.users)
        .set_item(Some(table::to_item(&record)?))
        // The user may claim the old key, or be revoked, between the read and this write.
        .condition_expression("attribute_not_exists(key_hash) AND revoked = :no")
        .expression_attribute_values(":no", AttributeValue::Bool(false))
        .build()?;
    let mut writes = vec![TransactWriteItem::builder().put(put).build(), put_claim];
    if let Some(key) = new.key {
        writes.push(put_new_key(app, key, &new.email, new.role)?);
    }
    if let Some(old) = &existing.claim_hash {
        let delete = Delete::builder().table_name(&tables.claims).key("token_hash", string(old)).build()?;
        writes.push(TransactWriteItem::builder().delete(delete).build());
    }
    match table::transact(app, writes).await? {
        Transacted::Done => Ok(record.user),
        Transacted::Refused(_) | Transacted::Conflict => Err(exists()),
    }
}

/// Whether a claim token can be used. Changes nothing.
///
/// # Errors
/// As [`claim`].
pub async fn find_claim(app: &App, token: &str) -> Result<()> {
    read_claim(app, token).await.map(drop)
}

async fn read_claim(app: &App, token: &str) -> Result<Claim> {
    let hash = key::token_hash(token);
    let claim: Claim = table::get(&app.aws.dynamodb, &app.config.tables.claims, "token_hash", &hash)
        .await?
        .ok_or(Error::UnknownClaim)?;
    if app.is_past(claim.expires_at) {
        return Err(Error::UnknownClaim);
    }
    if claim.claimed_at.is_some() {
        return Err(claimed());
    }
    Ok(claim)
}

fn claimed() -> Error {
    Error::conflict("key has already been claimed", "")
}

/// Hands over the key of a claim. A token works once, for [`CLAIM_LIFETIME`].
///
/// # Errors
/// [`Error::UnknownClaim`], also for an expired token, and [`Error::Conflict`] for one that was used.
pub async fn claim(app: &App, token: &str, request_id: &RequestId) -> Result<(ApiKey, Email)> {
    let tables = &app.config.tables;
    let claim = read_claim(app, token).await?;
    let mark = Update::builder()
        .table_name(&tables.claims)
        .key("token_hash", string(&claim.token_hash))
        .update_expression("SET claimed_at = :now REMOVE sealed_key")
        .condition_expression("attribute_exists(token_hash) AND attribute_not_exists(claimed_at)")
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .build()?;
    let mut writes = vec![TransactWriteItem::builder().update(mark).build()];
    // The index of the write that fails when the user has been revoked or has another claim.
    const USER: usize = 2;
    let key = match &claim.sealed_key {
        Some(sealed) => unseal(token, sealed)?,
        None => {
            let key = ApiKey::generate()?;
            writes.push(put_new_key(app, &key, &claim.email, claim.role)?);
            let own = Update::builder()
                .table_name(&tables.users)
                .key("email", string(claim.email.as_str()))
                .update_expression("SET key_hash = :hash, modified_by_request_id = :request")
                .condition_expression("revoked = :no AND (attribute_not_exists(claim_hash) OR claim_hash = :claim)")
                .expression_attribute_values(":claim", string(&claim.token_hash))
                .expression_attribute_values(":hash", string(key.hash().as_str()))
                .expression_attribute_values(":request", string(request_id.as_str()))
                .expression_attribute_values(":no", AttributeValue::Bool(false))
                .build()?;
            writes.push(TransactWriteItem::builder().update(own).build());
            key
        }
    };
    // Of two claims of one token at the same time, one is refused or in conflict. It is not repeated: the other one wins.
    match table::transact_once(app, writes).await? {
        Transacted::Done => Ok((key, claim.email)),
        Transacted::Refused(USER) => Err(Error::UnknownClaim),
        Transacted::Refused(_) | Transacted::Conflict => Err(claimed()),
    }
}

/// Revokes a user and their key, which stops working at once.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user.
pub async fn revoke(app: &App, email: &Email, request_id: &RequestId) -> Result<()> {
    let tables = &app.config.tables;
    // The user may claim a key between the read and the write. The condition fails then, and the record is read again.
    for _ in 0..ATTEMPTS {
        let record: UserRecord = table::get(&app.aws.dynamodb, &tables.users, "email", email.as_str())
            .await?
            .ok_or_else(|| Error::not_found("user", email.as_str()))?;
        let mut user = Update::builder()
            .table_name(&tables.users)
            .key("email", string(email.as_str()))
            .update_expression("SET revoked = :yes, modified_by_request_id = :request")
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":request", string(request_id.as_str()));
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
                    .expression_attribute_values(":yes", AttributeValue::Bool(true))
                    .build()?;
                writes.push(TransactWriteItem::builder().update(key).build());
            }
        }
        writes.push(TransactWriteItem::builder().update(user.build()?).build());
        if table::transact(app, writes).await? == Transacted::Done {
            return Ok(());
        }
    }
    Err(Error::unavailable(Service::DynamoDb, format!("the record of {email} kept changing")))
}

/// All users, sorted by address.
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

/// Encrypts a key with its claim token. Each token encrypts one message only, so the nonce can be fixed.
fn seal(token: &str, key: &ApiKey) -> Result<String> {
    let sealed = cipher(token)
        .encrypt(&Default::default(), key.expose().as_bytes())
        .map_err(|_| Error::bug("a key could not be encrypted"))?;
    Ok(STANDARD.encode(sealed))
}

fn unseal(token: &str, sealed: &str) -> Result<ApiKey> {
    let bad = || Error::bug("the key of a claim cannot be decrypted");
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
