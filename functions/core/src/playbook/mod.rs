//! Keeps published playbooks: an item for each version, which never changes, and one with the newest version, its owners and its sharing.
//!
//! The name of a playbook outlives it: a deleted one leaves its item and its versions, so that another user cannot take a name that
//! schedules and people trust, and the version that an execution names is always the same.

mod ownership;
mod parts;
mod prepare;
mod publish;
mod rights;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use serde::{Deserialize, Serialize};

pub use ownership::{set_owners, set_sharing};
pub(crate) use parts::{guard, settle, unfinished};
pub use prepare::{Prepared, prepare};
pub use publish::{PUBLISH_ATTEMPTS, Publication, Published, delete, pause_before_repetition, publish};
use rights::request;
pub use rights::{Usable, usable};
use runvoy_api_types::{PLAYBOOK_SOURCE, ScheduleName};
pub use runvoy_api_types::{
    Playbook, PlaybookName, PlaybookNotification, PlaybookSummary, PlaybookVersion, PublishedPlaybook,
};

use crate::{
    App, Email, Error, Result,
    auth::{Action, Principal, Resource, policy},
    page::{Page, PageRequest},
    table::{self, number, string},
};

/// The version of the item that has the newest version, the owners and the sharing.
const HEAD: u64 = 0;
/// More versions than any playbook has, as many as the API's parameter can name.
const MOST_VERSIONS: u64 = 999_999_999;
/// The partition of the index that lists the playbooks that are not deleted.
const LISTING: &str = "playbooks";
/// The index of the newest versions, by name.
const BY_NAME: &str = "by-name";

/// An item with the version 0: the newest version of a playbook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The number of the newest version, which is the one in `shown`.
    latest: u64,
    /// Absent for a playbook that is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listing: Option<String>,
    /// The schedules that were made for the playbook, or may have been.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    schedules_made: Vec<ScheduleName>,
    /// The request that has published or deleted the playbook, until its schedules are as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
    #[serde(flatten)]
    shown: PublishedPlaybook,
}

impl Head {
    /// Tells whether the playbook is deleted.
    pub fn is_deleted(&self) -> bool {
        self.listing.is_none()
    }

    /// The newest version of the playbook.
    pub fn playbook(&self) -> &PublishedPlaybook {
        &self.shown
    }

    /// The schedules that were made for the playbook, or may have been. `None` once they are as the playbook says.
    pub(crate) fn unfinished(&self) -> Option<&[ScheduleName]> {
        self.pending.as_ref().map(|_| self.schedules_made.as_slice())
    }

    /// The request that has published or deleted the playbook, while its schedules may not be as it says.
    pub(crate) fn pending(&self) -> Option<&str> {
        self.pending.as_deref()
    }

    fn with_latest(mut self) -> Self {
        self.shown.version.version = self.latest;
        self
    }
}

/// The item of one version. It is put once and never changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct VersionItem {
    name: PlaybookName,
    #[serde(flatten)]
    version: PlaybookVersion,
    #[serde(flatten)]
    playbook: Playbook,
}

/// The playbook as the policies see it.
pub fn resource(playbook: &PublishedPlaybook) -> Resource<'_> {
    Resource::Playbook {
        name: playbook.name.as_str(),
        owners: &playbook.owned_by,
        shared_with: playbook.shared_with.as_deref(),
    }
}

/// The playbook in the list, as the policies see it.
pub fn resource_of_summary(playbook: &PlaybookSummary) -> Resource<'_> {
    Resource::Playbook {
        name: playbook.name.as_str(),
        owners: &playbook.owned_by,
        shared_with: playbook.shared_with.as_deref(),
    }
}

/// The name of a playbook in entries of the audit.
fn audit_name(name: &PlaybookName) -> String {
    format!("playbook:{name}")
}

/// The source of executions of this version.
pub fn source(name: &PlaybookName, version: u64) -> String {
    format!("{PLAYBOOK_SOURCE}{name}@{version}")
}

/// The playbook with this name, deleted or not, strongly consistent.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn head(app: &App, name: &PlaybookName) -> Result<Option<Head>> {
    Ok(item::<Head>(app, name, HEAD).await?.map(Head::with_latest))
}

/// The newest version of a playbook.
///
/// # Errors
/// [`Error::NotFound`] when there is none, or it is deleted.
pub async fn find(app: &App, name: &str) -> Result<PublishedPlaybook> {
    let missing = || Error::not_found("playbook", name);
    let parsed: PlaybookName = name.parse().map_err(|_| missing())?;
    head(app, &parsed).await?.filter(|head| !head.is_deleted()).map(|head| head.shown).ok_or_else(missing)
}

