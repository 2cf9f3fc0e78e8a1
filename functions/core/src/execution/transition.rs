//! Describes a change of an execution's status, and its result.

use jiff::Timestamp;
use runvoy_api_types::RetryOn;

use super::{ExecutionRecord, TaskId, TaskTimes};
use crate::RequestId;

/// The attributes that a status change writes besides the status.
#[derive(Clone, Debug, Default)]
pub struct Transition {
    pub exit_code: Option<i32>,
    pub completed_at: Option<Timestamp>,
    pub duration_seconds: Option<i64>,
    pub stopped_reason: Option<String>,
    pub stop_code: Option<String>,
    pub sidecar_exit_code: Option<i32>,
    pub request_id: Option<RequestId>,
    pub times: Option<TaskTimes>,
    pub cost_estimate_usd: Option<f64>,
    /// The task whose event makes the change. An execution that has another task by now does not change.
    pub task: Option<TaskId>,
    /// The kind of a task's end, where another attempt may follow it.
    pub retry_on: Option<RetryOn>,
}

/// The result of a status change.
#[derive(Debug)]
pub enum Changed {
    /// The status was written. Holds the record after the change.
    Yes(Box<ExecutionRecord>),
    /// The execution cannot take that status any more. Holds the record as it was found.
    No(Box<ExecutionRecord>),
    /// There is no such execution, or its record has not been written yet.
    Missing,
}
