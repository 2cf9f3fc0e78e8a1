//! Says why an event was not handled.

use thiserror::Error;

/// The reason for which an event was not handled.
#[derive(Debug, Error)]
pub enum EventError {
    #[error(
        "the event is of an unknown kind: expected an EventBridge event (`source` and `detail-type`), a CloudWatch Logs batch \
         (`awslogs.data`), an API Gateway WebSocket event (`requestContext.routeKey`), records of a DynamoDB stream or \
         messages of a queue (`Records`)"
    )]
    UnknownShape,
    #[error("the {kind} cannot be read: {cause}")]
    Malformed { kind: &'static str, cause: String },
    #[error("{}", .0.chain())]
    Failed(#[from] runvoy_core::Error),
}

impl EventError {
    pub(crate) fn malformed<E: std::fmt::Display>(kind: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Malformed { kind, cause: error.to_string() }
    }
}

impl From<EventError> for lambda_runtime::Diagnostic {
    fn from(error: EventError) -> Self {
        let error_type = match &error {
            EventError::UnknownShape => "UnknownEvent",
            EventError::Malformed { .. } => "MalformedEvent",
            EventError::Failed(_) => "EventFailed",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
