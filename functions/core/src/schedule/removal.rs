//! Deletes schedules: marks the record as being deleted, deletes the schedule in AWS, and then removes the record.

use aws_sdk_dynamodb::types::{TransactWriteItem, builders::UpdateBuilder};
use runvoy_api_types::{Schedule, ScheduleName};

use super::{
    beside::Beside,
    entry::entry,
    record::{self, Record, State, abandoned_before, part_of, under_way},
    scheduler,
};
use crate::{
    App, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    boxed,
    table::{Transacted, string},
    time,
};

/// Deletes a schedule: in AWS first, then its record.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it, [`Error::Conflict`] for a part of a playbook and while another change is under
/// way.
pub async fn delete(app: &App, name: &str, actor: &Actor) -> Result<()> {
    let record = record::active(app, name).await?;
    if let Some(playbook) = &record.schedule.of_playbook {
        return Err(part_of(playbook));
    }
    let entry = entry(app, &record, actor, Action::DeleteSchedule);
    if remove(app, &record, actor, &[entry], None).await? { Ok(()) } else { Err(Error::not_found("schedule", name)) }
}

/// Marks a schedule as being deleted, then removes it from AWS, and its record. `false` when it is gone already.
///
/// # Errors
/// [`Error::Conflict`] while another change is under way, which could bring to AWS what is deleted.
#[boxed]
pub(super) async fn remove(
    app: &App,
    record: &Record,
    actor: &Actor,
    entries: &[Entry],
    beside: Option<&Beside>,
) -> Result<bool> {
    let Schedule { name, created_by_request_id: created, .. } = &record.schedule;
    let mark = mark_deleting(app, name, actor)
        .condition_expression(
            "#state = :active AND created_by_request_id = :created AND (attribute_not_exists(pending) OR (updated_at < :abandoned AND \
             (attribute_not_exists(resumed_at) OR resumed_at < :abandoned)) OR modified_by_request_id = :request)",
        )
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))))
        .expression_attribute_values(":active", string(<&str>::from(State::Active)))
        .expression_attribute_values(":created", string(created.as_str()));
    if finish_removal(app, name, mark, actor, entries, beside).await? {
        return Ok(true);
    }
    match record::read(app, name).await? {
        Some(found) if found.state == State::Active && found.schedule.created_by_request_id == *created => {
            Err(under_way())
        }
        _ => Ok(false),
    }
}

/// Goes on with a deletion, if it was abandoned. Returns whether it was.
pub(super) async fn resume_removal(app: &App, name: &ScheduleName, actor: &Actor) -> Result<bool> {
    let mark = mark_deleting(app, name, actor)
        .condition_expression("#state = :deleting AND updated_at < :abandoned")
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))));
    finish_removal(app, name, mark, actor, &[], None).await
}

fn mark_deleting(app: &App, name: &ScheduleName, actor: &Actor) -> UpdateBuilder {
    record::update_of(app, name)
        .update_expression("SET #state = :deleting, updated_at = :now, modified_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":deleting", string(<&str>::from(State::Deleting)))
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .expression_attribute_values(":request", string(actor.request_id.as_str()))
}

async fn finish_removal(
    app: &App,
    name: &ScheduleName,
    mark: UpdateBuilder,
    actor: &Actor,
    entries: &[Entry],
    beside: Option<&Beside>,
) -> Result<bool> {
    let mark = TransactWriteItem::builder().update(mark.build()?).build();
    if audit::transact(app, Beside::writes(beside, mark), entries).await? != Transacted::Done {
        return Ok(false);
    }
    scheduler::delete(app, name).await?;
    record::remove(app, name, &actor.request_id).await.map(|()| true)
}
