//! Defines errors as AWS answers them.

use serde_json::json;

use super::exchange::Answer;

/// The operations of each service that are emulated, as the message about another operation lists them.
pub(crate) const EMULATED: &str = "DynamoDB: items, transactions, DescribeTable, ListTables. ECS: tasks and task definitions. \
    CloudWatch Logs: FilterLogEvents. SSM: parameters and their tags. SQS: messages. SNS: topics, mails. IAM: GetRole. STS: GetCallerIdentity. EventBridge Scheduler: schedules. API Gateway: \
    @connections. Lambda: Invoke. CloudFormation: DescribeStacks.";

/// An error as AWS answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// The `resourceIds` of ECS's ConflictException.
    pub resource_ids: Vec<String>,
}

impl AwsError {
    /// An error of the caller, with status 400.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into(), resource_ids: Vec::new() }
    }

    pub fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", format!("this operation is not emulated; emulated are: {EMULATED}"))
    }

    pub(super) fn unknown_service() -> Self {
        Self::new("UnknownOperationException", format!("this service is not emulated; emulated are: {EMULATED}"))
    }

    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        Self { status: 500, code: "InternalServerError", message: error.to_string(), resource_ids: Vec::new() }
    }

    pub fn into_answer(self) -> Answer {
        let mut body = json!({"__type": self.code, "message": self.message});
        if !self.resource_ids.is_empty() {
            body["resourceIds"] = json!(self.resource_ids);
        }
        Answer { status: self.status, content_type: "application/x-amz-json-1.1", body: body.to_string().into_bytes() }
    }
}

/// Reads a request of one of the JSON protocols.
pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body).map_err(|error| AwsError::new("SerializationException", error.to_string()))
}

/// Writes an answer of one of the JSON protocols.
pub(super) fn write<T: serde::Serialize>(answer: &T) -> Result<Vec<u8>, AwsError> {
    serde_json::to_vec(answer).map_err(|error| AwsError::internal(&error))
}
