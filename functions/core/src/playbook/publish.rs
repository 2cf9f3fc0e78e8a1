//! Publishes versions of playbooks, and deletes playbooks.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};

use super::{HEAD, Head, LISTING, Playbook, PlaybookName, PlaybookVersion, PublishedPlaybook, VersionItem, audit_name};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    table::{self, Transacted, number, string},
};

/// A version of a playbook that is to be published.
pub struct Publication<'a> {
    pub name: &'a PlaybookName,
    pub playbook: &'a Playbook,
    /// The playbook as it was when the caller's rights were decided.
    pub before: Option<&'a Head>,
    /// The version from which the caller made the new one; 0 if there must be no playbook of this name. If absent, any will do.
    pub expected: Option<u64>,
    pub by: &'a Email,
}

/// The number of times that a publication is made again because another came first. The pauses are 0.64 seconds at most, so that this takes
/// about 10 seconds at most.
pub const PUBLISH_ATTEMPTS: u32 = 20;

/// Waits before a publication is made again.
pub async fn pause_before_repetition(app: &App, attempt: u32) {
    app.sleep(table::pause(app, attempt)).await;
}

/// The result of a publication.
pub enum Published {
    Done(Box<PublishedPlaybook>),
    /// Another request has changed the playbook since it was read. It may be read again.
    Overtaken(Error),
}

/// Publishes the next version of a playbook. If the newest version has the same text and the same publisher, no other is made.
///
/// # Errors
/// [`Error::Conflict`] when the playbook is not at the version that the caller expects.
pub async fn publish(app: &App, new: Publication<'_>, actor: &Actor) -> Result<Published> {
    let Publication { name, playbook, before, expected, by } = new;
    let latest = before.map_or(0, |head| head.latest);
    let shown = before.filter(|head| !head.is_deleted()).map_or(0, |head| head.latest);
    if expected.is_some_and(|expected| expected != shown) {
        return Err(changed(name, shown));
    }
    if let Some(head) = before.filter(|head| !head.is_deleted())
        && head.shown.playbook == *playbook
        && head.shown.version.published_by == *by
    {
        return Ok(Published::Done(Box::new(head.shown.clone())));
    }
    let version = PlaybookVersion { version: latest + 1, published_by: by.clone(), published_at: app.now() };
    let base = before.map(|head| &head.shown);
    let published = PublishedPlaybook {
        name: name.clone(),
        version: version.clone(),
        created_by: base.map_or_else(|| by.clone(), |base| base.created_by.clone()),
        owned_by: base.map_or_else(|| vec![by.clone()], |base| base.owned_by.clone()),
        shared_with: base.and_then(|base| base.shared_with.clone()),
        created_at: base.map_or(version.published_at, |base| base.created_at),
        created_by_request_id: base.map_or_else(|| actor.request_id.clone(), |base| base.created_by_request_id.clone()),
        modified_by_request_id: actor.request_id.clone(),
        playbook: playbook.clone(),
    };
    // The names from earlier versions stay in the list, so that the schedules that this version lacks are found and deleted.
    let mut schedules_made = before.map_or_else(Vec::new, |head| head.schedules_made.clone());
    schedules_made.extend(playbook.schedule_names(name)?);
    schedules_made.sort();
    schedules_made.dedup();
    let head = Head {
        latest: version.version,
        listing: Some(LISTING.to_owned()),
        pending: (!schedules_made.is_empty()).then(|| actor.request_id.to_string()),
        schedules_made,
        shown: published.clone(),
    };
    let mut head = table::to_item(&head)?;
    head.insert("version".to_owned(), number(HEAD));
    let put = Put::builder().table_name(&app.config.tables.playbooks).set_item(Some(head));
    let put = match base {
        None => put.condition_expression("attribute_not_exists(#name)").expression_attribute_names("#name", "name"),
        // The owners and the sharing are part of the item, so they must be those that were read.
        Some(base) => put
            .condition_expression("latest = :latest AND modified_by_request_id = :request")
            .expression_attribute_values(":latest", number(latest))
            .expression_attribute_values(":request", string(base.modified_by_request_id.as_str())),
    };
    let item = VersionItem { name: name.clone(), version: version.clone(), playbook: playbook.clone() };
    let put_version = Put::builder()
        .table_name(&app.config.tables.playbooks)
        .set_item(Some(table::to_item(&item)?))
        .condition_expression("attribute_not_exists(#name)")
        .expression_attribute_names("#name", "name")
        .build()?;
    let writes = vec![
        TransactWriteItem::builder().put(put.build()?).build(),
        TransactWriteItem::builder().put(put_version).build(),
    ];
    let schedules: Vec<String> = published.playbook.schedule_names(name)?.iter().map(ToString::to_string).collect();
    let told: Vec<String> = published.playbook.notifications.iter().map(|one| one.name.clone()).collect();
    let entry = Entry::done(app, actor, Action::PublishPlaybook, audit_name(name))
        .detail("version", version.version)
        .detail("schedules", schedules.clone())
        .detail("notifications", told)
        .detail("image", published.playbook.image.clone())
        .detail("secrets", published.playbook.secrets.clone())
        .detail("git_repo", published.playbook.git_repo.as_deref().map(crate::execution::without_credentials));
    match audit::transact(app, writes, &[entry]).await? {
        Transacted::Done => Ok(Published::Done(Box::new(published))),
        Transacted::Refused(_) => Ok(Published::Overtaken(changed(name, shown))),
    }
}

fn changed(name: &PlaybookName, shown: u64) -> Error {
    let now = match shown {
        0 => "there is none".to_owned(),
        version => format!("it was at version {version} when this request came"),
    };
    Error::conflict(format!("the playbook {name} has been changed meanwhile: {now}"))
        .with_hint("read it again, and publish your change of what is there now")
}

/// Deletes a playbook. Its versions stay for the executions that name them, and its name for its owners, operators and admins.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it meanwhile.
pub async fn delete(app: &App, playbook: &PublishedPlaybook, actor: &Actor) -> Result<()> {
    let update = Update::builder()
        .table_name(&app.config.tables.playbooks)
        .key("name", string(playbook.name.as_str()))
        .key("version", number(HEAD))
        // Its schedules are deleted after it.
        .update_expression("SET modified_by_request_id = :request, pending = :request REMOVE listing")
        .condition_expression("listing = :listing")
        .expression_attribute_values(":listing", AttributeValue::S(LISTING.to_owned()))
        .expression_attribute_values(":request", string(actor.request_id.as_str()))
        .build()?;
    let entry = Entry::done(app, actor, Action::DeletePlaybook, audit_name(&playbook.name))
        .detail("version", playbook.version.version);
    let write = TransactWriteItem::builder().update(update).build();
    match audit::transact(app, vec![write], &[entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(Error::not_found("playbook", playbook.name.as_str())),
    }
}
