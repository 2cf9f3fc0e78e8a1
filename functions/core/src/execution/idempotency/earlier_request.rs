//! Answers a request that is sent again under the same `Idempotency-Key` with the first request's execution.
//!
//! Two places remember a key, and both are asked, in this order:
//!
//! 1. The execution's record, through an index ([`Idempotency::find_first`]). It remembers for good, but an index lags behind its
//!    table a little.
//! 2. ECS, by the task's client token, which is the key's hash ([`first_of_conflict`]). It knows at once, until an hour after the
//!    task's end and for a day at most ("Ensuring idempotency", Amazon ECS API Reference).
//!
//! Whichever finds an execution, [`Idempotency::confirm`] compares the hash of its request with this one's.

use aws_sdk_ecs::{error::SdkError, operation::run_task::RunTaskError};

use super::Idempotency;
use crate::{
    App, Error, Result,
    error::Service,
    execution::{ExecutionRecord, TaskId, consistency::not_known_yet, items, list, recover::recover},
};

/// The index of the executions table in which only executions with a key are.
const BY_KEY: &str = "by-idempotency-key";

impl Idempotency {
    /// The execution that an earlier request under this key has started, if its record can be found already.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the earlier request was a different one.
    pub async fn find_first(&self, app: &App) -> Result<Option<ExecutionRecord>> {
        let ids = list::ids_by_index(app, BY_KEY, "idempotency_key", &self.key).await?;
        let Some(id) = ids.first() else { return Ok(None) };
        items::find(app, id).await?.map(|record| self.confirm(record)).transpose()
    }

    pub(crate) fn confirm(&self, record: ExecutionRecord) -> Result<ExecutionRecord> {
        if record.request_hash.as_ref() == Some(&self.request_hash) { Ok(record) } else { Err(conflict()) }
    }
}

/// The first request's execution, when ECS refuses RunTask because it knows the client token.
///
/// # Errors
/// [`Error::Conflict`] when the first request was a different one, or ECS does not say which task it started; [`Error::Aws`] when
/// ECS does not show that task yet. RunTask's own failure when it is another one.
pub(in crate::execution) async fn first_of_conflict(
    app: &App,
    error: SdkError<RunTaskError>,
    idempotency: Option<&Idempotency>,
) -> Result<ExecutionRecord> {
    let (first, idempotency) = match (error.as_service_error(), idempotency) {
        (Some(RunTaskError::ConflictException(used)), Some(idempotency)) => (used.resource_ids().first(), idempotency),
        _ => return Err(Error::aws(Service::Ecs)(error)),
    };
    let id = TaskId::from_arn(first.ok_or_else(conflict)?).map_err(|_| conflict())?;
    let record = match items::find(app, id.as_execution()).await? {
        Some(record) => record,
        None => match recover(app, &id).await {
            // ECS remembers a token no longer than its task, so it knows the task and does not show it yet. With another answer, the
            // caller would take a new key, and start a second task.
            Err(Error::NotFound { .. }) => return Err(not_known_yet(&id)),
            recovered => recovered?.ok_or_else(conflict)?,
        },
    };
    idempotency.confirm(record)
}

fn conflict() -> Error {
    Error::conflict("this Idempotency-Key was used for a different request").with_hint("use a new key")
}
