//! Keeps claims: links that hand over a user's first key, once and only for a quarter of an hour. No other module writes the claims table.

use std::time::Duration;

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    App, Email, Error, Result,
    auth::Role,
    key,
    random::random_text,
    table::{self, string},
    time,
};

/// The time that a claim link works. An admin hands it over in person or by chat, and a link that lies in a mailbox must soon be worth nothing.
const LIFETIME: Duration = Duration::from_mins(15);

/// An item of the claims table. The key itself is made when it is claimed, so that none waits in the clear.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) token_hash: String,
    pub(crate) email: Email,
    pub(crate) role: Role,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    claimed_at: Option<Timestamp>,
    /// Seconds since 1970, for DynamoDB's TTL.
    expires_at: i64,
}

/// A claim that is about to be written.
#[derive(Debug)]
pub(crate) struct NewClaim {
    /// The token that the link contains. Only its hash is stored.
    pub(crate) token: String,
    pub(crate) token_hash: String,
    /// The write that stores the claim.
    pub(crate) put: TransactWriteItem,
}

/// Prepares a claim for a user.
pub(crate) fn prepare(app: &App, email: &Email, role: Role) -> Result<NewClaim> {
    let token = random_text::<32>()?;
    let claim = Claim {
        token_hash: key::token_hash(&token),
        email: email.clone(),
        role,
        claimed_at: None,
        expires_at: app.expiry(LIFETIME),
    };
    let put = Put::builder()
        .table_name(&app.config.tables.claims)
        .set_item(Some(table::to_item(&claim)?))
        .condition_expression("attribute_not_exists(token_hash)")
        .build()?;
    let put = TransactWriteItem::builder().put(put).build();
    Ok(NewClaim { token, token_hash: claim.token_hash, put })
}

/// The write that removes a claim, so that its link stops working.
pub(crate) fn delete(app: &App, token_hash: &str) -> Result<TransactWriteItem> {
    let delete =
        Delete::builder().table_name(&app.config.tables.claims).key("token_hash", string(token_hash)).build()?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// Checks that a claim token can be used. Changes nothing.
///
/// # Errors
/// [`Error::UnknownClaim`], also for an expired token, and [`Error::Conflict`] for one that was used.
pub async fn check(app: &App, token: &str) -> Result<()> {
    read(app, token).await.map(drop)
}

/// A claim that can be used.
pub(crate) async fn read(app: &App, token: &str) -> Result<Claim> {
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

pub(crate) fn claimed() -> Error {
    Error::conflict("key has already been claimed")
}

/// The write that uses a claim up. It fails when the claim has been used or removed.
pub(crate) fn mark_claimed(app: &App, claim: &Claim) -> Result<TransactWriteItem> {
    let mark = Update::builder()
        .table_name(&app.config.tables.claims)
        .key("token_hash", string(&claim.token_hash))
        .update_expression("SET claimed_at = :now")
        .condition_expression("attribute_exists(token_hash) AND attribute_not_exists(claimed_at)")
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .build()?;
    Ok(TransactWriteItem::builder().update(mark).build())
}
