//! Changes who owns a secret, and with whom it is shared.

use aws_sdk_dynamodb::types::Update;

use super::{Secret, State, audit_name};
use crate::{
    App, Email, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    ownership::{self, OwnershipChange},
    table::{Transacted, string},
};

/// Gives a secret to other owners.
///
/// # Errors
/// [`Error::Conflict`](crate::Error::Conflict) when another request has deleted it or changed its owners meanwhile.
pub async fn set_owners(app: &App, secret: &Secret, owners: &[Email], actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::OwnSecret, audit_name(&secret.name));
    set(app, secret, OwnershipChange::owners(owners, &secret.owned_by, entry), actor).await
}

/// Shares a secret with these users and roles; for `None`, with everyone whose role allows it.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(app: &App, secret: &Secret, shared_with: Option<&[String]>, actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::ShareSecret, audit_name(&secret.name));
    set(app, secret, OwnershipChange::sharing(shared_with, "everyone", &secret.owned_by, entry), actor).await
}

/// Writes the change of an attribute to a secret's record.
async fn set(app: &App, secret: &Secret, change: OwnershipChange, actor: &Actor) -> Result<()> {
    let update = Update::builder()
        .table_name(&app.config.tables.secrets)
        .key("name", string(secret.name.as_str()))
        .condition_expression("#state = :active")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", State::Active.attribute());
    let write = change.write(update, "", actor)?;
    match audit::transact(app, vec![write], &[change.entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(ownership::has_changed(&format!("the secret {}", secret.name))),
    }
}
