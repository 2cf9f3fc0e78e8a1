//! Keeps the lease by which one invocation at a time starts the task of an attempt. ECS starts one task for each client token, but of two
//! calls at the same moment it may tell one that there is no room, and start the task for the other. The execution would give up what it
//! holds, or count the attempt as one without a task, although its task runs.

use std::time::Duration;

use super::{Attempt, Status, items::change_from};
use crate::{
    App, Error, Result,
    aws::LONGEST_CALL,
    error::Service,
    item_update::ItemUpdate,
    table::{self, Transacted, number},
};

/// The time that a lease lasts: the longest call of RunTask, and as long again for the write of the lease before it. Whoever has it and dies
/// holds the attempt up for that long.
const LEASE: Duration = LONGEST_CALL.saturating_mul(2);
/// The attribute of the execution that says until when it is leased, in milliseconds since 1970.
pub(super) const UNTIL: &str = "start_lease_until";

/// The lease of an invocation.
#[derive(Debug)]
pub(super) struct StartLease<'a> {
    pub(super) attempt: &'a Attempt,
    until: i64,
}

impl<'a> StartLease<'a> {
    /// Takes the lease of an attempt that is to be started. `None` when another invocation has it, or the attempt has a task or has ended.
    ///
    /// # Errors
    /// [`Error::Aws`] when DynamoDB fails.
    pub(super) async fn take(app: &App, attempt: &'a Attempt) -> Result<Option<Self>> {
        let now = app.now().as_millisecond();
        let until = now.saturating_add(LEASE.as_millis() as i64);
        let take = of(app, attempt)
            .only_if_expression("(attribute_not_exists(start_lease_until) OR start_lease_until <= :now)")
            .with_value(":now", number(now))
            .set(UNTIL, number(until));
        let taken = table::transact(app, vec![take.write()?]).await? == Transacted::Done;
        Ok(taken.then_some(Self { attempt, until }))
    }

    /// Makes sure that a call of RunTask that begins now is over when the lease ends.
    ///
    /// # Errors
    /// [`Error::Aws`] when it may not be, so that the start is tried again.
    pub(super) fn check(&self, app: &App) -> Result<()> {
        if app.now().as_millisecond().saturating_add(LONGEST_CALL.as_millis() as i64) <= self.until {
            return Ok(());
        }
        Err(Error::unavailable(Service::DynamoDb, "the start of a task took too long to prepare"))
    }

    /// A change of the execution, if this lease is still its last. It ends the lease.
    pub(super) fn change(&self, app: &App) -> ItemUpdate {
        self.guard(of(app, self.attempt))
    }

    /// A change that is made only if this lease is still the execution's last. It ends the lease.
    pub(super) fn guard(&self, change: ItemUpdate) -> ItemUpdate {
        change.only_if(UNTIL, [number(self.until)]).remove(UNTIL)
    }

    /// Ends the lease after a call that ECS has refused, so that a repetition need not wait.
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
