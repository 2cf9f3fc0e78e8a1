//! Checks that every secret has a value and every value a secret.

use std::collections::BTreeSet;

use runvoy_api_types::{SecretsStatus, Severity};

use crate::{
    App, RequestId,
    findings::Findings,
    secret::{self, Secret, SecretName, parameter},
};

pub(super) async fn check(
    app: &App,
    secrets: &[Secret],
    abandoned: &[SecretName],
    request_id: &RequestId,
    findings: &mut Findings,
) -> SecretsStatus {
    let mut status = SecretsStatus { total_secrets: secrets.len(), ..SecretsStatus::default() };
    for name in abandoned {
        match secret::clear_abandoned(app, name, request_id).await {
            Ok(true) => {
                findings.mended("secret", name.as_str(), "its creation or deletion was left halfway", "removed it");
            }
            Ok(false) => {}
            Err(error) => findings.failed("secret", name.as_str(), &error),
        }
    }
    let mut values: BTreeSet<SecretName> = match parameter::names(app).await {
        Ok(names) => names.into_iter().collect(),
        Err(error) => {
            findings.failed("secret", &app.config.secrets_prefix, &error);
            return status;
        }
    };
    for secret in secrets {
        let name = &secret.name;
        if !values.remove(name) {
            // A secret that was deleted after the records were read lacks nothing.
            if secret::find(app, name.as_str()).await.is_ok() {
                status.missing_count += 1;
                let action = "give it a value: PUT /api/v1/secrets/{name}";
                findings.note(
                    "secret",
                    name.as_str(),
                    Severity::Error,
                    "it has no value; runs that use it fail",
                    action,
                );
            }
            continue;
        }
        match parameter::mend_tags(app, name).await {
            Ok(false) => status.verified_count += 1,
            Ok(true) => {
                status.tag_updated_count += 1;
                findings.mended("secret", name.as_str(), "its parameter lacked tags", "tagged it");
            }
            Err(error) => findings.failed("secret", name.as_str(), &error),
        }
    }
    for name in values {
        // A secret that is being created or deleted has a record too.
        if !secret::is_known(app, &name).await.unwrap_or(true) {
            let parameter = format!("{}/{name}", app.config.secrets_prefix);
            let action = "delete it, or create a secret of that name";
            findings.note("parameter", &parameter, Severity::Warning, "it belongs to no secret", action);
            status.orphaned_parameters.push(parameter);
        }
    }
    status.orphaned_count = status.orphaned_parameters.len();
    status
}
