//! The lines that a command prints: stored in batches as CloudWatch Logs delivers them, read back after the end, sent to viewers
//! while the command runs.

mod batch;
mod cloudwatch;
pub mod completion;
pub mod read;
pub mod store;

use serde::{Deserialize, Serialize};

pub use batch::Batch;

/// The beginning of the runner's last line. The exit code follows.
const END_LINE: &str = "### runvoy runner: command ended, exit code => ";

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogEvent {
    /// CloudWatch's id of the line. The text order of ids is the order of the lines.
    pub event_id: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub message: String,
}

/// Bytes that a message may have as JSON before it is split, so that no frame to a viewer is longer than the 128 KB that API
/// Gateway allows ("Amazon API Gateway quotas": WebSocket message payload).
const MAX_MESSAGE: usize = 120 * 1024;

impl LogEvent {
    /// The event as viewers can receive it: a very long message becomes several events, with ids that keep their order.
    fn split(self) -> Vec<Self> {
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
}
