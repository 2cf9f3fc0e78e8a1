//! Starts the task of an execution at once.

use super::{
    ExecutionRecord, NewExecution, RunContext, ValidRun,
    idempotency::first_of_conflict,
    launch::{Launch, Launched, Refusal},
    nonce::new_nonce,
};
use crate::{App, Error, Result, image::Image, secret::Secret};

/// The result of a start.
#[derive(Debug)]
pub enum Started {
    /// A task, whose record is to be written with [`create`](super::create).
    Task(Box<NewExecution>),
    /// The execution that an earlier request under the same idempotency key has started.
    Earlier(Box<ExecutionRecord>),
    /// Fargate has no room at this moment. The error is for a caller who does not wait.
    NoCapacity(Error),
}

/// Starts a task.
///
/// ECS names the task, so the execution's record is written after RunTask. If the program dies in between, the task's first event makes
/// the record, and the audit's entries of the run, from the task's tags. RunTask carries a client token (the request's id, or the hash of the caller's idempotency key),
/// so that a repeated call starts no second task.
///
/// # Errors
/// [`Error::Invalid`] when the run needs more overrides than ECS carries, [`Error::Conflict`] when the idempotency key was used
/// for another request or the account does not allow the task, [`Error::Aws`] when ECS fails.
pub async fn start(
    app: &App,
    request: &ValidRun,
    image: &Image,
    secrets: &[Secret],
    context: RunContext<'_>,
) -> Result<Started> {
    let nonce = new_nonce()?;
    let client_token = context.idempotency.map_or(context.request_id.as_str(), |idempotency| &idempotency.key);
    let launch = Launch { request, image, secrets, context, nonce: &nonce, client_token, lease: None };
    let task = match launch.run(app).await? {
        Launched::Task(task) => task,
        Launched::NoCapacity(error) => return Ok(Started::NoCapacity(error)),
        Launched::Unknown(error) | Launched::Refused(Refusal { error, .. }) => return Err(error),
        Launched::TokenUsed(error) => {
            let first = first_of_conflict(app, *error, context.idempotency).await?;
            return Ok(Started::Earlier(Box::new(first)));
        }
    };
    Ok(Started::Task(Box::new(NewExecution {
        execution_id: task.as_execution().clone(),
        created_by: context.principal.email.clone(),
        command: request.command.clone(),
        image_id: image.image_id.clone(),
        started_at: app.now(),
        request_id: context.request_id.clone(),
        idempotency: context.idempotency.cloned(),
        asked: request.asked(context.source),
        nonce: Some(nonce),
    })))
}
