//! Defines the ids of executions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Names an execution: 32 hexadecimal digits. They are the id of its task if it could start at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(String);

impl ExecutionId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id in `arn:aws:ecs:region:account:task/cluster/id`.
    ///
    /// # Errors
    /// [`NotAnExecutionId`] for any other text.
    pub fn from_task_arn(arn: &str) -> Result<Self, NotAnExecutionId> {
        match arn.rsplit_once('/') {
            Some((head, id)) if head.contains(":task") => id.parse(),
            _ => Err(NotAnExecutionId(arn.to_owned())),
        }
    }
}

/// A text that names no execution, because no execution can have it for an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnExecutionId(pub String);

impl fmt::Display for NotAnExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not the id of an execution", self.0)
    }
}

impl std::error::Error for NotAnExecutionId {}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ExecutionId {
    type Err = NotAnExecutionId;

    fn from_str(text: &str) -> Result<Self, NotAnExecutionId> {
        let well_formed =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if well_formed { Ok(Self(text.to_owned())) } else { Err(NotAnExecutionId(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_id_is_the_last_segment_of_its_tasks_arn() {
        let arn = "arn:aws:ecs:us-east-1:123456789012:task/runvoy/0123456789abcdef0123456789abcdef";
        assert_eq!(ExecutionId::from_task_arn(arn).unwrap().as_str(), "0123456789abcdef0123456789abcdef");
        for bad in ["", "x", "arn:aws:ecs:r:a:task/", "arn:aws:ecs:r:a:cluster/x", "arn:aws:ecs:r:a:task/c/../x y"] {
            assert!(ExecutionId::from_task_arn(bad).is_err(), "{bad}");
        }
    }
}
