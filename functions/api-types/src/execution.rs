//! Defines an execution as the API shows it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Approval, EarlierAttempt, Email, ExecutionId, ImageId, RequestId, Retry, Status, time};

/// An execution as the API lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Execution {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub execution_id: ExecutionId,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    pub command: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image_id: ImageId,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub started_at: Timestamp,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub completed_at: Option<Timestamp>,
    pub status: Status,
    /// `null` until completed.
    #[serde(default)]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream_name: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_by_request_id: RequestId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub modified_by_request_id: RequestId,
    pub cloud: String,
    /// Why the execution ended, when it was not its command that failed: in the words of ECS, or in runvoy's for one that was stopped or
    /// never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// Why the execution failed or was stopped, in words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command has ended and its task has not. `exit_code` has the same code once the task has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Where the time went, by the times that ECS tells of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// The cost of the task in US dollars, estimated from its size and the seconds that Fargate bills. Absent in regions whose prices are
    /// not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_estimate_usd: Option<f64>,
    /// The number of the present attempt, for an execution that waited before its task was started, or that may have several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The attempts that have ended, the oldest first. The present one, or the last, is not among them: the execution itself shows it.
    #[serde(rename = "attempts", alias = "earlier_attempts", default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_attempts: Vec<EarlierAttempt>,
    /// The time before which the next attempt does not begin, while it is `QUEUED` for that.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub next_attempt_at: Option<Timestamp>,
    /// The locks that it holds until it ends, or waits for.
    #[serde(rename = "lock", default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// The thing that it waits for, while it is `WAITING` or `QUEUED`, in words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Who must approve it, and who has, if it had to wait for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    #[serde(flatten)]
    pub asked: Asked,
}

/// An execution as `GET /executions/{id}` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecutionInFull {
    #[serde(flatten)]
    pub execution: Execution,
    /// For owners, operators and admins: the request by which the same can be run again, with the values of variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<AskedAgain>,
    /// Its place in the line of the lock that it waits for, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<usize>,
}

/// The present status of an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecutionStatus {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub execution_id: ExecutionId,
    pub status: Status,
    pub command: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image_id: ImageId,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub started_at: Timestamp,
    #[serde(default)]
    pub exit_code: Option<i32>,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub completed_at: Option<Timestamp>,
    /// Why the task failed, when it was not its command that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// Why the execution failed or was stopped, in words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command has ended and its task has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// An execution that is being stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Killed {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub execution_id: ExecutionId,
    pub message: String,
}

/// The reason of a failure that tells the exit code and nothing more, so that a client that shows the code need not say it twice.
pub fn plain_reason(exit_code: i32) -> String {
    format!("the command ended with exit code {exit_code}")
}

/// Seconds that an execution has spent in each part of its life. A part is there once it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Timing {
    /// From the request until ECS has accepted the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<f64>,
    /// Fargate finds a machine and attaches the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<f64>,
    /// The images are pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulling: Option<f64>,
    /// The containers start; a repository is cloned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<f64>,
    /// Fargate takes the machine and the network back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<f64>,
}

/// The end of a command whose task has not ended yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ending {
    pub exit_code: i32,
    /// The time of the command's end.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub at: Option<Timestamp>,
}

/// The part of a run's request that everyone sees who sees the execution: names, and no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Asked {
    /// Names of the environment variables.
    #[serde(default)]
    pub variables: Vec<String>,
    /// Names of the secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Without the credentials that the URL may have had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_repo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_path: Option<String>,
    /// The commit that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// Seconds after which the command is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// CPU units of this run, if not the image's; 1024 make one virtual CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// MiB of memory of this run, if not the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// GiB of disk, if not the 20 that each task has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    /// The task runs on Fargate Spot, which costs less and may be taken away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// The executions that had to end before it could start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub after: Vec<ExecutionId>,
    /// The end that they had to have.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub run_if: Option<RunIf>,
    /// Seconds after the request within which it has to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// The number of its attempts, and the ends after which another one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The number of slots that its lock was to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// The choice of the request for the case that it could not start at once. Absent where the request did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// Where the request came from: `api`, `playbook:NAME@VERSION` or `schedule:NAME`.
    #[serde(default = "api")]
    pub source: String,
    /// The published playbook that a schedule ran, with its version: `restart@3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook_version: Option<String>,
}

/// The fate of a run that cannot start at once, because a lock is held or there is no capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::VariantArray)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OnConflict {
    /// It is refused.
    #[default]
    Refuse,
    /// It waits for its turn as `QUEUED`.
    Queue,
}

/// The end that other executions must have come to, so that a run which waits for them starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RunIf {
    /// All have succeeded.
    #[default]
    Succeeded,
    /// All have ended, in any way.
    Ended,
}

/// A run's request as it can be sent again, with `left_out` given anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskedAgain {
    pub command: String,
    /// The id of the image. Absent where the default image was asked for and there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    pub env: BTreeMap<String, String>,
    /// Names of variables whose values are not kept, because the names say that they are secrets or because the time for which values
    /// are kept is over.
    pub left_out: Vec<String>,
    pub secrets: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_repo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            variables: Vec::new(),
            secrets: Vec::new(),
            git_repo: None,
            git_ref: None,
            git_path: None,
            git_commit: None,
            timeout: None,
            cpu: None,
            memory: None,
            disk: None,
            spot: false,
            after: Vec::new(),
            run_if: None,
            deadline: None,
            retry: None,
            slots: None,
            on_conflict: None,
            source: api(),
            playbook_version: None,
        }
    }
}

/// The beginning of the source of a published playbook's executions: `playbook:NAME@VERSION`.
pub const PLAYBOOK_SOURCE: &str = "playbook:";

/// The name of the playbook in the source of an execution, if a playbook was its source.
pub fn playbook_in_source(source: &str) -> Option<&str> {
    source.strip_prefix(PLAYBOOK_SOURCE)?.rsplit_once('@').map(|(name, _)| name)
}

impl Asked {
    /// The name of the playbook that was run, if one was: by itself or for a schedule.
    pub fn playbook(&self) -> Option<&str> {
        let of_schedule = || self.playbook_version.as_deref()?.rsplit_once('@').map(|(name, _)| name);
        playbook_in_source(&self.source).or_else(of_schedule)
    }

    /// The name and the version of the playbook that was run, if one was.
    pub fn playbook_at_version(&self) -> Option<(&str, u64)> {
        let text = self.source.strip_prefix(PLAYBOOK_SOURCE).or(self.playbook_version.as_deref())?;
        let (name, version) = text.rsplit_once('@')?;
        Some((name, version.parse().ok()?))
    }
}

/// The source of a run that someone asked for by `POST /run`.
fn api() -> String {
    "api".to_owned()
}
