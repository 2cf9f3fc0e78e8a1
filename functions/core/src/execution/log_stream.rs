//! Names the log streams of an execution's tasks.

use std::fmt;

use super::TaskId;
use crate::image::task_definition::{RUNNER, SIDECAR};

/// The stream of one container of a task, named as the log driver names it ("Using the awslogs log driver":
/// `prefix-name/container-name/ecs-task-id`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStream {
    pub container: &'static str,
    pub task_id: TaskId,
}

impl LogStream {
    pub(crate) fn new(container: &'static str, task_id: &TaskId) -> Self {
        Self { container, task_id: task_id.clone() }
    }

    /// The stream with this name. `None` for a name that no container of a task has.
    pub fn parse(name: &str) -> Option<Self> {
        let (container, id) = name.strip_prefix("task/")?.split_once('/')?;
        let container = [RUNNER, SIDECAR].into_iter().find(|ours| *ours == container)?;
        Some(Self { container, task_id: id.parse().ok()? })
    }
}

impl fmt::Display for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task/{}/{}", self.container, self.task_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_streams_of_the_two_containers_name_a_task() {
        let stream = LogStream::parse("task/runner/abc").unwrap();
        assert_eq!(
            (stream.container, stream.task_id.as_str(), stream.to_string().as_str()),
            ("runner", "abc", "task/runner/abc")
        );
        for other in ["", "task/runner", "task/other/abc", "x/runner/abc", "task/runner/a/b"] {
            assert!(LogStream::parse(other).is_none(), "{other}");
        }
    }
}
