//! Lets people decide about executions that wait for them. What was asked for is fixed by then: a change of the playbook changes nothing
//! about it.
//!
//! A decision is one conditional write with its entry in the audit. The last approval is followed by the start; if the invocation ends in
//! between, [`sweep`] starts the task. Of two last approvals at once one is written, and ECS starts one task for an attempt however often
//! it is asked.

use runvoy_api_types::{Approval, Decision, limits::MAX_DESCRIPTION_BYTES, text};

use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::{Action, policy},
    execution::{self, ExecutionRecord, Status, list},
    run,
    table::Transacted,
    time, user,
};

/// The most times that a decision reads the execution, because other decisions change it meanwhile.
const ATTEMPTS: u32 = 8;

/// Approves an execution that waits, for this user, whose right the caller has checked. Starts its task if no further approval is needed.
///
/// # Errors
/// [`Error::Conflict`] when the execution waits no more, or the user has decided already.
pub async fn approve(
    app: &App,
    record: ExecutionRecord,
    by: &Email,
    comment: Option<String>,
    actor: &Actor,
) -> Result<ExecutionRecord> {
    check_comment(comment.as_deref())?;
    let id = record.execution.execution_id.clone();
    let decision = Decision { by: by.clone(), at: app.now(), comment };
    let entry = Entry::done(app, actor, Action::ApproveExecution, format!("execution:{id}"))
        .detail("comment", decision.comment.clone());
    let mut record = record;
    for _ in 0..ATTEMPTS {
        let approval = undecided(app, &mut record, by).await?;
        // Who has left, or may not approve any more, has approved nothing.
        let (mut given, lost) = still_valid(app, &record, approval.given.clone()).await?;
        given.push(decision.clone());
        let entry = entry.clone().detail("no_longer_counted", lost);
        let write = execution::write_approvals(app, &id, &given, &approval.given, &actor.request_id)?;
        let is_last = given.len() >= approval.count as usize;
        match audit::transact(app, vec![write], &[entry]).await? {
            Transacted::Done if is_last => return run::release(app, &id, &[]).await,
            Transacted::Done => return execution::get(app, &id).await,
            Transacted::Refused(_) => record = execution::get(app, &id).await?,
        }
    }
    Err(crate::table::too_much_contention("the approvals of an execution"))
}

/// Splits approvals into those whose users could still give them, and the addresses of the others.
async fn still_valid(
    app: &App,
    record: &ExecutionRecord,
    given: Vec<Decision>,
) -> Result<(Vec<Decision>, Vec<String>)> {
    let users = given.iter().map(|decision| user::principal(app, &decision.by));
    let users = futures_util::future::try_join_all(users).await?;
    let (mut valid, mut lost) = (Vec::with_capacity(given.len() + 1), Vec::new());
    for (decision, user) in given.into_iter().zip(users) {
        let may_approve = user.is_some_and(|user| {
            policy::authorize(&user, Action::ApproveExecution, execution::resource(&record.execution)).is_ok()
        });
        if may_approve {
            valid.push(decision);
        } else {
            lost.push(decision.by.to_string());
        }
    }
    Ok((valid, lost))
}

/// Denies an execution that waits: it is STOPPED, with the reason.
///
/// # Errors
/// As [`approve`].
pub async fn deny(
    app: &App,
    record: ExecutionRecord,
    by: &Email,
    comment: Option<String>,
    actor: &Actor,
) -> Result<ExecutionRecord> {
    check_comment(comment.as_deref())?;
    let mut record = record;
    undecided(app, &mut record, by).await?;
    let id = &record.execution.execution_id;
    let entry =
        Entry::done(app, actor, Action::DenyExecution, format!("execution:{id}")).detail("comment", comment.clone());
    let reason = match comment.as_deref().map(str::trim).filter(|comment| !comment.is_empty()) {
        Some(comment) => format!("denied by {by}: {comment}"),
        None => format!("denied by {by}"),
    };
    let ended =
        execution::end_without_task(app, id, &[Status::Waiting], Status::Stopped, &reason, None, &[entry]).await?;
    let record = ended.ok_or_else(waits_no_more)?;
    run::finish(app, &record).await?;
    Ok(record)
}

/// The approvals of an execution that waits for this user's, too.
async fn undecided(app: &App, record: &mut ExecutionRecord, by: &Email) -> Result<Approval> {
    *record = unless_expired(app, record.clone()).await?;
    let execution = &record.execution;
    let approval = execution.approval.clone().filter(|_| execution.status == Status::Waiting);
    let has_decided = |approval: &Approval| approval.given.iter().any(|decision| decision.by == *by);
    match approval {
        Some(approval) if has_decided(&approval) => {
            Err(Error::conflict("you have approved it already").with_hint("someone else has to, too"))
        }
        Some(approval) if !approval.is_complete() => Ok(approval),
        _ => Err(waits_no_more()),
    }
}

/// The refusal of a decision about an execution that needs none.
pub fn needs_none() -> Error {
    Error::conflict("the execution needs no approval").with_hint("only runs of playbooks that have approvals do")
}

fn waits_no_more() -> Error {
    Error::conflict("the execution does not wait for an approval any more").with_hint("look at its status")
}

fn check_comment(comment: Option<&str>) -> Result<()> {
    if comment.is_some_and(|text| text.len() > MAX_DESCRIPTION_BYTES) {
        let problem = format!("a comment has at most {MAX_DESCRIPTION_BYTES} bytes");
        return Err(Error::invalid(problem).at_field("comment"));
    }
    Ok(text::check_prose("comment", comment.unwrap_or_default())?)
}

/// The execution as it is now: one that has waited too long has FAILED, although nothing has looked at it since.
///
/// # Errors
/// [`Error::Aws`] when AWS fails.
pub async fn unless_expired(app: &App, record: ExecutionRecord) -> Result<ExecutionRecord> {
    let execution = &record.execution;
    let is_waiting = execution.status == Status::Waiting;
    if is_waiting && record.is_late(app.now()) {
        run::fail(app, &execution.execution_id, "its deadline passed before it could start").await?;
        return execution::get(app, &execution.execution_id).await;
    }
    let Some(approval) = execution.approval.as_ref().filter(|_| is_waiting) else {
        return Ok(record);
    };
    if approval.is_complete() || app.now() < approval.expires_at {
        return Ok(record);
    }
    let id = &execution.execution_id;
    let reason = format!("not enough people approved it until {}", time::rfc3339(approval.expires_at));
    run::fail(app, id, &reason).await?;
    execution::get(app, id).await
}

/// Ends the executions that have waited too long, and starts those that are approved and whose start was lost.
///
/// # Errors
/// The first error, after all executions have been tried.
pub async fn sweep(app: &App) -> Result<()> {
    let mut failed = None;
    for record in list::with_status(app, &[Status::Waiting]).await? {
        let is_complete = record.execution.approval.as_ref().is_some_and(Approval::is_complete);
        let id = record.execution.execution_id.clone();
        let moved =
            async { if is_complete { run::release(app, &id, &[]).await } else { unless_expired(app, record).await } };
        if let Err(error) = moved.await {
            tracing::warn!(execution_id = %id, error = %error.chain(), "an execution that waits was not moved on");
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}
