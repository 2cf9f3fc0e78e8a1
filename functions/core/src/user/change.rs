//! Changes what a user may do: the role, a revocation, a new link for a lost key. All keys of the user change in the same transaction.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem, Update};

use super::{ATTEMPTS, UserRecord, get, records, resource};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::{Action, Role},
    claim,
    error::Service,
    key,
    table::{Transacted, number, string},
    user::User,
    websocket::hand_over,
};

/// Changes to a user. An absent one leaves the user as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    pub role: Option<Role>,
    pub revoked: Option<bool>,
}

/// Changes a user and all their keys, which take effect with the next request.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user; [`Error::Conflict`] when no other admin with a key would be left.
pub async fn change(app: &App, email: &Email, change: Change, action: Action, actor: &Actor) -> Result<User> {
    // The user may claim a key between the read and the write. The condition fails then, and the record is read again.
    for _ in 0..ATTEMPTS {
        let record = get(app, email).await?;
        let role = change.role.unwrap_or(record.user.role);
        let revoked = change.revoked.unwrap_or(record.user.revoked);
        let mut writes = vec![update(app, &record, role, revoked, actor)?];
        for hash in record.keys() {
            writes.push(key::change(app, hash, role, revoked)?);
        }
        let was_admin = record.user.role == Role::Admin && !record.user.revoked;
        if was_admin && (role != Role::Admin || revoked) {
            writes.push(other_admin(app, email).await?);
        }
        let entry = Entry::done(app, actor, action, resource(email))
            .detail("role", change.role.map(|role| role.to_string()))
            .detail("revoked", change.revoked);
        if audit::transact(app, writes, &[entry]).await? == Transacted::Done {
            if revoked || role != record.user.role {
                // Viewers whose user may still read the log connect again. If this fails, the caller repeats the request, which does it
                // once more for a revoked user.
                let keys: Vec<_> = record.keys().cloned().collect();
                hand_over::of_ended_keys(app, &keys).await?;
            }
            let user = User { role, revoked, modified_by_request_id: actor.request_id.clone(), ..record.user };
            return Ok(user);
        }
    }
    Err(Error::unavailable(Service::DynamoDb, format!("the record of {email} kept changing")))
}

fn update(app: &App, record: &UserRecord, role: Role, revoked: bool, actor: &Actor) -> Result<TransactWriteItem> {
    let update = Update::builder()
        .table_name(&app.config.tables.users)
        .key("email", string(record.user.email.as_str()))
        .update_expression("SET #role = :role, revoked = :revoked, modified_by_request_id = :request ADD version :one")
        .condition_expression(
            "attribute_exists(email) AND (version = :version OR attribute_not_exists(version) AND :version = :zero)",
        )
        .expression_attribute_names("#role", "role")
        .expression_attribute_values(":role", string(role.to_string()))
        .expression_attribute_values(":revoked", AttributeValue::Bool(revoked))
        .expression_attribute_values(":request", string(actor.request_id.as_str()))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":zero", number(0))
        .expression_attribute_values(":version", number(record.version))
        .build()?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// The condition that another user still is an admin with a key when a change is written. Of two admins who revoke each other at the
/// same time, one is refused.
async fn other_admin(app: &App, email: &Email) -> Result<TransactWriteItem> {
    let all = records(app).await?;
    let other = all.iter().find(|other| {
        let user = &other.user;
        user.email != *email && user.role == Role::Admin && !user.revoked && other.keys().next().is_some()
    });
    let other = other.ok_or_else(|| {
        Error::conflict(format!("{email} is the last admin who has a key"))
            .with_hint("make another user an admin first, who has claimed a key")
    })?;
    let check = ConditionCheck::builder()
        .table_name(&app.config.tables.users)
        .key("email", string(other.user.email.as_str()))
        .condition_expression(
            "#role = :admin AND revoked = :no AND (attribute_exists(key_hash) OR attribute_exists(key_hashes))",
        )
        .expression_attribute_names("#role", "role")
        .expression_attribute_values(":admin", string(Role::Admin.to_string()))
        .expression_attribute_values(":no", AttributeValue::Bool(false))
        .build()?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
}

/// Makes a new link for a user who has lost their key, or the link. An earlier link stops working; keys stay until they are deleted.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user; [`Error::Conflict`] for a revoked one.
pub async fn renew_claim(app: &App, email: &Email, actor: &Actor) -> Result<String> {
    for _ in 0..ATTEMPTS {
        let record = get(app, email).await?;
        if record.user.revoked {
            return Err(Error::conflict(format!("{email} has been revoked"))
                .with_hint("let the user in again first: PUT /api/v1/users/{email} with revoked false"));
        }
        let claim = claim::prepare(app, email, record.user.role)?;
        let mut update = Update::builder()
            .table_name(&app.config.tables.users)
            .key("email", string(email.as_str()))
            .update_expression("SET claim_hash = :claim, modified_by_request_id = :request")
            .expression_attribute_names("#role", "role")
            .expression_attribute_values(":role", string(record.user.role.to_string()))
            .expression_attribute_values(":claim", string(&claim.token_hash))
            .expression_attribute_values(":request", string(actor.request_id.as_str()))
            .expression_attribute_values(":no", AttributeValue::Bool(false));
        let same_claim = match &record.claim_hash {
            None => "attribute_not_exists(claim_hash)",
            Some(old) => {
                update = update.expression_attribute_values(":old", string(old));
                "claim_hash = :old"
            }
        };
        let update =
            update.condition_expression(format!("revoked = :no AND #role = :role AND {same_claim}")).build()?;
        let mut writes = vec![TransactWriteItem::builder().update(update).build(), claim.put];
        if let Some(old) = &record.claim_hash {
            writes.push(claim::delete(app, old)?);
        }
        let entry = Entry::done(app, actor, Action::RenewClaim, resource(email));
        if audit::transact(app, writes, &[entry]).await? == Transacted::Done {
            return Ok(claim.token);
        }
    }
    Err(Error::unavailable(Service::DynamoDb, format!("the record of {email} kept changing")))
}
