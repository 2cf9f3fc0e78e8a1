//! Creates users, and lists them. The users table says who may hold keys, with which role, and which keys those are; no other module
//! writes it.

mod change;
mod keys;
mod last_used;
mod owners;
mod redeem;

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use change::{Change, change, renew_claim};
pub use keys::{create_key, delete_key, find_key, list_keys};
pub use last_used::note_use;
pub use owners::owners;
pub use redeem::redeem;

pub use runvoy_api_types::{ListedUser, User};

use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::{Action, Principal, Role},
    claim::{self, NewClaim},
    key::{self, ApiKey, ApiKeyHash, NewKey},
    page::{Page, PageRequest},
    table::{self, Transacted},
};

/// The number of times that a change of a user is tried. It is tried again when the record has changed since it was read.
const ATTEMPTS: u32 = 5;

/// An item of the users table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UserRecord {
    #[serde(flatten)]
    user: User,
    /// The key of a user whom an earlier version of the program created, which allowed one key for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_hash: Option<ApiKeyHash>,
    /// The user's keys. A change of the user changes them in the same transaction.
    #[serde(default, with = "serde_dynamo::string_set", skip_serializing_if = "Vec::is_empty")]
    key_hashes: Vec<ApiKeyHash>,
    /// The claim by which a key is handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim_hash: Option<String>,
    /// Counts the changes of the role, the revocation and the keys, so that a change that has read them notices another one.
    #[serde(default)]
    version: u64,
}

impl UserRecord {
    fn new(user: User) -> Self {
        Self { user, key_hash: None, key_hashes: Vec::new(), claim_hash: None, version: 0 }
    }

    /// All keys of the user.
    fn keys(&self) -> impl Iterator<Item = &ApiKeyHash> {
        self.key_hash.iter().chain(&self.key_hashes)
    }
}

/// The name of a user in entries of the audit.
fn resource(email: &Email) -> String {
    format!("user:{email}")
}

/// A user who is to be created.
#[derive(Debug)]
pub struct NewUser<'a> {
    pub email: Email,
    pub role: Role,
    pub actor: &'a Actor,
}

impl NewUser<'_> {
    fn user(&self, app: &App) -> User {
        User {
            email: self.email.clone(),
            role: self.role,
            created_at: app.now(),
            revoked: false,
            last_used: None,
            created_by_request_id: self.actor.request_id.clone(),
            modified_by_request_id: self.actor.request_id.clone(),
        }
    }

    fn entry(&self, app: &App) -> Entry {
        Entry::done(app, self.actor, Action::CreateUser, resource(&self.email)).detail("role", self.role.to_string())
    }

    fn exists(&self) -> Error {
        Error::conflict(format!("a user {} exists already", self.email)).with_hint(
            "GET /api/v1/users lists the users; POST /api/v1/users/{email}/claim makes a new link for one who has lost the key",
        )
    }
}

/// Creates a user, and the claim by which their key is handed over. Returns the claim's token.
///
/// For a user who has no key yet, a new claim takes the place of the old one, whose token stops working. This is how an admin replaces
/// a link that was lost or has expired.
///
/// # Errors
/// [`Error::Conflict`] when the user has a key already or was revoked.
pub async fn create(app: &App, new: NewUser<'_>) -> Result<(User, String)> {
    let claim = claim::prepare(app, &new.email, new.role)?;
    let record = UserRecord { claim_hash: Some(claim.token_hash.clone()), ..UserRecord::new(new.user(app)) };
    let writes = vec![put_new(app, &record)?, claim.put.clone()];
    match audit::transact(app, writes, &[new.entry(app)]).await? {
        Transacted::Done => Ok((record.user, claim.token)),
        Transacted::Refused(_) => create_again(app, &new, claim, record).await,
    }
}

/// Creates a user who has this key from the beginning, without a claim. For programs that make the first admin themselves.
///
/// # Errors
/// [`Error::Conflict`] when there is such a user.
pub async fn create_with_key(app: &App, new: NewUser<'_>, key: &ApiKey) -> Result<User> {
    let record = UserRecord { key_hashes: vec![key.hash()], ..UserRecord::new(new.user(app)) };
    let first = NewKey::first(&new.email, new.role);
    let writes = vec![put_new(app, &record)?, key::put_new(app, key, &first)?];
    match audit::transact(app, writes, &[new.entry(app)]).await? {
        Transacted::Done => Ok(record.user),
        Transacted::Refused(_) => Err(new.exists()),
    }
}

