//! Compares the tables with what exists in AWS, and mends what can be mended without loss.
//!
//! Missing task definitions are registered again, wrong tags are replaced, executions whose task no longer exists are closed, and
//! unfinished changes of secrets, schedules and playbooks are finished. Missing values and roles are reported. So are resources that no
//! table knows; they are never deleted, except for keys of notifications that do not exist.

mod compute;
mod identity;
mod ownership;
mod secrets;

use runvoy_api_types::{ReconcileReport, Severity};

use crate::{
    App, Result,
    audit::{self, Actor, Entry},
    boxed,
    execution::list,
    findings::Findings,
    image, notification, publication, schedule, secret,
};

/// Entries of the audit that are written in one transaction: as many writes as DynamoDB takes in one ("TransactWriteItems").
const ENTRIES_AT_ONCE: usize = 100;

/// Checks everything and mends what can be mended. Records that are changed carry the request of `actor`, and each repair has an entry in
/// the audit.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when the tables cannot be read. A failure that concerns one resource is part of the report.
#[boxed]
pub async fn run(app: &App, actor: &Actor) -> Result<ReconcileReport> {
    let request_id = &actor.request_id;
    let mut findings = Findings::default();
    let images = image::list(app).await?;
    let open = list::not_ended(app).await?;
    let (secrets, abandoned) = secret::survey(app).await?;
    let compute_status = compute::check(app, &images, &open, &mut findings).await;
    let secrets_status = secrets::check(app, &secrets, &abandoned, request_id, &mut findings).await;
    let identity_status = identity::check(app, &images, &mut findings).await;
    let authorizer_status = ownership::check(app, &images, &secrets, &open, &mut findings).await?;
    let schedules_status = schedule::check(app, request_id, &mut findings).await;
    if let Err(error) = publication::finish(app, actor, &mut findings).await {
        findings.failed("playbook", "all", &error);
    }
    let notifications_status = notification::check(app, &mut findings).await;
    let Findings { issues, mended, errors } = findings;
    let repairs = issues.iter().filter(|issue| issue.severity == Severity::Info).map(|issue| {
        Entry::done(app, actor, "health:repair", format!("{}:{}", issue.resource_type, issue.resource_id))
            .detail("found", issue.message.clone())
            .detail("repair", issue.action.as_ref())
    });
    for entries in repairs.collect::<Vec<_>>().chunks(ENTRIES_AT_ONCE) {
        audit::write_all(app, entries).await?;
    }
    tracing::info!(mended, errors, issues = issues.len(), "reconciled");
    Ok(ReconcileReport {
        timestamp: app.now(),
        compute_status,
        secrets_status,
        identity_status,
        schedules_status,
        notifications_status,
        authorizer_status,
        issues,
        reconciled_count: mended,
        error_count: errors,
    })
}
