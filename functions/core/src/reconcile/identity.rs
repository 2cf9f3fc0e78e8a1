//! Checks that the IAM roles of tasks exist.

use std::collections::BTreeSet;

use runvoy_api_types::{IdentityStatus, Severity};

use crate::{
    App,
    findings::Findings,
    image::{
        Image,
        role::{self, Standing},
    },
};

pub(super) async fn check(app: &App, images: &[Image], findings: &mut Findings) -> IdentityStatus {
    let mut status = IdentityStatus { default_roles_verified: true, ..IdentityStatus::default() };
    for arn in [&app.config.task_role_arn, &app.config.task_execution_role_arn] {
        let name = arn.rsplit_once('/').map_or(arn.as_str(), |(_, name)| name);
        if !verify(app, name, &mut status, findings).await {
            status.default_roles_verified = false;
        }
    }
    let custom: BTreeSet<&String> =
        images.iter().flat_map(|image| [&image.task_role_name, &image.task_execution_role_name]).flatten().collect();
    status.custom_roles_total = custom.len();
    for name in custom {
        if verify(app, name, &mut status, findings).await {
            status.custom_roles_verified += 1;
        }
    }
    status
}

async fn verify(app: &App, name: &str, status: &mut IdentityStatus, findings: &mut Findings) -> bool {
    match role::standing(app, name).await {
        Ok(Standing::Exists) => true,
        Ok(Standing::Missing) => {
            let action = "create it, or register the image with another role";
            findings.note("role", name, Severity::Error, "it does not exist; tasks that use it do not start", action);
            status.missing_roles.push(name.to_owned());
            false
        }
        Ok(Standing::Forbidden) => {
            let action =
                "have the stack's parameter CustomTaskRoles fit its name, or register the image with another role";
            findings.note(
                "role",
                name,
                Severity::Error,
                "tasks may not be given it, so that they do not start",
                action,
            );
            false
        }
        Err(error) => {
            findings.failed("role", name, &error);
            false
        }
    }
}
