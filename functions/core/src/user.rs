//! Users: who may hold keys, with which role. No other module writes the users table.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use jiff::Timestamp;
pub use runvoy_api_types::User;
use serde::{Deserialize, Serialize};

use crate::{
    App, Email, Error, RequestId, Result,
    auth::Role,
    claim::{self, NewClaim},
    error::Service,
    key::{self, ApiKey, ApiKeyHash},
    table::{self, Transacted, string},
    time,
};

/// How often a revocation reads a user again whose record has changed meanwhile.
const ATTEMPTS: u32 = 5;

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

/// A user who is to be created.
#[derive(Debug)]
pub struct NewUser<'a> {
    pub email: Email,
    pub role: Role,
    pub request_id: &'a RequestId,
}

impl NewUser<'_> {
    fn user(&self, app: &App) -> User {
        User {
            email: self.email.clone(),
            role: self.role,
            created_at: app.now(),
            revoked: false,
            last_used: None,
            created_by_request_id: self.request_id.clone(),
            modified_by_request_id: self.request_id.clone(),
        }
    }

    fn exists(&self) -> Error {
        Error::conflict(format!("a user {} exists already", self.email))
            .with_hint("GET /api/v1/users lists the users; choose another address")
    }
}

/// Creates a user, and the claim by which their key is handed over. Returns the claim's token.
///
/// For a user who has not claimed a key yet, a new claim takes the place of the old one, whose token stops working. This is how an
/// admin replaces a link that was lost or has expired.
///
/// # Errors
/// [`Error::Conflict`] when the user has a key already or was revoked.
pub async fn create(app: &App, new: NewUser<'_>) -> Result<(User, String)> {
    let claim = claim::prepare(app, &new.email, new.role)?;
    let record = UserRecord { user: new.user(app), key_hash: None, claim_hash: Some(claim.token_hash.clone()) };
    match table::transact(app, vec![put_new(app, &record)?, claim.put.clone()]).await? {
        Transacted::Done => Ok((record.user, claim.token)),
        Transacted::Refused(_) | Transacted::Conflict => renew_claim(app, &new, claim, record).await,
    }
}

/// Creates a user who has this key from the beginning, without a claim. For programs that make the first admin themselves.
///
/// # Errors
/// [`Error::Conflict`] when there is such a user.
pub async fn create_with_key(app: &App, new: NewUser<'_>, key: &ApiKey) -> Result<User> {
    let record = UserRecord { user: new.user(app), key_hash: Some(key.hash()), claim_hash: None };
    let writes = vec![put_new(app, &record)?, key::put_new(app, key, &new.email, new.role)?];
    match table::transact(app, writes).await? {
        Transacted::Done => Ok(record.user),
        Transacted::Refused(_) | Transacted::Conflict => Err(new.exists()),
    }
}

/// Replaces the claim of a user who has no key yet.
async fn renew_claim(app: &App, new: &NewUser<'_>, claim: NewClaim, record: UserRecord) -> Result<(User, String)> {
    let tables = &app.config.tables;
    let existing: UserRecord =
        table::get(&app.aws.dynamodb, &tables.users, "email", new.email.as_str()).await?.ok_or_else(|| new.exists())?;
    if existing.key_hash.is_some() || existing.user.revoked {
        return Err(new.exists());
    }
    let record = UserRecord {
        user: User {
            created_at: existing.user.created_at,
            created_by_request_id: existing.user.created_by_request_id,
            ..record.user
        },
        ..record
    };
    let put = Put::builder()
        .table_name(&tables.users)
        .set_item(Some(table::to_item(&record)?))
        // The user may claim the old key, or be revoked, between the read and this write.
        .condition_expression("attribute_not_exists(key_hash) AND revoked = :no")
        .expression_attribute_values(":no", AttributeValue::Bool(false))
        .build()?;
    let mut writes = vec![TransactWriteItem::builder().put(put).build(), claim.put];
    if let Some(old) = &existing.claim_hash {
        writes.push(claim::delete(app, old)?);
    }
    match table::transact(app, writes).await? {
        Transacted::Done => Ok((record.user, claim.token)),
        Transacted::Refused(_) | Transacted::Conflict => Err(new.exists()),
    }
}

/// The write that gives a user the key of a claim. It fails when the user has been revoked or has another claim.
pub(crate) fn take_key(
    app: &App,
    email: &Email,
    key_hash: &ApiKeyHash,
    claim_hash: &str,
    request_id: &RequestId,
) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.users)
        .key("email", string(email.as_str()))
        .update_expression("SET key_hash = :hash, modified_by_request_id = :request")
        .condition_expression("revoked = :no AND (attribute_not_exists(claim_hash) OR claim_hash = :claim)")
        .expression_attribute_values(":claim", string(claim_hash))
        .expression_attribute_values(":hash", string(key_hash.as_str()))
        .expression_attribute_values(":request", string(request_id.as_str()))
        .expression_attribute_values(":no", AttributeValue::Bool(false))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// The write that notes when a user was last active.
pub(crate) fn note_use(app: &App, email: &Email, at: Timestamp) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.users)
        .key("email", string(email.as_str()))
        .update_expression("SET last_used = :now")
        .condition_expression("attribute_exists(email)")
        .expression_attribute_values(":now", string(time::rfc3339(at)))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
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
                writes.push(key::revoke(app, hash)?);
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

fn put_new(app: &App, record: &UserRecord) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(&app.config.tables.users)
        .set_item(Some(table::to_item(record)?))
        .condition_expression("attribute_not_exists(email)")
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}
