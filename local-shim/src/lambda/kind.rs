//! Tells the kinds of asynchronous events apart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of asynchronous events. Each has invocations of its own, so that no kind waits behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    LogBatch,
    EventBridge,
    WebSocket,
    Schedule,
    StreamRecords,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LogBatch => "log batch",
            Self::EventBridge => "EventBridge event",
            Self::WebSocket => "WebSocket event",
            Self::Schedule => "schedule",
            Self::StreamRecords => "stream records",
        })
    }
}
