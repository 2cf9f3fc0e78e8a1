//! Defines one line of a log, the beginning of the runner's last one, and the log as the API shows it.

use serde::{Deserialize, Serialize};

use crate::{ExecutionId, Status};

/// The beginning of the runner's last line. The exit code follows.
pub const END_LINE: &str = "### runvoy runner: command ended, exit code => ";

/// One line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogEvent {
    /// CloudWatch's id of the line. The text order of ids is the order of the lines.
    pub event_id: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub message: String,
    /// The command's exit code, on the runner's last line only. A line that the command printed itself never has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The log of an execution that has ended, or where to follow one that has not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Logs {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub execution_id: ExecutionId,
    pub status: Status,
    /// `null` until the execution ends or is being stopped, unless lines after one of them are asked for.
    #[serde(default)]
    pub events: Option<Vec<LogEvent>>,
    /// Of an execution that has ended: whether its log has been compared with CloudWatch Logs to its end. Otherwise lines may be missing, and
    /// each later request compares more of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// The WebSocket on which to follow an execution that has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket_url: Option<String>,
}
