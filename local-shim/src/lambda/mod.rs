//! Does what the Lambda service does for a function: sets context, deadline and size limits, contains a panic, and repeats
//! asynchronous events that failed. Also the sources of events: rules, schedules, log subscriptions and table streams.

mod chaos;
pub(crate) mod dead_letters;
pub mod dispatcher;
mod event_bridge;
pub mod function;
pub mod function_log;
pub mod log_subscription;
pub(crate) mod queue;
mod recorder;
pub(crate) mod schedule;
pub mod table_stream;

pub use function::{Function, FunctionError, Handler, InvokeError, Kind};
pub use recorder::Recorder;
