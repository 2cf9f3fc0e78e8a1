//! Keeps the lease by which one invocation at a time calls RunTask for an attempt. ECS starts one task for each client token, but of two
//! calls at the same moment it may tell one that there is no room, and start the task for the other. The execution would give up what it
//! holds, or count the attempt as one without a task, although its task runs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Attempt, Status, items::change_from};
use crate::{
    App, Error, Result,
    aws::{ATTEMPT_TIMEOUT, LONGEST_CALL},
    error::Service,
    item_update::ItemUpdate,
    table::{self, Transacted, number},
};

/// The time that a lease lasts: the longest call of RunTask, and as long for the write of the lease and the registration of a task definition
/// before it. An invocation that has it and dies holds the attempt up for that long, and for [`LISTED_AFTER`].
const LEASE: Duration = LONGEST_CALL.saturating_mul(2);
/// The time that must be left when RunTask is called: for its longest call, and as long as one more try for ECS, which may still carry out a
/// try that the caller has given up. So 10 seconds are for what comes before the call.
const CALL: Duration = LONGEST_CALL.saturating_add(ATTEMPT_TIMEOUT);
/// The time after the end of a lease in which ECS may not list a task yet that was started under it. AWS gives no figure; a task that is
/// listed later is stopped when its execution has ended meanwhile.
const LISTED_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// The attribute of the execution that says until when it is leased, in milliseconds since 1970. It is removed as soon as it is certain whether
/// there is a task. One whose time is over tells that an invocation has died that may have started the task.
pub(super) const UNTIL: &str = "start_lease_until";
/// The condition that no invocation has the lease at the time `:now`.
const IS_FREE: &str = "attribute_not_exists(start_lease_until) OR start_lease_until <= :now";

/// The lease of an invocation.
#[derive(Debug)]
pub(super) struct StartLease<'a> {
    pub(super) attempt: &'a Attempt,
    until: LeasedUntil,
}

/// The end of a lease in milliseconds since 1970, which also tells one lease of an execution from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeasedUntil(i64);

impl LeasedUntil {
    /// The time that is left until ECS lists the task, if one was started under this lease. `None` if it is over.
    pub(crate) fn time_left(self, now: Timestamp) -> Option<SignedDuration> {
        let until = Timestamp::from_millisecond(self.0).ok()?.checked_add(LISTED_AFTER).ok()?;
        Some(until.duration_since(now)).filter(SignedDuration::is_positive)
    }
}

impl<'a> StartLease<'a> {
    /// Takes the lease of an attempt that is to be started. `None` when another invocation has it, or the attempt is not to be started any
    /// more: it has a task, has ended, waits again or is being stopped.
    ///
    /// # Errors
    /// [`Error::Aws`] when DynamoDB fails.
    pub(super) async fn take(app: &App, attempt: &'a Attempt) -> Result<Option<Self>> {
        let now = app.now().as_millisecond();
        let until = now.saturating_add(LEASE.as_millis() as i64);
        let take = of(app, attempt)
            .only_if_expression(&format!("({IS_FREE})"))
            .with_value(":now", number(now))
            .set(UNTIL, number(until));
        let taken = table::transact(app, vec![take.write()?]).await? == Transacted::Done;
        Ok(taken.then_some(Self { attempt, until: LeasedUntil(until) }))
    }

    /// Makes sure that a call of RunTask that begins now is over when the lease ends.
    ///
    /// # Errors
    /// [`Error::Aws`] when it may not be, so that the start is tried again.
    pub(super) fn check(&self, app: &App) -> Result<()> {
        if app.now().as_millisecond().saturating_add(CALL.as_millis() as i64) <= self.until.0 {
            return Ok(());
        }
        Err(Error::unavailable(Service::Ecs, "too little is left of the lease of the attempt to start its task"))
    }

    pub(super) fn until(&self) -> LeasedUntil {
        self.until
    }

    /// A change of the execution, if this lease is still its last. It ends the lease.
    pub(super) fn change(&self, app: &App) -> ItemUpdate {
        self.guard(of(app, self.attempt))
    }

    /// A change that is made only if this lease is still the execution's last. It ends the lease.
    pub(super) fn guard(&self, change: ItemUpdate) -> ItemUpdate {
        change.only_if(UNTIL, [number(self.until.0)]).remove(UNTIL)
    }

    /// Ends the lease after a failure with which there is no task, so that a repetition need not wait. Does nothing if another has it.
    ///
    /// # Errors
    /// [`Error::Aws`] when DynamoDB fails.
    pub(super) async fn end(&self, app: &App) -> Result<()> {
        table::transact(app, vec![self.change(app).write()?]).await.map(drop)
    }
}

/// A change of an execution whose present attempt is this one and has no task.
fn of(app: &App, attempt: &Attempt) -> ItemUpdate {
    change_from(app, &attempt.execution_id, &[Status::Starting])
        .only_if("attempt", [number(attempt.number)])
        .only_if_absent("task_id")
}

/// A change that is made only if no invocation has had a lease since this one, or none at all, so that none may have started the task.
pub(super) fn unless_another_starts(change: ItemUpdate, last: Option<LeasedUntil>) -> ItemUpdate {
    match last {
        Some(LeasedUntil(last)) => change.only_if(UNTIL, [number(last)]).remove(UNTIL),
        None => change.only_if_absent(UNTIL),
    }
}
