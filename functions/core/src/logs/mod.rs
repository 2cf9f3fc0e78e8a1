//! What a command printed: stored in batches as CloudWatch Logs hands them over, read back whole, served live.

pub mod batch;
pub mod cloudwatch;
pub mod read;
pub mod store;

use serde::{Deserialize, Serialize};

use crate::execution::id::ExecutionId;

/// How the runner's last line begins; its exit code follows.
pub const END_LINE: &str = "### runvoy runner: command ended, exit code => ";

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogEvent {
    /// CloudWatch's id; ids are in the order of the lines.
    pub event_id: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub message: String,
}

/// Characters that a message may take as JSON before it is split, so that no frame to a viewer passes the 128 KB that API
/// Gateway carries ("Amazon API Gateway quotas": WebSocket message payload).
const MAX_MESSAGE: usize = 120 * 1024;

/// The log stream of a container ("Using the awslogs log driver": `prefix-name/container-name/ecs-task-id`).
pub fn stream_name(container: &str, id: &ExecutionId) -> String {
    format!("task/{container}/{id}")
}

/// The execution that a log stream belongs to, if it is one of ours.
pub fn execution_of(stream: &str) -> Option<ExecutionId> {
    let (container, id) = stream.strip_prefix("task/")?.split_once('/')?;
    let ours = [crate::image::task_definition::RUNNER, crate::image::task_definition::SIDECAR].contains(&container);
    id.parse().ok().filter(|_| ours)
}

impl LogEvent {
    /// The event as viewers can be sent it: in several, with ids that follow each other, when it is very long.
    pub fn split(self) -> Vec<Self> {
        if self.message.len() <= MAX_MESSAGE / 6 || json_len(&self.message) <= MAX_MESSAGE {
            return vec![self];
        }
        let mut parts = Vec::new();
        let (mut start, mut size) = (0, 0);
        for (at, c) in self.message.char_indices() {
            let width = json_width(c);
            if size + width > MAX_MESSAGE {
                parts.push(self.part(parts.len(), start, at));
                (start, size) = (at, 0);
            }
            size += width;
        }
        parts.push(self.part(parts.len(), start, self.message.len()));
        parts
    }

    fn part(&self, number: usize, start: usize, end: usize) -> Self {
        let event_id = if number == 0 { self.event_id.clone() } else { format!("{}-{number:04}", self.event_id) };
        Self { event_id, timestamp: self.timestamp, message: self.message[start..end].to_owned() }
    }
}

fn json_width(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

fn json_len(text: &str) -> usize {
    text.chars().map(json_width).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_very_long_line_is_split_and_loses_nothing() {
        for message in ["x".repeat(300_000), "\u{1}".repeat(70_000), "é\"".repeat(100_000), "short".to_owned()] {
            let event = LogEvent { event_id: "7".to_owned(), timestamp: 1, message: message.clone() };
            let parts = event.split();
            assert_eq!(parts.iter().map(|part| part.message.as_str()).collect::<String>(), message);
            assert!(parts.iter().all(|part| serde_json::to_string(&part.message).unwrap().len() <= MAX_MESSAGE + 2));
            assert!(parts.is_sorted_by(|a, b| a.event_id < b.event_id));
        }
    }

    #[test]
    fn only_our_streams_name_an_execution() {
        assert_eq!(execution_of("task/runner/abc").unwrap().as_str(), "abc");
        for other in ["", "task/runner", "task/other/abc", "x/runner/abc", "task/runner/a/b"] {
            assert!(execution_of(other).is_none(), "{other}");
        }
    }
}
