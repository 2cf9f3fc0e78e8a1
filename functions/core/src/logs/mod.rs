//! Stores the lines that a command prints in batches as CloudWatch Logs delivers them, and reads them back.

pub mod append;
pub(crate) mod attempt;
mod batch;
mod cloudwatch;
mod comparison;
pub mod completion;
mod deduplicate;
pub mod end_line;
pub(crate) mod fan_out_lease;
pub mod head;
pub mod read;
mod split;
pub mod store;

pub use batch::Batch;
pub use fan_out_lease::new_owner;
pub use head::LogHead;
pub use runvoy_api_types::LogEvent;
