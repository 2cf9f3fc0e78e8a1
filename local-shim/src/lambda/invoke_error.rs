//! Says why an invocation gave no answer.

use std::time::Duration;

use thiserror::Error;

/// Bytes that the request and the response of an invocation may have ("Lambda quotas").
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// Tells that each try of an event failed, and that the dead letters do not keep it.
#[derive(Debug, Error)]
#[error("the event was not handled")]
pub struct NotHandled;

/// A failure that the code of a function reports.
#[derive(Debug, Clone)]
pub struct FunctionError {
    pub error_type: String,
    pub message: String,
}

/// The reason for which an invocation gave no answer.
#[derive(Debug, Error)]
pub enum InvokeError {
    #[error("{}", .0.message)]
    Failed(FunctionError),
    #[error("the function panicked; its log says where")]
    Panicked,
    #[error("the function did not answer within its {} seconds", .0.as_secs())]
    TimedOut(Duration),
    #[error("the request has {0} bytes; Lambda takes {MAX_PAYLOAD} at most")]
    RequestTooLarge(usize),
    #[error("the answer has {0} bytes; Lambda passes on {MAX_PAYLOAD} at most")]
    ResponseTooLarge(usize),
    #[error("chaos: the function {0}")]
    Disturbed(&'static str),
}
