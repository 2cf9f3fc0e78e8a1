//! Finds the IAM roles that tasks are given.

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::{App, Error, Result, error::Service};

/// The answer of IAM about a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Exists,
    Missing,
    /// The stack may neither look at the role nor give it to tasks. The template allows both for the same names.
    Forbidden,
}

/// Asks IAM about the role of this name.
pub(crate) async fn standing(app: &App, name: &str) -> Result<Standing> {
    match app.aws.iam.get_role(name).await {
        Ok(()) => Ok(Standing::Exists),
        Err(error) => match error.code() {
            Some("NoSuchEntity") => Ok(Standing::Missing),
            Some("AccessDenied") => Ok(Standing::Forbidden),
            _ => Err(Error::aws(Service::Iam)(error)),
        },
    }
}

/// Checks the role that the tasks of an image are to have.
///
/// # Errors
/// As [`check`], and for the role with which ECS starts this stack's tasks: it reads every secret, so a command must never have it. IAM
/// cannot tell the two uses of a role apart.
pub(crate) async fn check_of_task(app: &App, name: &str) -> Result<()> {
    let is_execution_role = app.config.task_execution_role_arn.rsplit('/').next() == Some(name);
    if is_execution_role {
        return Err(Error::invalid(format!(
            "{name:?} is the role with which ECS starts tasks, which reads every secret; commands cannot have it"
        ))
        .with_hint("name it as task_execution_role_name, or create a role with what the commands need"));
    }
    check(app, name).await
}

/// Checks a role that an image is to be registered with.
///
/// # Errors
/// [`Error::Invalid`] for a text that no role can be named ("CreateRole", IAM API Reference), and for a role that does not exist or
/// that the stack may not use.
pub(crate) async fn check(app: &App, name: &str) -> Result<()> {
    let well_formed =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_".contains(&b));
    if !well_formed {
        return Err(Error::invalid(format!("{name:?} is not the name of an IAM role")));
    }
    match standing(app, name).await? {
        Standing::Exists => Ok(()),
        Standing::Missing => Err(Error::invalid(format!("there is no IAM role {name:?}"))
            .with_hint("create it, or leave it out for the stack's own role")),
        Standing::Forbidden => Err(Error::invalid(format!("runvoy may not give tasks the IAM role {name:?}"))
            .with_hint("give the role a name that fits the stack's parameter CustomTaskRoles")),
    }
}
