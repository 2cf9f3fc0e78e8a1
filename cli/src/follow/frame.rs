//! Reads the frames that the server sends to a viewer.

use runvoy_api_types::{Ending, LogEvent, Status};
use serde::Deserialize;

use super::{Event, status::outcome};

/// A frame as the server sends it. A line of its own has no type.
#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    events: Vec<LogEvent>,
    reason: Option<String>,
    status: Option<String>,
    exit_code: Option<i32>,
    ending: Option<Ending>,
    event_id: Option<String>,
    timestamp: Option<i64>,
    message: Option<String>,
}

/// The content of a frame.
pub(super) enum Brought {
    Lines(Vec<LogEvent>),
    Events(Vec<Event>),
    /// A sign of life, or a kind of frame that a later server sends.
    Nothing,
}

/// Reads a frame. The error says why the connection is of no use any more.
pub(super) fn read(text: &str) -> Result<Brought, String> {
    let frame: Frame = serde_json::from_str(text).map_err(|error| format!("a frame is not runvoy's: {error}"))?;
    Ok(match (frame.kind.as_deref(), frame.status) {
        (Some("logs"), _) => Brought::Lines(frame.events),
        (Some("status"), Some(status)) => match frame.ending {
            // Every line has come, and the exit code is known. The task takes up to a minute to end.
            Some(ending) => {
                let (status, exit_code) = outcome(status.parse::<Status>().ok(), ending);
                let status = Event::Status { status: status.to_string(), exit_code: Some(exit_code) };
                Brought::Events(vec![status, Event::End])
            }
            None => Brought::Events(vec![Event::Status { status, exit_code: frame.exit_code }]),
        },
        (Some("disconnect"), _) if frame.reason.as_deref() == Some("execution_completed") => {
            Brought::Events(vec![Event::End])
        }
        (Some("disconnect"), _) => return Err(frame.reason.unwrap_or_else(|| "the server closes it".to_owned())),
        (None, _) => match (frame.event_id, frame.timestamp, frame.message) {
            (Some(event_id), Some(timestamp), Some(message)) => {
                Brought::Lines(vec![LogEvent { event_id, timestamp, message, exit_code: frame.exit_code }])
            }
            _ => Brought::Nothing,
        },
        (Some(_), _) => Brought::Nothing,
    })
}
