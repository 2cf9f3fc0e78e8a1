//! Compares the tables with what exists in AWS, and mends what can be mended without loss.
//!
//! Missing task definitions are registered again, wrong tags are replaced, executions whose task no longer exists are closed, and
//! unfinished changes of secrets and schedules are finished. Missing values and roles are reported. So are resources that no
//! table knows; they are never deleted.

mod compute;
mod identity;
mod ownership;
mod secrets;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App, Error, Result,
    audit::{self, Actor, Entry},
    execution::list,
    image,
    schedule::{self, SchedulesStatus},
    secret, time,
};

/// The report of a reconcile: what was checked, found and mended.
#[derive(Debug, Serialize, ToSchema)]
pub struct Report {
    #[serde(with = "time::as_rfc3339")]
    #[schema(value_type = String, format = "date-time")]
    pub timestamp: Timestamp,
    pub compute_status: ComputeStatus,
    pub secrets_status: SecretsStatus,
    pub identity_status: IdentityStatus,
    pub schedules_status: SchedulesStatus,
    pub authorizer_status: AuthorizerStatus,
    pub issues: Vec<Issue>,
    /// The number of things that were mended.
    pub reconciled_count: usize,
    /// The number of things that could not be checked or mended.
    pub error_count: usize,
}

/// Task definitions of images, and tasks of executions that have not ended.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ComputeStatus {
    pub total_resources: usize,
    pub verified_count: usize,
    pub recreated_count: usize,
    pub tag_updated_count: usize,
    pub orphaned_count: usize,
    /// Families of task definitions that belong to no image.
    pub orphaned_resources: Vec<String>,
}

/// Values of secrets.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct SecretsStatus {
    pub total_secrets: usize,
    pub verified_count: usize,
    pub tag_updated_count: usize,
    pub missing_count: usize,
    pub orphaned_count: usize,
    /// Parameters that belong to no secret.
    pub orphaned_parameters: Vec<String>,
}

/// IAM roles that tasks use.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct IdentityStatus {
    pub default_roles_verified: bool,
    pub custom_roles_verified: usize,
    pub custom_roles_total: usize,
    pub missing_roles: Vec<String>,
}

/// Users, and the owners of images, secrets and executions that have not ended. Resources are named `kind:id`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct AuthorizerStatus {
    pub users_with_invalid_roles: Vec<String>,
    pub users_with_missing_roles: Vec<String>,
    pub resources_with_missing_owners: Vec<String>,
    /// Owners who are not users: `kind:id:owner`.
    pub orphaned_ownerships: Vec<String>,
    /// Creators who do not own what they created: `kind:id:creator`.
    pub missing_ownerships: Vec<String>,
    pub total_users_checked: usize,
    pub total_resources_checked: usize,
}

/// One thing that is not as it should be.
#[derive(Debug, Serialize, ToSchema)]
pub struct Issue {
    pub resource_type: &'static str,
    pub resource_id: String,
    pub severity: Severity,
    pub message: String,
    /// The action that was taken, or that is to be taken.
    pub action: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It has been mended.
    Info,
    /// An admin should look at it.
    Warning,
    /// Something does not work because of it, or it could not be checked.
    Error,
}

/// The issues found so far.
#[derive(Default)]
pub(crate) struct Findings {
    issues: Vec<Issue>,
    mended: usize,
    errors: usize,
}

impl Findings {
    pub(crate) fn mended(
        &mut self,
        resource_type: &'static str,
        id: &str,
        message: impl Into<String>,
        action: &'static str,
    ) {
        self.mended += 1;
        self.note(resource_type, id, Severity::Info, message, action);
    }

    pub(crate) fn note(
        &mut self,
        resource_type: &'static str,
        id: &str,
        severity: Severity,
        message: impl Into<String>,
        action: &'static str,
    ) {
        let (resource_id, message) = (id.to_owned(), message.into());
        self.issues.push(Issue { resource_type, resource_id, severity, message, action });
    }

    /// Records that one thing could not be checked or mended. The checks of other things go on.
    pub(crate) fn failed(&mut self, resource_type: &'static str, id: &str, error: &Error) {
        self.errors += 1;
        tracing::warn!(resource_type, resource_id = id, error = %error.chain(), "could not be reconciled");
        let action = "try again; the log of the function has the cause";
        self.note(resource_type, id, Severity::Error, "it could not be checked or mended", action);
    }
}

/// Entries of the audit that are written in one transaction, of which DynamoDB takes 100 writes.
const ENTRIES_AT_ONCE: usize = 100;

/// Checks everything and mends what can be mended. Records that are changed carry the request of `actor`, and each repair has an entry in
/// the audit.
///
/// # Errors
/// [`Error::Aws`] when the tables cannot be read. A failure that concerns one resource is part of the report.
pub async fn run(app: &App, actor: &Actor) -> Result<Report> {
    let request_id = &actor.request_id;
    let mut findings = Findings::default();
    let images = image::list(app).await?;
    let open = list::open(app).await?;
    let (secrets, abandoned) = secret::survey(app).await?;
    let compute_status = compute::check(app, &images, &open, &mut findings).await;
    let secrets_status = secrets::check(app, &secrets, &abandoned, request_id, &mut findings).await;
    let identity_status = identity::check(app, &images, &mut findings).await;
    let authorizer_status = ownership::check(app, &images, &secrets, &open, &mut findings).await?;
    let schedules_status = schedule::check(app, request_id, &mut findings).await;
    let Findings { issues, mended, errors } = findings;
    let repairs = issues.iter().filter(|issue| issue.severity == Severity::Info).map(|issue| {
        Entry::done(app, actor, "health:repair", format!("{}:{}", issue.resource_type, issue.resource_id))
            .detail("found", issue.message.clone())
            .detail("repair", issue.action)
    });
    for entries in repairs.collect::<Vec<_>>().chunks(ENTRIES_AT_ONCE) {
        audit::write_all(app, entries).await?;
    }
    tracing::info!(mended, errors, issues = issues.len(), "reconciled");
    Ok(Report {
        timestamp: app.now(),
        compute_status,
        secrets_status,
        identity_status,
        schedules_status,
        authorizer_status,
        issues,
        reconciled_count: mended,
        error_count: errors,
    })
}
