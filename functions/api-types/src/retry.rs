//! Defines how often a run is attempted, after which ends another attempt follows, and how the API lists the attempts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::{Problem, limits::MAX_ATTEMPTS_OF_A_RUN, span::Span, time};

/// The pause before another attempt in seconds, where the request names none.
const DEFAULT_BACKOFF: Span = Span(30);
/// The longest pause before another attempt in seconds: a day.
const MAX_BACKOFF: u64 = 24 * 3600;

/// Lets a run be attempted again when an attempt ends as `on` says. Each attempt is a task of the same execution, and the last one decides
/// how the execution ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retry {
    /// The number of attempts, the first one included.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 10, example = 3))]
    pub attempts: u32,
    /// The ends after which another attempt follows. If absent, all of them; a run with `"on_conflict": "queue"` waits for capacity instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
    /// Seconds from the end of an attempt until the next one; 30 by default. A duration such as `5m` is taken, too.
    #[serde(default = "default_backoff")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>, maximum = 86_400, example = 30))]
    pub backoff: Span,
}

/// An end of an attempt after which another may follow.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantArray,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RetryOn {
    /// Fargate has no room for the task, or the account's quota of vCPUs is used up.
    Capacity,
    /// AWS has taken back the Spot capacity on which the task ran, or has taken its machine away for another reason.
    Spot,
    /// The task has failed before its command: an image cannot be pulled, a repository cannot be cloned.
    Start,
    /// The command has ended with an exit code other than 0, or was stopped at its time limit.
    Exit,
}

/// An attempt that was followed by another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EarlierAttempt {
    /// Counts from 1.
    pub number: u32,
    /// Why another attempt followed.
    pub on: RetryOn,
    /// Its end, in words for a person.
    pub reason: String,
    /// The exit code of its command, if that has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub started_at: Timestamp,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub ended_at: Timestamp,
    /// The id of its ECS task. Absent if it got none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The estimated cost of the attempt's task in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_estimate_usd: Option<f64>,
}

fn default_backoff() -> Span {
    DEFAULT_BACKOFF
}

impl Retry {
    /// The usual pause is made if none is given.
    pub fn new(attempts: u32, on: Vec<RetryOn>, backoff: Option<u64>) -> Self {
        Self { attempts, on, backoff: backoff.map_or(DEFAULT_BACKOFF, Span) }
    }

    /// Tells whether another attempt follows an end of this kind.
    pub fn covers(&self, end: RetryOn) -> bool {
        self.on.contains(&end)
    }

    /// Checks the retries and names their ends where none were named. `None` if there is only one attempt.
    ///
    /// # Errors
    /// A value that is out of bounds, with its field, such as `attempts`.
    pub fn checked(mut self, waits_for_capacity: bool) -> Result<Option<Self>, Problem> {
        if !(1..=MAX_ATTEMPTS_OF_A_RUN).contains(&self.attempts) {
            let problem = format!("attempts must be 1 to {MAX_ATTEMPTS_OF_A_RUN}, the first one included");
            return Err(Problem::new(problem).at_field("attempts"));
        }
        if self.backoff.0 > MAX_BACKOFF {
            return Err(Problem::new(format!("backoff must be 0 to {MAX_BACKOFF} seconds")).at_field("backoff"));
        }
        let is_asked = |end: &RetryOn| match self.on.as_slice() {
            [] => *end != RetryOn::Capacity || !waits_for_capacity,
            named => named.contains(end),
        };
        self.on = RetryOn::VARIANTS.iter().copied().filter(is_asked).collect();
        Ok(Some(self).filter(|retry| retry.attempts > 1))
    }
}
