//! Changes who owns a schedule, and with whom it is shared.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use runvoy_api_types::Schedule;

use super::{
    record::{self, State},
    resource,
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    table::{self, Transacted, string},
};

/// Gives a schedule to other owners. Its runs keep the rights of the user who has said last what it runs.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it meanwhile.
pub async fn set_owners(app: &App, schedule: &Schedule, owners: &[Email], actor: &Actor) -> Result<()> {
    let list = AttributeValue::L(owners.iter().map(|owner| string(owner.as_str())).collect());
    let entry = Entry::done(app, actor, Action::OwnSchedule, resource(schedule).name())
        .detail("owned_by", owners.iter().map(Email::to_string).collect::<Vec<_>>());
    set(app, schedule, "owned_by", Some(list), actor, entry).await
}

/// Says with whom a schedule is shared; with nobody for `None`.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(app: &App, schedule: &Schedule, shared_with: Option<&[String]>, actor: &Actor) -> Result<()> {
    let list = shared_with.map(|names| AttributeValue::L(names.iter().map(string).collect()));
    let entry = Entry::done(app, actor, Action::ShareSchedule, resource(schedule).name())
        .detail("shared_with", shared_with.map_or_else(|| vec!["nobody".to_owned()], <[String]>::to_vec));
    set(app, schedule, "shared_with", list, actor, entry).await
}

async fn set(
    app: &App,
    schedule: &Schedule,
    attribute: &str,
    value: Option<AttributeValue>,
    actor: &Actor,
    entry: Entry,
) -> Result<()> {
    let change = if value.is_some() { ", #attribute = :value" } else { " REMOVE #attribute" };
    let mut update = record::update_of(app, &schedule.name)
        // The revision changes, so that a change that has read the record before does not bring the old value back.
        .update_expression(format!("SET modified_by_request_id = :request, revision = revision + :one{change}"))
        .condition_expression("#state = :active")
        .expression_attribute_names("#state", "state")
        .expression_attribute_names("#attribute", attribute)
        .expression_attribute_values(":active", string(<&str>::from(State::Active)))
        .expression_attribute_values(":one", table::number(1))
        .expression_attribute_values(":request", string(actor.request_id.as_str()));
    if let Some(value) = value {
        update = update.expression_attribute_values(":value", value);
    }
    let write = TransactWriteItem::builder().update(update.build()?).build();
    match audit::transact(app, vec![write], &[entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) | Transacted::Conflict => Err(Error::not_found("schedule", schedule.name.as_str())),
    }
}
