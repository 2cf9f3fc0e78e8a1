//! Makes the key of a claim, and hands it over to the caller who has the claim's link.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::keys;
use crate::{
    App, Email, Error, RequestId, Result,
    audit::{self, Actor, Entry},
    claim::{self, Claim},
    key::{self, ApiKey, ApiKeyHash, NewKey},
    table::{Attempted, number, string},
};

/// Makes the key of a claim and hands it over. A token works once, for a quarter of an hour.
///
/// # Errors
/// [`Error::UnknownClaim`], also for an expired token, and [`Error::Conflict`] for one that was used.
pub async fn redeem(
    app: &App,
    token: &str,
    request_id: &RequestId,
    address: Option<String>,
) -> Result<(ApiKey, Email)> {
    let claim = claim::read(app, token).await?;
    let key = ApiKey::generate()?;
    // The index of the write that fails when the user has been revoked or has another claim.
    const USER: usize = 2;
    let writes = vec![
        claim::mark_claimed(app, &claim)?,
        key::put_new(app, &key, &NewKey::first(&claim.email, claim.role))?,
        take_key(app, &claim, &key.hash(), request_id)?,
    ];
    let actor = Actor {
        name: claim.email.to_string(),
        key_id: Some(key.hash().id()),
        request_id: request_id.clone(),
        source_address: address,
    };
    let entry =
        Entry::done(app, &actor, "keys:claim", key::resource(&key.hash())).detail("user", claim.email.to_string());
    // Of two claims of one token at the same time, one is refused or in conflict. It is not repeated: the other one wins.
    match audit::transact_once(app, writes, &[entry]).await? {
        Attempted::Done => Ok((key, claim.email)),
        Attempted::Refused(USER) => Err(Error::UnknownClaim),
        Attempted::Refused(_) | Attempted::Conflict => Err(claim::claimed()),
    }
}

/// The write that gives a user the key of a claim. It fails when the user has been revoked, has another role or another claim by now,
/// or has as many keys as one may have.
fn take_key(app: &App, claim: &Claim, key_hash: &ApiKeyHash, request_id: &RequestId) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.users)
        .key("email", string(claim.email.as_str()))
        .update_expression("SET modified_by_request_id = :request ADD key_hashes :hashes, version :one")
        .condition_expression(
            "revoked = :no AND #role = :role AND (attribute_not_exists(claim_hash) OR claim_hash = :claim) \
             AND (attribute_not_exists(key_hashes) OR size(key_hashes) < :most)",
        )
        .expression_attribute_names("#role", "role")
        .expression_attribute_values(":role", string(claim.role.to_string()))
        .expression_attribute_values(":claim", string(&claim.token_hash))
        .expression_attribute_values(":hashes", AttributeValue::Ss(vec![key_hash.as_str().to_owned()]))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":most", number(keys::MAX_KEYS))
        .expression_attribute_values(":request", string(request_id.as_str()))
        .expression_attribute_values(":no", AttributeValue::Bool(false))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
}
