//! Tells what happens to an execution that is followed.

use runvoy_api_types::LogEvent;

/// An event of an execution that is followed.
#[derive(Debug)]
pub(crate) enum Event {
    Lines(Vec<LogEvent>),
    Status {
        status: String,
        exit_code: Option<i32>,
    },
    /// Every line has come.
    End,
}
