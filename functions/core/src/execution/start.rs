//! Starts the task of an execution at once.

use jiff::Timestamp;

use super::{
    ExecutionRecord, Idempotency, NewExecution, ValidRun,
    idempotency::first_of_conflict,
    launch::{Launch, Launched},
};
use crate::{App, Error, RequestId, Result, auth::Principal, image::Image, random::random_text, secret::Secret};

/// The circumstances of a run: the user, the invocation, where it was asked for, and the key under which it may be repeated.
#[derive(Clone, Copy, Debug)]
pub struct RunContext<'a> {
    pub principal: &'a Principal,
    pub request_id: &'a RequestId,
    /// The caller's address, as AWS saw it.
    pub source_address: Option<&'a str>,
    /// Where the request came from: `api`, `playbook:name@3`.
    pub source: &'a str,
    pub idempotency: Option<&'a Idempotency>,
    /// When the command is stopped, whenever it has started.
    pub deadline: Option<Timestamp>,
}

/// Random bytes of the text that proves the runner's last line: too many to be guessed.
const NONCE_BYTES: usize = 16;

/// A new text that proves the runner's last line.
pub(super) fn nonce() -> Result<String> {
    random_text::<NONCE_BYTES>()
}

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
    let nonce = nonce()?;
    let client_token = context.idempotency.map_or(context.request_id.as_str(), |idempotency| &idempotency.key);
    let launch = Launch { request, image, secrets, context, nonce: &nonce, client_token, attempt: None };
    let task = match launch.run(app).await? {
        Launched::Task(task) => task,
        Launched::NoCapacity(error) => return Ok(Started::NoCapacity(error)),
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
