//! Reads the frames that the server sends to a viewer.

use runvoy_api_types::{
    LogEvent, Status,
    frame::{EXECUTION_COMPLETED, Frame, TypedFrame},
};

use super::{event::Event, status::outcome};

/// The content of a frame.
pub(super) enum Brought {
    Lines(Vec<LogEvent>),
    Events(Vec<Event>),
    /// A kind of frame that a later server sends.
    Nothing,
}

/// Reads a frame. The error says why the connection is of no use any more.
pub(super) fn read(text: &str) -> Result<Brought, String> {
    let frame = serde_json::from_str(text).map_err(|error| format!("a frame is not runvoy's: {error}"))?;
    Ok(match frame {
        Frame::Line(event) => Brought::Lines(vec![event]),
        Frame::Typed(TypedFrame::Logs { events }) => Brought::Lines(events),
        // Every line has come, and the exit code is known. The task takes up to a minute to end.
        Frame::Typed(TypedFrame::Status { status, ending: Some(ending), .. }) => {
            let (status, exit_code) = outcome(status.parse::<Status>().ok(), ending);
            let status = Event::Status { status: status.to_string(), exit_code: Some(exit_code) };
            Brought::Events(vec![status, Event::End])
        }
        Frame::Typed(TypedFrame::Status { status, exit_code, ending: None }) => {
            Brought::Events(vec![Event::Status { status, exit_code }])
        }
        Frame::Typed(TypedFrame::Disconnect { reason }) if reason == EXECUTION_COMPLETED => {
            Brought::Events(vec![Event::End])
        }
        Frame::Typed(TypedFrame::Disconnect { reason }) => return Err(reason),
        Frame::Typed(TypedFrame::Other) => Brought::Nothing,
    })
}
