//! Changes who owns a secret, and with whom it is shared.

use aws_sdk_dynamodb::types::Update;

use super::{SecretName, State, audit_name};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    ownership::OwnershipChange,
    table::{Transacted, string},
};

/// Gives a secret to other owners.
///
/// # Errors
/// [`Error::SecretNotFound`] when another request has deleted it meanwhile.
pub async fn set_owners(app: &App, name: &SecretName, owners: &[Email], actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::OwnSecret, audit_name(name));
    set(app, name, OwnershipChange::owners(owners, entry), actor).await
}

/// Says with whom a secret is shared; with everyone whose role allows it for `None`.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(app: &App, name: &SecretName, shared_with: Option<&[String]>, actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::ShareSecret, audit_name(name));
    set(app, name, OwnershipChange::sharing(shared_with, "everyone", entry), actor).await
}

/// Sets an attribute of a secret's record, or removes it.
async fn set(app: &App, name: &SecretName, change: OwnershipChange, actor: &Actor) -> Result<()> {
    let update = Update::builder()
        .table_name(&app.config.tables.secrets)
        .key("name", string(name.as_str()))
        .condition_expression("#state = :active")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", State::Active.attribute());
    let write = change.write(update, "", actor)?;
    match audit::transact(app, vec![write], &[change.entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(Error::SecretNotFound(name.to_string())),
    }
}
