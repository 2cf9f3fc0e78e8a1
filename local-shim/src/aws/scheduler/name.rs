//! Makes the ARNs of schedules, and the error for what no schedule can be.

use crate::{
    aws::AwsError,
    stack::{ACCOUNT, REGION},
};

/// The group that each account has.
pub(super) const DEFAULT_GROUP: &str = "default";

pub(super) fn arn(group: &str, name: &str) -> String {
    format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{group}/{name}")
}

pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("ValidationException", message)
}
