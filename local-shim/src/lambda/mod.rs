//! Does what the Lambda service does for a function: sets context, deadline and size limits, contains a panic, and repeats
//! asynchronous events that failed. Also the sources of events: rules, schedules, log subscriptions and table streams.

mod chaos;
pub(crate) mod dead_letters;
pub mod dispatcher;
mod event_bridge;
pub mod function;
pub mod function_log;
mod invoke_error;
mod kind;
pub mod log_batch_event;
pub(crate) mod log_subscription;
pub(crate) mod queue;
mod recorder;
mod redrive;
pub(crate) mod schedule;
pub mod table_stream;

pub use function::{Function, Handler};
pub use invoke_error::{FunctionError, InvokeError, MAX_PAYLOAD, NotHandled};
pub use kind::Kind;
pub use recorder::Recorder;
