//! Changes who owns a secret, and with whom it is shared.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::{SecretName, State, audit_name};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    table::{Transacted, string},
};

/// Gives a secret to other owners.
///
/// # Errors
/// [`Error::SecretNotFound`] when another request has deleted it meanwhile.
pub async fn set_owners(app: &App, name: &SecretName, owners: &[Email], actor: &Actor) -> Result<()> {
    let list = AttributeValue::L(owners.iter().map(|owner| string(owner.as_str())).collect());
    let entry = Entry::done(app, actor, Action::OwnSecret, audit_name(name))
        .detail("owned_by", owners.iter().map(Email::to_string).collect::<Vec<_>>());
    set(app, name, "owned_by", Some(list), actor, entry).await
}

/// Says with whom a secret is shared; with everyone whose role allows it for `None`.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(app: &App, name: &SecretName, shared_with: Option<&[String]>, actor: &Actor) -> Result<()> {
    let list = shared_with.map(|names| AttributeValue::L(names.iter().map(string).collect()));
    let entry = Entry::done(app, actor, Action::ShareSecret, audit_name(name))
        .detail("shared_with", shared_with.map_or_else(|| vec!["everyone".to_owned()], <[String]>::to_vec));
    set(app, name, "shared_with", list, actor, entry).await
}

/// Sets an attribute of a secret's record, or removes it.
async fn set(
    app: &App,
    name: &SecretName,
    attribute: &str,
    value: Option<AttributeValue>,
    actor: &Actor,
    entry: Entry,
) -> Result<()> {
    let change = if value.is_some() { ", #attribute = :value" } else { " REMOVE #attribute" };
    let mut update = Update::builder()
        .table_name(&app.config.tables.secrets)
        .key("name", string(name.as_str()))
        .update_expression(format!("SET modified_by_request_id = :request{change}"))
        .condition_expression("#state = :active")
        .expression_attribute_names("#state", "state")
        .expression_attribute_names("#attribute", attribute)
        .expression_attribute_values(":active", State::Active.attribute())
        .expression_attribute_values(":request", string(actor.request_id.as_str()));
    if let Some(value) = value {
        update = update.expression_attribute_values(":value", value);
    }
    let write = TransactWriteItem::builder().update(update.build()?).build();
    match audit::transact(app, vec![write], &[entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) | Transacted::Conflict => Err(Error::SecretNotFound(name.to_string())),
    }
}
