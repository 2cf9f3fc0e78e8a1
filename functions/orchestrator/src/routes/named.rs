//! Checks the playbooks and schedules that a body names. A misspelt one would make a key that does nothing, or a notification that is never sent.

use runvoy_core::{App, Error, auth::Action, playbook, schedule};

use crate::{
    error::{ApiError, Result},
    extract::Caller,
};

/// # Errors
/// 400 at the field for a playbook that does not exist, or that the caller may not see.
pub(super) async fn check_playbook(app: &App, caller: &Caller, name: &str, field: &str) -> Result<()> {
    let found = playbook::find(app, name).await;
    let seen = caller.may_named(Action::ReadPlaybook, name, found, playbook::resource).map(drop);
    seen.map_err(|error| unknown(error, "playbook", name, field))
}

/// # Errors
/// 400 at the field for a schedule that does not exist, or that the caller may not see.
pub(super) async fn check_schedule(app: &App, caller: &Caller, name: &str, field: &str) -> Result<()> {
    let found = schedule::find(app, name).await;
    let seen = caller.may_named(Action::ReadSchedule, name, found, schedule::resource).map(drop);
    seen.map_err(|error| unknown(error, "schedule", name, field))
}

/// The answer, with the refusal for the audit if there was one. A fault of AWS stays what it is.
fn unknown(error: ApiError, kind: &str, name: &str, field: &str) -> ApiError {
    let problem = Error::invalid(format!("there is no {kind} {name:?} that you may see"))
        .with_hint(format!("GET /api/v1/{kind}s lists the {kind}s"))
        .at_field(field);
    match error {
        ApiError::Denied(_, denial) => ApiError::Denied(problem, denial),
        ApiError::Core(error) if error.code().status() < 500 => ApiError::Core(problem),
        error => error,
    }
}
