//! Frames as viewers read them. Clients print anything else as a blank line, so there is nothing else.

use serde::Serialize;

use crate::{Result, execution::Status, logs::LogEvent};

/// What a frame may have at most: 128 KB ("Amazon API Gateway quotas": WebSocket message payload).
pub const MAX_FRAME: usize = 128 * 1024;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Control {
    Disconnect {
        reason: &'static str,
    },
    Status {
        status: Status,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
}

/// The last frame.
pub fn disconnect() -> Result<String> {
    json(&Control::Disconnect { reason: "execution_completed" })
}

/// The execution's status, for viewers that want to know.
pub fn status(status: Status, exit_code: Option<i32>) -> Result<String> {
    json(&Control::Status { status, exit_code })
}

/// Lines as frames: one each, or with `batch` as many in one as fit.
pub fn lines(events: &[LogEvent], batch: bool) -> Result<Vec<String>> {
    if !batch {
        return events.iter().map(json).collect();
    }
    const OPEN: &str = r#"{"type":"logs","events":["#;
    const CLOSE: &str = "]}";
    let mut frames = Vec::new();
    let mut frame = String::new();
    for event in events {
        let event = json(event)?;
        if frame.len() + event.len() + 1 + CLOSE.len() > MAX_FRAME && !frame.is_empty() {
            frame.push_str(CLOSE);
            frames.push(std::mem::take(&mut frame));
        }
        frame.push_str(if frame.is_empty() { OPEN } else { "," });
        frame.push_str(&event);
    }
    if !frame.is_empty() {
        frame.push_str(CLOSE);
        frames.push(frame);
    }
    Ok(frames)
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| crate::Error::Internal(format!("a frame could not be written: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize, size: usize) -> Vec<LogEvent> {
        (0..count)
            .map(|n| LogEvent { event_id: format!("{n:056}"), timestamp: 1, message: "\"".repeat(size) })
            .collect()
    }

    #[test]
    fn a_line_is_a_frame() {
        let frames = lines(&events(2, 1), false).unwrap();
        assert_eq!(frames.len(), 2);
        assert!(
            frames[0].starts_with(r#"{"event_id":"000"#) && frames[0].ends_with(r#","timestamp":1,"message":"\""}"#)
        );
    }

    #[test]
    fn batched_frames_stay_under_the_limit_and_lose_nothing() {
        for (count, size) in [(0, 0), (1, 10), (5000, 20), (7, 60_000)] {
            let events = events(count, size);
            let frames = lines(&events, true).unwrap();
            assert!(frames.iter().all(|frame| frame.len() <= MAX_FRAME));
            let read: Vec<LogEvent> = frames
                .iter()
                .flat_map(|frame| {
                    let mut frame: serde_json::Value = serde_json::from_str(frame).unwrap();
                    assert_eq!(frame["type"], "logs");
                    serde_json::from_value::<Vec<LogEvent>>(frame["events"].take()).unwrap()
                })
                .collect();
            assert_eq!(read, events);
        }
    }

    #[test]
    fn the_disconnect_frame_is_the_contracts() {
        assert_eq!(disconnect().unwrap(), r#"{"type":"disconnect","reason":"execution_completed"}"#);
    }
}
