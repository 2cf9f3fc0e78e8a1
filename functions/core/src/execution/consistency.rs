//! Tells whether ECS shows a new task by now ("RunTask", eventual consistency, Amazon ECS API Reference).

use std::time::Duration;

use jiff::Timestamp;

use super::TaskId;
use crate::{App, Error, error::Service};

/// The time in which DescribeTasks may not show a task yet that ECS has started or told of in an event. AWS gives no figure ("RunTask",
/// eventual consistency); a minute is generous.
pub(crate) const CONSISTENT_AFTER: Duration = Duration::from_mins(1);

/// Tells whether DescribeTasks shows by now every task that existed at this time.
pub fn is_consistent(app: &App, since: Timestamp) -> bool {
    app.now().duration_since(since).unsigned_abs() > CONSISTENT_AFTER
}

/// The failure of a call about a task that ECS has just started and does not show yet. The caller's repetition mends it.
pub(super) fn not_known_yet(id: &TaskId) -> Error {
    Error::unavailable(Service::Ecs, format!("task {id} is not known yet"))
}
