//! Refuses requests with the error codes of ECS.

use crate::aws::AwsError;

pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterException", message)
}

pub(super) fn client(message: impl Into<String>) -> AwsError {
    AwsError::new("ClientException", message)
}