/// The playbook as another of its versions has it.
///
/// # Errors
/// [`Error::NotFound`] when there is no such version.
pub async fn at_version(app: &App, playbook: PublishedPlaybook, version: u64) -> Result<PublishedPlaybook> {
    if version == playbook.version.version {
        return Ok(playbook);
    }
    let missing = || Error::not_found("playbook", format!("{}@{version}", playbook.name));
    if version == HEAD {
        return Err(missing());
    }
    let item: VersionItem = item(app, &playbook.name, version).await?.ok_or_else(missing)?;
    Ok(PublishedPlaybook { version: item.version, playbook: item.playbook, ..playbook })
}

/// The notifications of a version, and the user who published it. `None` for a version that does not exist.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn notifications_of(
    app: &App,
    name: &str,
    version: u64,
) -> Result<Option<(Vec<PlaybookNotification>, Email)>> {
    let Ok(name) = name.parse() else { return Ok(None) };
    let found: Option<VersionItem> = if version == HEAD { None } else { item(app, &name, version).await? };
    Ok(found.map(|found| (found.playbook.notifications, found.version.published_by)))
}

/// The playbook in the version that a user asks to run. An earlier version may lack the approvals and the limits of values that the newest
/// one has, so only users who may publish it again can run it.
///
/// # Errors
/// [`Error::Conflict`] for an earlier version that the user may not run; otherwise as [`at_version`].
pub async fn to_run(
    app: &App,
    playbook: PublishedPlaybook,
    version: u64,
    principal: &Principal,
) -> Result<PublishedPlaybook> {
    let newest = playbook.version.version;
    let asked = at_version(app, playbook, version).await?;
    if version != newest && policy::authorize(principal, Action::UpdatePlaybook, resource(&asked)).is_err() {
        let problem = format!("version {version} of {} is not its newest one, which is {newest}", asked.name);
        return Err(Error::conflict(problem)
            .with_hint("run the newest; earlier ones are for those who may change the playbook")
            .at_field("version"));
    }
    Ok(asked)
}

async fn item<T: serde::de::DeserializeOwned>(app: &App, name: &PlaybookName, version: u64) -> Result<Option<T>> {
    let get = app.aws.dynamodb.get_item().table_name(&app.config.tables.playbooks).consistent_read(true);
    let found = get.key("name", string(name.as_str())).key("version", number(version)).send().await?;
    found.item.map(table::from_item).transpose()
}

/// The versions of a playbook, newest first: those before `before`, as many as `limit`, and the last of them if there are more.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn versions(
    app: &App,
    name: &PlaybookName,
    before: Option<u64>,
    limit: Option<usize>,
) -> Result<(Vec<PlaybookVersion>, Option<u64>)> {
    let query = app
        .aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.playbooks)
        .consistent_read(true)
        .scan_index_forward(false)
        .key_condition_expression("#name = :name AND version BETWEEN :first AND :last")
        .projection_expression("version, published_by, published_at")
        .expression_attribute_names("#name", "name")
        .expression_attribute_values(":name", string(name.as_str()))
        .expression_attribute_values(":first", number(HEAD + 1))
        .expression_attribute_values(":last", number(before.map_or(MOST_VERSIONS, |before| before.saturating_sub(1))));
    let mut versions: Vec<PlaybookVersion> = Vec::new();
    if before.is_some_and(|before| before <= HEAD + 1) {
        return Ok((versions, None));
    }
    // One more tells whether there is another page.
    let wanted = limit.map(|limit| limit.saturating_add(1));
    let page = wanted.and_then(|wanted| i32::try_from(wanted).ok());
    let mut items = query.set_limit(page).into_paginator().items().send();
    while wanted.is_none_or(|wanted| versions.len() < wanted)
        && let Some(item) = items.next().await
    {
        versions.push(table::from_item(item?)?);
    }
    let next = limit.filter(|limit| versions.len() > *limit).and_then(|limit| {
        versions.truncate(limit);
        versions.last().map(|last| last.version)
    });
    Ok((versions, next))
}

/// The query for the playbooks that are not deleted, by name.
fn listed(app: &App) -> QueryFluentBuilder {
    app.aws
        .dynamodb
        .query()
        .table_name(&app.config.tables.playbooks)
        .index_name(BY_NAME)
        .key_condition_expression("listing = :listing")
        .expression_attribute_values(":listing", string(LISTING))
}

/// A page of the playbooks that the caller may see, by name.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn page(
    app: &App,
    request: &PageRequest,
    is_visible: impl Fn(&PlaybookSummary) -> bool,
) -> Result<Page<PlaybookSummary>> {
    #[derive(Deserialize)]
    struct Listed {
        latest: u64,
        #[serde(flatten)]
        summary: PlaybookSummary,
    }
    let mut items = listed(app).into_paginator().items().send();
    let mut visible = Vec::new();
    while let Some(item) = items.next().await {
        let Listed { latest, mut summary } = table::from_item(item?)?;
        summary.version.version = latest;
        if is_visible(&summary) {
            visible.push(summary);
        }
    }
    request.of(
        visible,
        |playbook| playbook.name.to_string(),
        |playbook| format!("{} {}", playbook.name, playbook.description),
    )
}
