//! Tells which locks an execution takes, and in which order: those that it asked for, then its place among the executions that have a task.

use runvoy_api_types::Execution;

use crate::App;

/// The name of the lock that limits the executions that have a task. The names that runs can ask for have no `~`.
pub(crate) const RUNNING: &str = "~running";

/// The lock with this index, counted from 0, of those that an execution takes one after the other.
pub(crate) fn nth(execution: &Execution, index: usize) -> &str {
    execution.locks.get(index).map_or(RUNNING, String::as_str)
}

/// The number of locks that an execution holds while it has a task.
pub(crate) fn needed(app: &App, execution: &Execution) -> usize {
    execution.locks.len() + usize::from(app.config.max_running.is_some())
}
