//! Stores the lines that a command prints in batches as CloudWatch Logs delivers them, and reads them back.

mod batch;
mod cloudwatch;
pub mod completion;
mod event;
pub mod head;
pub mod read;
pub mod store;

pub use batch::Batch;
pub use head::LogHead;
use runvoy_api_types::END_LINE;
pub use runvoy_api_types::LogEvent;