/// Replaces the claim of a user who has no key yet.
async fn create_again(app: &App, new: &NewUser<'_>, claim: NewClaim, record: UserRecord) -> Result<(User, String)> {
    let existing = find(app, &new.email).await?.ok_or_else(|| new.exists())?;
    if existing.user.revoked {
        return Err(Error::conflict(format!("{} has been revoked", new.email))
            .with_hint("let the user in again: PUT /api/v1/users/{email} with revoked false"));
    }
    if existing.keys().next().is_some() {
        return Err(new.exists());
    }
    let record = UserRecord {
        user: User {
            created_at: existing.user.created_at,
            created_by_request_id: existing.user.created_by_request_id,
            ..record.user
        },
        version: existing.version,
        ..record
    };
    let put = Put::builder()
        .table_name(&app.config.tables.users)
        .set_item(Some(table::to_item(&record)?))
        // The user may claim the old key, or be revoked, between the read and this write.
        .condition_expression("attribute_not_exists(key_hash) AND attribute_not_exists(key_hashes) AND revoked = :no")
        .expression_attribute_values(":no", AttributeValue::Bool(false))
        .build()?;
    let mut writes = vec![TransactWriteItem::builder().put(put).build(), claim.put];
    if let Some(old) = &existing.claim_hash {
        writes.push(claim::delete(app, old)?);
    }
    match audit::transact(app, writes, &[new.entry(app)]).await? {
        Transacted::Done => Ok((record.user, claim.token)),
        Transacted::Refused(_) => Err(new.exists()),
    }
}

/// All users, sorted by address.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn list(app: &App) -> Result<Vec<User>> {
    let mut users: Vec<User> = records(app).await?.into_iter().map(|record| record.user).collect();
    users.sort_by(|a, b| a.email.cmp(&b.email));
    Ok(users)
}

/// A page of the users, by address.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn page(app: &App, request: &PageRequest) -> Result<Page<ListedUser>> {
    let listed = |record: UserRecord| {
        let claimed = record.keys().next().is_some();
        ListedUser { user: record.user, claimed }
    };
    let mut users: Vec<ListedUser> = records(app).await?.into_iter().map(listed).collect();
    users.sort_by(|a, b| a.user.email.cmp(&b.user.email));
    request.of(users, |one| one.user.email.to_string(), |one| one.user.email.to_string())
}

/// A user as the principal of what happens in the user's name without a key. `None` for a user who does not exist or is revoked.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn principal(app: &App, email: &Email) -> Result<Option<Principal>> {
    let user = find(app, email).await?.map(|record| record.user).filter(|user| !user.revoked);
    Ok(user.map(|user| Principal::without_key(user.email, user.role)))
}

/// Those of the addresses that belong to users who are not revoked.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(crate) async fn active(app: &App, emails: &[&Email]) -> Result<BTreeSet<Email>> {
    let distinct: BTreeSet<String> = emails.iter().map(ToString::to_string).collect();
    let distinct: Vec<String> = distinct.into_iter().collect();
    let batches = distinct
        .chunks(table::MAX_BATCH_GET)
        .map(|batch| table::batch_get::<UserRecord>(app, &app.config.tables.users, "email", batch.iter().cloned()));
    let found = futures_util::future::try_join_all(batches).await?;
    Ok(found
        .into_iter()
        .flatten()
        .map(|record| record.user)
        .filter(|user| !user.revoked)
        .map(|user| user.email)
        .collect())
}

/// The time at which the oldest user was created. Users are never deleted.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn first_created_at(app: &App) -> Result<Option<Timestamp>> {
    Ok(records(app).await?.into_iter().map(|record| record.user.created_at).min())
}

async fn records(app: &App) -> Result<Vec<UserRecord>> {
    table::scan(&app.aws.dynamodb, &app.config.tables.users).await
}

async fn find(app: &App, email: &Email) -> Result<Option<UserRecord>> {
    table::get(&app.aws.dynamodb, &app.config.tables.users, "email", email.as_str()).await
}

async fn get(app: &App, email: &Email) -> Result<UserRecord> {
    find(app, email).await?.ok_or_else(|| Error::not_found("user", email.as_str()))
}

fn put_new(app: &App, record: &UserRecord) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(&app.config.tables.users)
        .set_item(Some(table::to_item(record)?))
        .condition_expression("attribute_not_exists(email)")
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}
