//! Defines the record of an execution, as the executions table keeps it.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Asked, Execution, ExecutionId, Idempotency, LeasedUntil, LogStream, Status, TaskId, TaskTimes};
use crate::{
    Email, RequestId,
    image::{ImageId, task_definition::RUNNER},
    time,
};

/// An item of the executions table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecutionRecord {
    #[serde(flatten)]
    pub execution: Execution,
    /// A hash of the request, where the caller sent an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_hash: Option<String>,
    /// The text that proves the runner's last line. Absent for an execution of an earlier version of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// ECS's code for the end of the task, such as `SpotInterruption`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stop_code: Option<String>,
    /// The exit code of the container that clones the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sidecar_exit_code: Option<i32>,
    /// The sidecar's own words for its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sidecar_failure: Option<String>,
    #[serde(flatten)]
    pub(crate) earlier_log: EarlierLog,
    /// For an execution that exists before its task: the task of its present attempt. Absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) task_id: Option<TaskId>,
    /// The user whose rights to the image and the secrets count, if they are not the creator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rights_of: Option<Email>,
    /// The number of its locks that it holds, in the order of its list.
    #[serde(default)]
    pub(crate) locks_held: u32,
    /// Its place in the line of the next lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// The executions whose ends it still waits for, and how they have to end, unless they have been waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending_after: Vec<ExecutionId>,
    /// The executions that wait for the end of this one.
    #[serde(default, skip_serializing_if = "HashSet::is_empty")]
    pub(crate) followers: HashSet<ExecutionId>,
    /// The times that ECS has told of the task.
    #[serde(default, rename = "task_times", skip_serializing_if = "Option::is_none")]
    pub(super) times: Option<TaskTimes>,
    /// When the task of the present attempt was asked for.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(super) starting_at: Option<Timestamp>,
    /// The id of the line in the log that marks the beginning of the present attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempt_mark: Option<String>,
    /// The last lease of the start of the task. `None` when it is certain whether there is a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_lease_until: Option<LeasedUntil>,
    /// When the task of the present attempt was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_noted_at: Option<Timestamp>,
}

impl ExecutionRecord {
    /// The task of the present attempt. An execution without attempts started at once, and has its task's id.
    pub fn task(&self) -> Option<TaskId> {
        match self.execution.attempt {
            None => Some(TaskId::from(&self.execution.execution_id)),
            Some(_) => self.task_id.clone(),
        }
    }

    /// The tasks of all attempts, that of the present one last. An attempt for which there was no capacity had none.
    pub fn tasks(&self) -> Vec<TaskId> {
        let earlier = self.execution.earlier_attempts.iter();
        earlier.filter_map(|attempt| attempt.task_id.as_ref()?.parse().ok()).chain(self.task()).collect()
    }

    /// When the execution has to have ended. `None` without a deadline.
    pub fn deadline(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.execution.asked.deadline?).ok()?;
        self.execution.started_at.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// Tells whether its deadline has passed.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// When the present attempt was begun: the time of the request, for an execution that started at once.
    pub fn begun_at(&self) -> Timestamp {
        self.starting_at.unwrap_or(self.execution.started_at)
    }

    /// The latest time at which the task of the present attempt was started.
    pub fn has_task_since(&self) -> Timestamp {
        self.task_noted_at.unwrap_or(self.begun_at())
    }

    /// The last lease with which an invocation may have started the task of the present attempt. `None` when it is certain whether there is a
    /// task.
    pub(crate) fn start_lease(&self) -> Option<LeasedUntil> {
        self.start_lease_until
    }

    /// Tells whether ECS has told the end of a task.
    pub fn has_task_end(&self) -> bool {
        self.stop_code.is_some()
    }
}

/// The position up to which the log of an execution was stored by an earlier version of the program, which kept this on the execution's record.
/// [`LogHead`](crate::logs::LogHead) has it now.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EarlierLog {
    #[serde(default, skip_serializing)]
    pub(crate) log_sequence: u64,
    #[serde(default, skip_serializing)]
    pub(crate) log_last_event_id: Option<String>,
    #[serde(default, skip_serializing)]
    pub(crate) log_complete: bool,
    /// The number of viewers that have ever connected.
    #[serde(default, skip_serializing)]
    pub(crate) viewers: u64,
}

/// An execution whose task has just been started.
#[derive(Clone, Debug)]
pub struct NewExecution {
    pub execution_id: ExecutionId,
    pub created_by: Email,
    pub command: String,
    pub image_id: ImageId,
    pub started_at: Timestamp,
    pub request_id: RequestId,
    pub idempotency: Option<Idempotency>,
    pub asked: Asked,
    /// The text that proves the runner's last line.
    pub nonce: Option<String>,
}

impl ExecutionRecord {
    /// The record of an execution whose task has just been started.
    pub(super) fn of_task(new: &NewExecution) -> Self {
        let task = TaskId::from(&new.execution_id);
        let execution = Execution {
            execution_id: new.execution_id.clone(),
            created_by: new.created_by.clone(),
            owned_by: vec![new.created_by.clone()],
            command: new.command.clone(),
            image_id: new.image_id.clone(),
            started_at: new.started_at,
            completed_at: None,
            status: Status::Starting,
            exit_code: None,
            duration_seconds: None,
            log_stream_name: Some(LogStream::new(RUNNER, &task).to_string()),
            created_by_request_id: new.request_id.clone(),
            modified_by_request_id: new.request_id.clone(),
            cloud: "AWS".to_owned(),
            stopped_reason: None,
            reason: None,
            ending: None,
            timing: None,
            cost_estimate_usd: None,
            attempt: None,
            earlier_attempts: Vec::new(),
            next_attempt_at: None,
            locks: Vec::new(),
            approval: None,
            waits_for: None,
            asked: new.asked.clone(),
        };
        Self {
            execution,
            request_hash: new.idempotency.as_ref().map(|idempotency| idempotency.request_hash.clone()),
            nonce: new.nonce.clone(),
            stop_code: None,
            sidecar_exit_code: None,
            sidecar_failure: None,
            earlier_log: EarlierLog::default(),
            task_id: None,
            rights_of: None,
            locks_held: 0,
            place: None,
            pending_after: Vec::new(),
            followers: HashSet::new(),
            times: None,
            starting_at: None,
            attempt_mark: None,
            start_lease_until: None,
            task_noted_at: None,
        }
    }
}
