//! Reads a schedule as a caller defines it, and refuses what AWS refuses of it.

use jiff::{Timestamp, civil::DateTime};
use runvoy_core::{config, schedule::Timing};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::name::{DEFAULT_GROUP, arn, invalid};
use crate::aws::AwsError;

/// Characters of a name, and of a client token ("CreateSchedule", EventBridge Scheduler API Reference).
const MAX_NAME: usize = 64;
/// Bytes of the input of a target ("Quotas for Amazon EventBridge Scheduler").
const MAX_INPUT: usize = 256 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Definition {
    pub(super) name: String,
    #[serde(default = "default_group")]
    pub(super) group_name: String,
    pub(super) schedule_expression: String,
    #[serde(default = "utc")]
    pub(super) schedule_expression_timezone: String,
    #[serde(default)]
    pub(super) state: State,
    #[serde(default)]
    description: Option<String>,
    flexible_time_window: Window,
    pub(super) target: Target,
    #[serde(default)]
    pub(super) action_after_completion: Action,
    #[serde(default)]
    pub(super) client_token: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum State {
    #[default]
    Enabled,
    Disabled,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Action {
    #[default]
    None,
    Delete,
}

/// Only a window that is off is emulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Window {
    mode: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Target {
    arn: String,
    role_arn: String,
    #[serde(default)]
    pub(super) input: Option<String>,
    #[serde(default)]
    retry_policy: RetryPolicy,
    #[serde(default)]
    dead_letter_config: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct RetryPolicy {
    maximum_event_age_in_seconds: u32,
    maximum_retry_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { maximum_event_age_in_seconds: 86_400, maximum_retry_attempts: 185 }
    }
}

fn default_group() -> String {
    DEFAULT_GROUP.to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The key of a schedule: its group and its name.
pub(super) fn key(group: &str, name: &str) -> String {
    format!("{group}/{name}")
}

impl Definition {
    pub(super) fn key(&self) -> String {
        key(&self.group_name, &self.name)
    }

    pub(super) fn arn(&self) -> String {
        arn(&self.group_name, &self.name)
    }

    /// The times of the schedule. `None` for an expression that cannot be read, which [`check`](Self::check) refuses.
    pub(super) fn timing(&self) -> Option<Timing> {
        Timing::of_aws(&self.schedule_expression, &self.schedule_expression_timezone).ok()
    }

    /// The first time after `after`, of a schedule that has had this definition since `begin`. `None` if there is none.
    pub(super) fn after(&self, after: Timestamp, begin: Timestamp) -> Option<Timestamp> {
        if self.state == State::Disabled { None } else { self.timing()?.after(after, begin) }
    }

    /// Refuses what AWS refuses.
    pub(super) fn check(&self, settings: &config::Scheduler) -> Result<(), AwsError> {
        check_name(&self.name)?;
        check_group(&self.group_name, settings)?;
        if let Some(token) = &self.client_token
            && (!(1..=MAX_NAME).contains(&token.len())
                || !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
        {
            return Err(invalid(format!(
                "1 validation error detected: Value at 'clientToken' failed to satisfy constraint: Member must have 1 to {MAX_NAME} of a-zA-Z0-9-_"
            )));
        }
        runvoy_core::schedule::zone(&self.schedule_expression_timezone).map_err(|_| {
            invalid(format!("Invalid Schedule Expression Timezone {}.", self.schedule_expression_timezone))
        })?;
        let expression = self.schedule_expression.as_str();
        let one_time = expression.strip_prefix("at(").and_then(|rest| rest.strip_suffix(')'));
        let is_exact =
            one_time.is_none_or(|at| at.len() == "2027-01-31T09:00:00".len() && at.parse::<DateTime>().is_ok());
        if self.timing().is_none() || !is_exact {
            return Err(invalid(format!("Invalid Schedule Expression {expression}.")));
        }
        if self.flexible_time_window.mode != "OFF" {
            return Err(invalid("The emulation knows the flexible time window OFF only."));
        }
        self.target.check(settings)
    }
}

impl Target {
    fn check(&self, settings: &config::Scheduler) -> Result<(), AwsError> {
        if self.arn != settings.target_arn {
            return Err(invalid(format!(
                "Provided Arn is not in correct format, or no function of this system: {}",
                self.arn
            )));
        }
        if self.role_arn != settings.role_arn {
            return Err(invalid(
                "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
            ));
        }
        let input = self.input.as_deref().unwrap_or("{}");
        if input.len() > MAX_INPUT || serde_json::from_str::<Value>(input).is_err() {
            return Err(invalid("The input of a Lambda function must be JSON of at most 256 KB."));
        }
        let RetryPolicy { maximum_event_age_in_seconds: age, maximum_retry_attempts: attempts } = self.retry_policy;
        if !(60..=86_400).contains(&age) || attempts > 185 {
            return Err(invalid("MaximumEventAgeInSeconds must be 60 to 86400, and MaximumRetryAttempts 0 to 185."));
        }
        match &self.dead_letter_config["Arn"] {
            Value::Null => Ok(()),
            Value::String(arn) if arn.starts_with("arn:aws:sqs:") => Ok(()),
            _ => Err(invalid("The dead letter queue must be the ARN of an SQS queue.")),
        }
    }
}

pub(super) fn check_name(name: &str) -> Result<(), AwsError> {
    let is_good = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_good {
        return Ok(());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9a-zA-Z-_.]+$"
    )))
}

pub(super) fn check_group(group: &str, settings: &config::Scheduler) -> Result<(), AwsError> {
    if group == DEFAULT_GROUP || group == settings.group {
        return Ok(());
    }
    let message = format!("Schedule group {group} does not exist.");
    Err(AwsError { status: 404, ..AwsError::new("ResourceNotFoundException", message) })
}
