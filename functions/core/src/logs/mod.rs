//! The lines that a command prints: stored in batches as CloudWatch Logs delivers them, read back after the end, sent to viewers
//! while the command runs.

mod batch;
mod cloudwatch;
pub mod completion;
mod event;
pub mod read;
pub mod store;

pub use batch::Batch;
use runvoy_api_types::END_LINE;
pub use runvoy_api_types::LogEvent;
