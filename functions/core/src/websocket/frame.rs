//! Writes the frames that viewers receive. Existing clients print any other frame as a blank line, so no other is sent unless the viewer
//! asks for it.

use runvoy_api_types::{
    Ending,
    frame::{EXECUTION_COMPLETED, TypedFrame},
};
use serde::Serialize;

use crate::{Result, execution::Status, logs::LogEvent};

/// Bytes of a frame with several lines. API Gateway counts 32 KB as one message, and names it as the limit of a frame ("Amazon API
/// Gateway quotas": WebSocket frame size). A line that is longer is a frame of its own, of 128 KB at most (message payload size).
const MAX_BATCH: usize = 32 * 1024;

/// The last frame of a connection.
pub(super) fn disconnect() -> Result<String> {
    json(&TypedFrame::Disconnect { reason: EXECUTION_COMPLETED.to_owned() })
}

/// The execution's status, for viewers that asked for it.
pub(super) fn status(status: Status, exit_code: Option<i32>) -> Result<String> {
    json(&TypedFrame::Status { status: status.to_string(), exit_code, ending: None })
}

/// The end of the command, whose task goes on for a moment, for viewers that asked for the status. It comes after the last line.
pub(super) fn ending(status: Status, exit_code: i32) -> Result<String> {
    let ending = Some(Ending { exit_code, at: None });
    json(&TypedFrame::Status { status: status.to_string(), exit_code: None, ending })
}

/// A frame of lines.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) text: String,
    /// The number of lines in the frame.
    pub(super) count: usize,
}

/// Lines as frames: one frame for each line, or with `batch` as many lines in a frame as fit.
pub(super) fn lines<'a>(events: impl IntoIterator<Item = &'a LogEvent>, batch: bool) -> Result<Vec<Lines>> {
    if !batch {
        return events.into_iter().map(|event| Ok(Lines { text: json(event)?, count: 1 })).collect();
    }
    const OPEN: &str = r#"{"type":"logs","events":["#;
    const CLOSE: &str = "]}";
    let mut frames = Vec::new();
    let mut frame = Lines::default();
    for event in events {
        let event = json(event)?;
        if frame.text.len() + event.len() + 1 + CLOSE.len() > MAX_BATCH && frame.count > 0 {
            frame.text.push_str(CLOSE);
            frames.push(std::mem::take(&mut frame));
        }
        frame.text.push_str(if frame.count == 0 { OPEN } else { "," });
        frame.text.push_str(&event);
        frame.count += 1;
    }
    if frame.count > 0 {
        frame.text.push_str(CLOSE);
        frames.push(frame);
    }
    Ok(frames)
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| crate::Error::internal_with("a frame could not be serialized", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize, size: usize) -> Vec<LogEvent> {
        (0..count)
            .map(|n| LogEvent {
                event_id: format!("{n:056}"),
                timestamp: 1,
                message: "\"".repeat(size),
                exit_code: None,
            })
            .collect()
    }

    #[test]
    fn a_line_is_a_frame() {
        let frames = lines(&events(2, 1), false).unwrap();
        assert_eq!(frames.len(), 2);
        assert!(
            frames[0].text.starts_with(r#"{"event_id":"000"#)
                && frames[0].text.ends_with(r#","timestamp":1,"message":"\""}"#)
        );
    }

    #[test]
    fn batched_frames_stay_under_the_limit_and_lose_nothing() {
        for (count, size) in [(0, 0), (1, 10), (5000, 20), (7, 60_000)] {
            let events = events(count, size);
            let frames = lines(&events, true).unwrap();
            let fits =
                |frame: &Lines| frame.text.len() <= MAX_BATCH || frame.count == 1 && frame.text.len() <= 128 * 1024;
            assert!(frames.iter().all(fits));
            let read: Vec<LogEvent> = frames
                .iter()
                .flat_map(|frame| {
                    let mut json: serde_json::Value = serde_json::from_str(&frame.text).unwrap();
                    assert_eq!(json["type"], "logs");
                    let lines = serde_json::from_value::<Vec<LogEvent>>(json["events"].take()).unwrap();
                    assert_eq!(lines.len(), frame.count);
                    lines
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
