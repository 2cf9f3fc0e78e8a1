//! Names ECS tasks, and says which attempt of which execution a task is.

use std::{fmt, str::FromStr};

use runvoy_api_types::NotAnExecutionId;
use serde::{Deserialize, Serialize};

use super::ExecutionId;
use crate::digest::digest;

/// Names an ECS task: the last segment of its ARN. An execution that starts at once has the id of its task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(ExecutionId);

impl TaskId {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The id in `arn:aws:ecs:region:account:task/cluster/id`.
    ///
    /// # Errors
    /// [`NotAnExecutionId`] for any other text.
    pub fn from_arn(arn: &str) -> Result<Self, NotAnExecutionId> {
        ExecutionId::from_task_arn(arn).map(Self)
    }

    /// The execution that has this task, if it started at once.
    pub(crate) fn as_execution(&self) -> &ExecutionId {
        &self.0
    }
}

/// The task of an execution that starts at once.
impl From<&ExecutionId> for TaskId {
    fn from(id: &ExecutionId) -> Self {
        Self(id.clone())
    }
}

impl FromStr for TaskId {
    type Err = NotAnExecutionId;

    fn from_str(text: &str) -> Result<Self, NotAnExecutionId> {
        text.parse().map(Self)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One attempt of an execution that exists before its task. Its task's `startedBy` says so, in events and in DescribeTasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub execution_id: ExecutionId,
    /// Counted from 1.
    pub number: u32,
}

impl Attempt {
    /// The task's `startedBy`: 36 characters at most, because older versions of ECS take no more ("RunTask").
    pub(super) fn started_by(&self) -> String {
        format!("{}-{}", self.execution_id, self.number)
    }

    /// The attempt that a `startedBy` names. `None` for that of any other task.
    pub fn parse(started_by: &str) -> Option<Self> {
        let (id, number) = started_by.rsplit_once('-')?;
        let is_ours = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        Some(Self { execution_id: id.parse().ok()?, number: number.parse().ok()? }).filter(|_| is_ours)
    }

    /// RunTask's client token. It is the same for each call for this attempt, so that ECS starts one task however often it is asked.
    pub(super) fn client_token(&self) -> String {
        digest(&["attempt", self.execution_id.as_str(), &self.number.to_string()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attempt_of_a_task_reads_back_and_other_tasks_have_none() {
        let attempt = Attempt { execution_id: "0123456789abcdef0123456789abcdef".parse().unwrap(), number: 12 };
        assert_eq!(Attempt::parse(&attempt.started_by()), Some(attempt));
        for other in ["", "ecs-svc/1234567890123456789", "somebody-1", "0123456789abcdef0123456789abcdef", "x-y"] {
            assert_eq!(Attempt::parse(other), None, "{other}");
        }
    }
}
