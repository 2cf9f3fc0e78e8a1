//! Checks that every user has a role, and that every image, every secret and every execution that has not ended has owners who are users.

use std::collections::BTreeSet;

use serde::Deserialize;

use runvoy_api_types::{AuthorizerStatus, Severity};

use crate::{
    App, Email, Result, auth::Role, execution::ExecutionRecord, findings::Findings, image::Image, secret::Secret, table,
};

/// The part of a user that is checked here. The role is any text, because it may be a wrong one.
#[derive(Deserialize)]
struct StoredUser {
    email: String,
    role: Option<String>,
}

pub(super) async fn check(
    app: &App,
    images: &[Image],
    secrets: &[Secret],
    open: &[ExecutionRecord],
    findings: &mut Findings,
) -> Result<AuthorizerStatus> {
    let users: Vec<StoredUser> = table::scan(&app.aws.dynamodb, &app.config.tables.users).await?;
    let mut status = AuthorizerStatus { total_users_checked: users.len(), ..AuthorizerStatus::default() };
    for user in &users {
        let (list, message) = match user.role.as_deref() {
            None | Some("") => (&mut status.users_with_missing_roles, "the user has no role"),
            Some(role) if role.parse::<Role>().is_err() => {
                (&mut status.users_with_invalid_roles, "the user has an unknown role")
            }
            Some(_) => continue,
        };
        list.push(user.email.clone());
        findings.note("user", &user.email, Severity::Error, message, "revoke the user and create it again");
    }
    let known: BTreeSet<&str> = users.iter().map(|user| user.email.as_str()).collect();
    let images = images.iter().map(|image| ("image", image.image_id.as_str(), &image.created_by, &image.owned_by));
    let secrets = secrets.iter().map(|secret| ("secret", secret.name.as_str(), &secret.created_by, &secret.owned_by));
    let executions = open.iter().map(|record| {
        let execution = &record.execution;
        ("execution", execution.execution_id.as_str(), &execution.created_by, &execution.owned_by)
    });
    for (kind, id, creator, owners) in images.chain(secrets).chain(executions) {
        status.total_resources_checked += 1;
        check_owners(kind, id, creator, owners, &known, &mut status, findings);
    }
    Ok(status)
}

fn check_owners(
    kind: &'static str,
    id: &str,
    creator: &Email,
    owners: &[Email],
    known: &BTreeSet<&str>,
    status: &mut AuthorizerStatus,
    findings: &mut Findings,
) {
    const ACTION: &str = "only the roles of users decide on its use; create it again to give it an owner";
    if owners.is_empty() {
        status.resources_with_missing_owners.push(format!("{kind}:{id}"));
        findings.note(kind, id, Severity::Warning, "it has no owner", ACTION);
    } else if !owners.contains(creator) {
        status.missing_ownerships.push(format!("{kind}:{id}:{creator}"));
        findings.note(kind, id, Severity::Warning, format!("{creator} created it and does not own it"), ACTION);
    }
    for owner in owners.iter().filter(|owner| !known.contains(owner.as_str())) {
        status.orphaned_ownerships.push(format!("{kind}:{id}:{owner}"));
        findings.note(kind, id, Severity::Warning, format!("its owner {owner} is not a user"), ACTION);
    }
}
