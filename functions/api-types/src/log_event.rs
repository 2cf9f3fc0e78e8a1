//! Defines one line of a log, and the beginning of the runner's last one.

use serde::{Deserialize, Serialize};

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
