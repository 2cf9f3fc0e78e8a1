//! Changes who owns a playbook, and with whom it is shared.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::{HEAD, LISTING, PlaybookName, audit_name};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    table::{Transacted, number, string},
};

/// Gives a playbook to other owners.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it meanwhile.
pub async fn set_owners(app: &App, name: &PlaybookName, owners: &[Email], actor: &Actor) -> Result<()> {
    let list = AttributeValue::L(owners.iter().map(|owner| string(owner.as_str())).collect());
    let entry = Entry::done(app, actor, Action::OwnPlaybook, audit_name(name))
        .detail("owned_by", owners.iter().map(Email::to_string).collect::<Vec<_>>());
    set(app, name, "owned_by", Some(list), actor, entry).await
}

/// Says with whom a playbook is shared; with everyone whose role allows it for `None`, which the role runner does not.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(app: &App, name: &PlaybookName, shared_with: Option<&[String]>, actor: &Actor) -> Result<()> {
    let list = shared_with.map(|names| AttributeValue::L(names.iter().map(string).collect()));
    let entry = Entry::done(app, actor, Action::SharePlaybook, audit_name(name))
        .detail("shared_with", shared_with.map_or_else(|| vec!["everyone".to_owned()], <[String]>::to_vec));
    set(app, name, "shared_with", list, actor, entry).await
}

/// Sets an attribute of the item with the newest version, or removes it.
async fn set(
    app: &App,
    name: &PlaybookName,
    attribute: &str,
    value: Option<AttributeValue>,
    actor: &Actor,
    entry: Entry,
) -> Result<()> {
    let change = if value.is_some() { ", #attribute = :value" } else { " REMOVE #attribute" };
    let mut update = Update::builder()
        .table_name(&app.config.tables.playbooks)
        .key("name", string(name.as_str()))
        .key("version", number(HEAD))
        .update_expression(format!("SET modified_by_request_id = :request{change}"))
        .condition_expression("listing = :listing")
        .expression_attribute_names("#attribute", attribute)
        .expression_attribute_values(":listing", AttributeValue::S(LISTING.to_owned()))
        .expression_attribute_values(":request", string(actor.request_id.as_str()));
    if let Some(value) = value {
        update = update.expression_attribute_values(":value", value);
    }
    let write = TransactWriteItem::builder().update(update.build()?).build();
    match audit::transact(app, vec![write], &[entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) | Transacted::Conflict => Err(Error::not_found("playbook", name.as_str())),
    }
}
