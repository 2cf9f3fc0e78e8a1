//! Defines the request that starts a run, and its answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ExecutionId, ImageId, OnConflict, Retry, RunIf, Status, object, positive};

/// A run that is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// The script that `/bin/sh -e` runs. Not blank.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, required, pattern = r"\S", example = "echo hello"))]
    pub command: Option<String>,
    /// An image id, or a name with or without tag and registry. The default image if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The same as `image`.
    #[serde(rename = "imageUri", skip_serializing_if = "Option::is_none")]
    pub image_uri: Option<String>,
    /// Environment variables; they win over secrets of the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Names of secrets. The value of each is in the variable that its `key_name` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// Seconds after which the command is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 604_800))]
    pub timeout: Option<u64>,
    /// A repository to clone first; the command runs inside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "https://github.com/octocat/Hello-World"))]
    pub git_repo: Option<String>,
    /// Branch, tag or commit. By default, the one that the repository's HEAD names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// Directory of the repository in which the command runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_path: Option<String>,
    /// A lock that the run holds until it ends, or several: a run that waits takes one after the other, in the order of their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<OneOrMore>))]
    pub lock: Option<OneOrMore>,
    /// The number of runs that may hold the lock at the same time; 1 by default. The first run with a lock sets it, and a different number later
    /// is a conflict.
    #[serde(default, deserialize_with = "positive::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 1000))]
    pub slots: Option<u32>,
    /// CPU units of this run; 1024 make one virtual CPU. The image's if absent. Fargate has some pairs of CPU and memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = 1024))]
    pub cpu: Option<u32>,
    /// MiB of memory of this run. The image's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = 2048))]
    pub memory: Option<u32>,
    /// GiB of disk, 21 to 200. If absent, the 20 that each task has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    /// Runs on Fargate Spot, which costs about a third and may be taken away at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot: Option<bool>,
    /// Ids of executions that must have ended before the run starts. It waits for them as `QUEUED`, and has `FAILED` if one of them ends
    /// otherwise than `if` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub after: Option<Vec<String>>,
    /// The end that the executions in `after` must have: `succeeded` by default, or `ended` for any end.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub run_if: Option<RunIf>,
    /// Seconds after this request within which the run must have ended, waiting included. It is stopped then, or does not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 2_592_000))]
    pub deadline: Option<u64>,
    /// The fate of a run that cannot start at once. By default, it is refused. With `queue` it waits as `QUEUED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// The number of attempts, and the ends after which another one follows. Between two attempts it is `QUEUED` and keeps its locks. `timeout` is for each attempt, `deadline` for
    /// all of them.
    #[serde(default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// One name, or a list of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub fn list(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::More(names) => names,
        }
    }
}

/// A run that was started, or that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Started {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub execution_id: ExecutionId,
    /// The page on which a person reads the log.
    pub log_url: String,
    pub status: Status,
    pub command: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image_id: ImageId,
    /// The WebSocket on which a program follows the log. Works for 24 hours.
    pub websocket_url: String,
    /// The place in the line of the lock that the run waits for, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<usize>,
}
