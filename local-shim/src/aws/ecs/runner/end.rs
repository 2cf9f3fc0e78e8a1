//! Tells how a task or a container ended, or why it did not start.

use std::{collections::BTreeMap, fmt};

/// The end of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    pub stop_code: &'static str,
    pub reason: String,
    /// The exit codes of the containers that ran, by their names.
    pub exit_codes: BTreeMap<String, i32>,
}

/// The end of a container.
#[derive(Clone, Debug)]
pub struct ContainerEnd {
    pub exit_code: i32,
    /// The reason for its end, if the exit code does not say it.
    pub reason: Option<String>,
}

/// The reason for which a container did not start, in ECS's words ("Stopped task error codes").
#[derive(Debug)]
pub struct StartError {
    pub code: &'static str,
    pub cause: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.cause)
    }
}
