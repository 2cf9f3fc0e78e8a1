use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Names an execution: the last segment of the ARN of its ECS task.
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
    /// [`Error::Invalid`] for any other text.
    pub fn from_task_arn(arn: &str) -> Result<Self> {
        match arn.rsplit_once('/') {
            Some((head, id)) if head.contains(":task") => id.parse(),
            _ => Err(Error::invalid(format!("{arn:?} is not the ARN of a task"))),
        }
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ExecutionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let well_formed =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if well_formed { Ok(Self(text.to_owned())) } else { Err(Error::not_found("execution", text)) }
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
