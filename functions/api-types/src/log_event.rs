//! Defines one line of a log, and the beginning of the runner's last one.

use serde::{Deserialize, Serialize};

/// The beginning of the runner's last line. The exit code follows.
pub const END_LINE: &str = "### runvoy runner: command ended, exit code => ";

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogEvent {
    /// CloudWatch's id of the line. The text order of ids is the order of the lines.
    pub event_id: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub message: String,
}
