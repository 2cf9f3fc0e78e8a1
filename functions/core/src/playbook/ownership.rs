//! Changes who owns a playbook, and with whom it is shared.

use aws_sdk_dynamodb::types::Update;

use super::{HEAD, LISTING, PlaybookName, audit_name};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    ownership::OwnershipChange,
    table::{Transacted, number, string},
};

/// Gives a playbook to other owners.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it meanwhile.
pub async fn set_owners(app: &App, name: &PlaybookName, owners: &[Email], actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::OwnPlaybook, audit_name(name));
    set(app, name, OwnershipChange::owners(owners, entry), actor).await
}

/// Says with whom a playbook is shared; with everyone whose role allows it for `None`, which the role runner does not.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(app: &App, name: &PlaybookName, shared_with: Option<&[String]>, actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::SharePlaybook, audit_name(name));
    set(app, name, OwnershipChange::sharing(shared_with, "everyone", entry), actor).await
}

/// Sets an attribute of the item with the newest version, or removes it.
async fn set(app: &App, name: &PlaybookName, change: OwnershipChange, actor: &Actor) -> Result<()> {
    let update = Update::builder()
        .table_name(&app.config.tables.playbooks)
        .key("name", string(name.as_str()))
        .key("version", number(HEAD))
        .condition_expression("listing = :listing")
        .expression_attribute_values(":listing", string(LISTING));
    let write = change.write(update, "", actor)?;
    match audit::transact(app, vec![write], &[change.entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(Error::not_found("playbook", name.as_str())),
    }
}
