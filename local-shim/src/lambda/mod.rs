//! What the Lambda service does around a function: context, deadline, size limits, a panic contained, asynchronous events
//! tried again; and the event sources that feed it.

pub mod chaos;
pub mod event_bridge;
pub mod function;
pub mod function_log;
pub mod instance;
pub mod log_subscription;
pub mod schedule;
pub mod table_stream;

pub use function::{Function, FunctionError, Handler, InvokeError};
