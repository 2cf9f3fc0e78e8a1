//! Splits lines that are too long for one frame to a viewer.

use super::LogEvent;

/// Bytes that a message may have as JSON before it is split, so that no frame to a viewer is longer than the 128 KB that API
/// Gateway allows ("Amazon API Gateway quotas": WebSocket message payload).
const MAX_MESSAGE: usize = 120 * 1024;

/// The event as viewers can receive it: a very long message becomes several events, with ids that keep their order.
pub(super) fn split(event: LogEvent) -> Vec<LogEvent> {
    if event.message.len() <= MAX_MESSAGE / 6 || json_len(&event.message) <= MAX_MESSAGE {
        return vec![event];
    }
    let mut parts = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, c) in event.message.char_indices() {
        let width = json_width(c);
        if size + width > MAX_MESSAGE {
            parts.push(part(&event, parts.len(), start, at));
            (start, size) = (at, 0);
        }
        size += width;
    }
    parts.push(part(&event, parts.len(), start, event.message.len()));
    parts
}

fn part(event: &LogEvent, number: usize, start: usize, end: usize) -> LogEvent {
    let event_id = if number == 0 { event.event_id.clone() } else { format!("{}-{number:04}", event.event_id) };
    LogEvent { event_id, timestamp: event.timestamp, message: event.message[start..end].to_owned(), exit_code: None }
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
            let event = LogEvent { event_id: "7".to_owned(), timestamp: 1, message: message.clone(), exit_code: None };
            let parts = split(event);
            assert_eq!(parts.iter().map(|part| part.message.as_str()).collect::<String>(), message);
            assert!(parts.iter().all(|part| serde_json::to_string(&part.message).unwrap().len() <= MAX_MESSAGE + 2));
            assert!(parts.is_sorted_by(|a, b| a.event_id < b.event_id));
        }
    }
}
