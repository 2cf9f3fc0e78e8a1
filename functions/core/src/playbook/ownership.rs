//! Changes who owns a playbook, and with whom it is shared.

use aws_sdk_dynamodb::types::Update;

use super::{HEAD, LISTING, PublishedPlaybook, audit_name};
use crate::{
    App, Email, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    ownership::{self, OwnershipChange},
    table::{Transacted, number, string},
};

/// Gives a playbook to other owners.
///
/// # Errors
/// [`Error::Conflict`](crate::Error::Conflict) when another request has deleted it or changed its owners meanwhile.
pub async fn set_owners(app: &App, playbook: &PublishedPlaybook, owners: &[Email], actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::OwnPlaybook, audit_name(&playbook.name));
    set(app, playbook, OwnershipChange::owners(owners, &playbook.owned_by, entry), actor).await
}

/// Shares a playbook with these users and roles; for `None`, with everyone whose role allows it. The role `runner` does not.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(
    app: &App,
    playbook: &PublishedPlaybook,
    shared_with: Option<&[String]>,
    actor: &Actor,
) -> Result<()> {
    let entry = Entry::done(app, actor, Action::SharePlaybook, audit_name(&playbook.name));
    set(app, playbook, OwnershipChange::sharing(shared_with, "everyone", &playbook.owned_by, entry), actor).await
}

/// Writes the change of an attribute to the item with the newest version.
async fn set(app: &App, playbook: &PublishedPlaybook, change: OwnershipChange, actor: &Actor) -> Result<()> {
    let update = Update::builder()
        .table_name(&app.config.tables.playbooks)
        .key("name", string(playbook.name.as_str()))
        .key("version", number(HEAD))
        .condition_expression("listing = :listing")
        .expression_attribute_values(":listing", string(LISTING));
    let write = change.write(update, "", actor)?;
    match audit::transact(app, vec![write], &[change.entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(ownership::has_changed(&format!("the playbook {}", playbook.name))),
    }
}
