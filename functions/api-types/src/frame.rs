//! Defines the frames that a viewer of a log receives over its WebSocket.

use serde::{Deserialize, Serialize};

use crate::{Ending, LogEvent};

/// The reason of the frame that ends a log which the viewer has got as a whole.
pub const EXECUTION_COMPLETED: &str = "execution_completed";

/// A frame of any kind but a line of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TypedFrame {
    /// Several lines, for a viewer who asks for batches.
    Logs { events: Vec<LogEvent> },
    /// The execution's status, for a viewer who asks for it.
    Status {
        /// A [`Status`](crate::Status). A later server may have more of them.
        status: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ending: Option<Ending>,
    },
    /// The last frame of a connection.
    Disconnect { reason: String },
    /// A frame of a later server.
    #[serde(other, skip_serializing)]
    Other,
}

/// A frame. A line that is sent alone has no type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Frame {
    Typed(TypedFrame),
    Line(LogEvent),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Frame {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_kind_of_frame_is_told_from_the_others() {
        let line = r#"{"event_id":"1","timestamp":2,"message":"hello"}"#;
        let Frame::Line(event) = read(line) else { panic!("a line has no type") };
        assert_eq!((event.message.as_str(), serde_json::to_string(&event).unwrap().as_str()), ("hello", line));
        let logs = format!(r#"{{"type":"logs","events":[{line}]}}"#);
        assert_eq!(read(&logs), Frame::Typed(TypedFrame::Logs { events: vec![event] }));
        let status = TypedFrame::Status { status: "PAUSED".to_owned(), exit_code: None, ending: None };
        assert_eq!(read(r#"{"type":"status","status":"PAUSED"}"#), Frame::Typed(status));
        assert_eq!(read(r#"{"type":"weather","wind":3}"#), Frame::Typed(TypedFrame::Other));
        let end = TypedFrame::Disconnect { reason: EXECUTION_COMPLETED.to_owned() };
        assert_eq!(serde_json::to_string(&end).unwrap(), r#"{"type":"disconnect","reason":"execution_completed"}"#);
    }
}
