//! Changes who owns a schedule, and with whom it is shared.

use runvoy_api_types::Schedule;

use super::{
    record::{self, State},
    resource,
};
use crate::{
    App, Email, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    ownership::{self, OwnershipChange},
    table::{self, Transacted, string},
};

/// Gives a schedule to other owners. Its runs keep the rights of the user who last said what it runs.
///
/// # Errors
/// [`Error::Conflict`](crate::Error::Conflict) when another request has deleted it or changed its owners meanwhile.
pub async fn set_owners(app: &App, schedule: &Schedule, owners: &[Email], actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::OwnSchedule, resource(schedule).name());
    set(app, schedule, OwnershipChange::owners(owners, &schedule.owned_by, entry), actor).await
}

/// Shares a schedule with these users and roles. For `None`, it is not shared.
///
/// # Errors
/// As [`set_owners`].
pub async fn set_sharing(app: &App, schedule: &Schedule, shared_with: Option<&[String]>, actor: &Actor) -> Result<()> {
    let entry = Entry::done(app, actor, Action::ShareSchedule, resource(schedule).name());
    set(app, schedule, OwnershipChange::sharing(shared_with, "nobody", &schedule.owned_by, entry), actor).await
}

async fn set(app: &App, schedule: &Schedule, change: OwnershipChange, actor: &Actor) -> Result<()> {
    let update = record::update_of(app, &schedule.name)
        .condition_expression("#state = :active")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", string(<&str>::from(State::Active)))
        .expression_attribute_values(":one", table::number(1));
    // The revision changes, so that a change that has read the record before does not bring the old value back.
    let write = change.write(update, ", revision = revision + :one", actor)?;
    match audit::transact(app, vec![write], &[change.entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(ownership::has_changed(&format!("the schedule {}", schedule.name))),
    }
}
