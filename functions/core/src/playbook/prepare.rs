//! Makes the run of a playbook from the values of its parameters.

use std::collections::BTreeMap;

use runvoy_api_types::{Approvals, PLAYBOOK_SOURCE};

use super::{PublishedPlaybook, Usable, request, source, usable};
use crate::{
    App, Email, Error, Result,
    audit::Actor,
    auth::Principal,
    execution::{Idempotency, ValidRun},
    image::Image,
    run::Submission,
    secret::Secret,
    user,
};

/// A run of a playbook, which can be submitted.
#[derive(Debug)]
pub struct Prepared {
    pub request: ValidRun,
    pub image: Image,
    pub secrets: Vec<Secret>,
    /// Such as `playbook:restart@3`.
    pub source: String,
    /// The publisher, whose rights count.
    pub rights_of: Email,
    pub approvals: Option<Approvals>,
}

impl Prepared {
    /// The playbook with its version: `restart@3`.
    pub fn version(&self) -> &str {
        self.source.strip_prefix(PLAYBOOK_SOURCE).unwrap_or(&self.source)
    }

    /// The submission for a user, whose right to run the playbook the caller has checked.
    pub fn submission<'a>(
        &'a self,
        principal: &'a Principal,
        actor: &'a Actor,
        idempotency: Option<&'a Idempotency>,
    ) -> Submission<'a> {
        Submission {
            request: &self.request,
            principal,
            actor,
            source: &self.source,
            idempotency,
            rights_of: Some(&self.rights_of),
            playbook_version: None,
            approvals: self.approvals.as_ref(),
        }
    }
}

/// Checks the values, and that the publisher of this version may still use what it names.
///
/// # Errors
/// [`Error::Invalid`] for a value, at `parameters.NAME`; [`Error::Conflict`] when it is the publisher who lacks a right.
pub async fn prepare(app: &App, playbook: &PublishedPlaybook, values: &BTreeMap<String, String>) -> Result<Prepared> {
    let request = request(&playbook.playbook, playbook.playbook.variables(values)?)?;
    let by = &playbook.version.published_by;
    let refused = |what: String| {
        Error::conflict(format!("{} was published by {by}, who {what}", playbook.name))
            .with_hint("have it published again by someone who may use what it names")
    };
    let publisher: Principal =
        user::principal(app, by).await?.ok_or_else(|| refused("is not a user any more".to_owned()))?;
    let Usable { image, secrets } = usable(app, &playbook.playbook, &publisher).await.map_err(|error| match error {
        Error::ForbiddenUse { kind, name } => refused(format!("may not use the {kind} {name:?} any more")),
        Error::Forbidden(_) => refused("may not run commands any more".to_owned()),
        error => error,
    })?;
    Ok(Prepared {
        request,
        image,
        secrets,
        source: source(&playbook.name, playbook.version.version),
        rights_of: by.clone(),
        approvals: playbook.playbook.approvals.clone(),
    })
}
