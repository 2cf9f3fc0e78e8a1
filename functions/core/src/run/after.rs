//! Lets executions wait for the ends of others, and moves them on once those have ended.
//!
//! An execution that waits stands among the followers of each that it waits for, and is added there only while that one has not ended. So
//! the end of each, whose record the table's stream shows, finds all that wait for it. The sweep looks at those whose event was lost.

use futures_util::future::{join_all, try_join_all};
use runvoy_api_types::RunIf;

use super::{begin, end};
use crate::{
    App, Error, Result,
    auth::{Action, Principal, Resource, policy},
    boxed,
    execution::{self, ExecutionId, ExecutionRecord, Status},
};

/// Executions that may wait for the end of one, so that one event can start them all.
const MAX_FOLLOWERS: usize = 100;
/// Executions that are started at the same time. RunTask has a quota of its own.
const AT_ONCE: usize = 8;

/// Tells whether the executions that a run waits for have ended as they had to.
pub(super) enum Others {
    Ended,
    /// These have not ended.
    Open(Vec<ExecutionId>),
    /// The run can never start, for this reason.
    Missed(String),
}

/// The executions with these ids, each as it is now. `None` for one that does not exist.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub(super) async fn read(app: &App, ids: &[ExecutionId]) -> Result<Vec<Option<ExecutionRecord>>> {
    try_join_all(ids.iter().map(|id| execution::find(app, id))).await
}

/// # Errors
/// [`Error::Invalid`] for an execution that does not exist, or that the principal may not see; [`Error::Conflict`] when as many wait for one
/// as may. Some that come at the same time may still get in.
pub(super) fn check(after: &[ExecutionId], records: &[Option<ExecutionRecord>], principal: &Principal) -> Result<()> {
    for (at, (id, record)) in after.iter().zip(records).enumerate() {
        let is_full = record.as_ref().is_some_and(|record| record.followers.len() >= MAX_FOLLOWERS);
        let may_see = record.as_ref().is_some_and(|record| {
            let resource = execution::resource(&record.execution);
            policy::authorize(principal, Action::ReadExecution, resource).is_ok()
                || policy::authorize(principal, Action::ListExecutions, Resource::Account).is_ok()
        });
        if !may_see {
            return Err(Error::invalid(format!("there is no execution {id} that you may see"))
                .with_hint("name executions by their ids: GET /api/v1/executions")
                .at_field(format!("after[{at}]")));
        }
        if is_full {
            return Err(Error::conflict(format!("{MAX_FOLLOWERS} executions wait for {id}, as many as may"))
                .with_hint("wait for one that comes later")
                .at_field(format!("after[{at}]")));
        }
    }
    Ok(())
}

/// Decides by the records of the others whether a run may start.
pub(super) fn look(others: &[ExecutionId], records: &[Option<ExecutionRecord>], run_if: RunIf) -> Others {
    let mut open = Vec::new();
    for (id, record) in others.iter().zip(records) {
        let Some(record) = record else {
            return Others::Missed(format!("execution {id}, for which it waited, does not exist any more"));
        };
        match (record.execution.status, run_if) {
            (status, RunIf::Succeeded) if status.is_terminal() && status != Status::Succeeded => {
                let reason = format!("execution {id}, which had to succeed first, ended as {status}");
                return Others::Missed(reason);
            }
            (status, _) if status.is_terminal() => {}
            _ => open.push(id.clone()),
        }
    }
    if open.is_empty() { Others::Ended } else { Others::Open(open) }
}

/// Moves on the executions that wait for the end of this one. Each has its own result.
///
/// # Errors
/// The first error, after all have been tried.
pub async fn tell_followers(app: &App, ended: &ExecutionRecord) -> Result<()> {
    if !ended.execution.status.is_terminal() {
        return Ok(());
    }
    let followers: Vec<ExecutionId> = ended.followers.iter().cloned().collect();
    let mut failed = None;
    for some in followers.chunks(AT_ONCE) {
        for told in join_all(some.iter().map(|id| others_ended(app, id))).await {
            failed = failed.or(told.err());
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Moves an execution on if the others for which it waits have ended: it takes its locks and starts, or has FAILED because one of them
/// ended otherwise than it had to. Does nothing if it does not wait for others any more.
///
/// # Errors
/// [`Error::Aws`] when AWS fails, so that the caller's event is delivered again.
#[boxed]
pub(super) async fn others_ended(app: &App, id: &ExecutionId) -> Result<()> {
    let Some(record) = execution::find(app, id).await?.filter(ExecutionRecord::waits_for_others) else {
        // Whoever moved it on may have died before its task was started.
        return begin::go_on(app, id).await;
    };
    let run_if = record.execution.asked.run_if.unwrap_or_default();
    let others = read(app, &record.pending_after).await?;
    match look(&record.pending_after, &others, run_if) {
        Others::Open(_) => Ok(()),
        Others::Missed(reason) => end::fail(app, id, &reason).await,
        Others::Ended => {
            execution::stop_following(app, &record).await?;
            begin::go_on(app, id).await
        }
    }
}
