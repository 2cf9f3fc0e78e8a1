//! The error of everything below the handlers. Each variant is something that a handler answers in its own way.

use std::{error::Error as StdError, fmt};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result};
use thiserror::Error;

/// What the SDK's operations fail with.
pub type SdkError<E> = result::SdkError<E, HttpResponse>;

/// What lies behind an error: another error, or a sentence.
pub type Cause = Box<dyn StdError + Send + Sync>;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The AWS services that the functions call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Service {
    #[strum(to_string = "DynamoDB")]
    DynamoDb,
    #[strum(to_string = "ECS")]
    Ecs,
    #[strum(to_string = "CloudWatch Logs")]
    CloudWatchLogs,
    #[strum(to_string = "SSM")]
    Ssm,
    #[strum(to_string = "IAM")]
    Iam,
    #[strum(to_string = "API Gateway")]
    ApiGateway,
}

#[derive(Debug, Error)]
pub enum Error {
    /// The caller's input cannot be used. Neither text quotes a value that may be a secret.
    #[error("{}", sentence(.problem, .remedy))]
    Invalid {
        /// What is wrong, as a sentence about this input.
        problem: String,
        /// What to send instead; empty where the problem says it.
        remedy: String,
    },
    #[error("API key is required")]
    NoApiKey,
    #[error("the API key is not known; check it, or ask an admin for a new one")]
    UnknownApiKey,
    #[error("the API key belongs to a user who has been revoked; ask an admin for a new one")]
    RevokedApiKey,
    /// The policies do not permit it. Holds the verb of the action.
    #[error("you do not have permission to {0} this resource")]
    Forbidden(&'static str),
    #[error("there is no {kind} {id:?}")]
    NotFound {
        /// `execution`, `image` or `user`.
        kind: &'static str,
        id: String,
    },
    #[error("there is no secret {0:?}")]
    SecretNotFound(String),
    #[error("the claim link is unknown or older than 15 minutes")]
    UnknownClaim,
    #[error("the WebSocket token is unknown or has expired")]
    UnknownWebSocketToken,
    #[error("the WebSocket token belongs to another execution")]
    TokenOfAnotherExecution,
    /// The request contradicts what exists.
    #[error("{}", sentence(.problem, .remedy))]
    Conflict { problem: String, remedy: String },
    #[error("a secret {0:?} exists already; change it with PUT, or choose another name")]
    SecretExists(String),
    /// An AWS service failed, throttled or could not be reached. The text is for the log, not for the caller.
    #[error("{service} {}", if *.unreachable { "cannot be reached" } else { "failed" })]
    Aws {
        service: Service,
        /// Whether no connection to the service could be made.
        unreachable: bool,
        #[source]
        cause: Cause,
    },
    /// A bug, or data that only a bug can have left. The text is for the log, not for the caller.
    #[error("{what}")]
    Internal {
        what: &'static str,
        #[source]
        cause: Option<Cause>,
    },
}

impl Error {
    /// Input that cannot be used, with a problem that says what would be right.
    pub fn invalid(problem: impl Into<String>) -> Self {
        Self::Invalid { problem: problem.into(), remedy: String::new() }
    }

    /// Input that cannot be used, and what to do about it.
    pub fn invalid_unless(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Invalid { problem: problem.into(), remedy: remedy.into() }
    }

    pub(crate) fn conflict(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Conflict { problem: problem.into(), remedy: remedy.into() }
    }

    pub fn not_found(kind: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { kind, id: id.into() }
    }

    /// A failed call of an AWS service, with what the SDK says of it.
    pub(crate) fn aws<E: StdError + Send + Sync + 'static>(service: Service) -> impl Fn(SdkError<E>) -> Self {
        move |error| Self::Aws {
            service,
            unreachable: matches!(error, SdkError::DispatchFailure(_)),
            cause: Box::new(error),
        }
    }

    /// An answer of an AWS service that amounts to a failure.
    pub(crate) fn unavailable(service: Service, cause: impl Into<Cause>) -> Self {
        Self::Aws { service, unreachable: false, cause: cause.into() }
    }

    pub(crate) fn bug(what: &'static str) -> Self {
        Self::Internal { what, cause: None }
    }

    pub(crate) fn bug_with(what: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Internal { what, cause: Some(cause.into()) }
    }

    /// The error with all that lies behind it, for a log line.
    pub fn chain(&self) -> Chain<'_> {
        Chain(self)
    }
}

fn sentence(problem: &str, remedy: &str) -> String {
    if remedy.is_empty() { problem.to_owned() } else { format!("{problem}; {remedy}") }
}

/// Shows an error followed by its causes, separated by colons.
pub struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl<E> From<SdkError<E>> for Error
where
    E: DynamoDbError + StdError + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        Self::aws(Service::DynamoDb)(error)
    }
}

/// Marks the operations of DynamoDB: `?` turns their failures into [`Error::Aws`] without naming the service each time.
pub trait DynamoDbError {}

macro_rules! dynamodb_errors {
    ($($operation:ident :: $error:ident),* $(,)?) => {
        $(impl DynamoDbError for aws_sdk_dynamodb::operation::$operation::$error {})*
    };
}

dynamodb_errors! {
    get_item::GetItemError,
    put_item::PutItemError,
    update_item::UpdateItemError,
    delete_item::DeleteItemError,
    query::QueryError,
    scan::ScanError,
    batch_get_item::BatchGetItemError,
    transact_write_items::TransactWriteItemsError,
}

impl From<serde_dynamo::Error> for Error {
    fn from(error: serde_dynamo::Error) -> Self {
        Self::bug_with("an item does not have the shape that this version of the program writes", error)
    }
}

impl From<aws_smithy_types::error::operation::BuildError> for Error {
    fn from(error: aws_smithy_types::error::operation::BuildError) -> Self {
        Self::bug_with("the SDK refuses a request that this program built", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_shows_every_cause_and_the_error_alone_shows_none() {
        let error = Error::bug_with("a batch cannot be read", std::io::Error::other("the end is missing"));
        assert_eq!(error.to_string(), "a batch cannot be read");
        assert_eq!(error.chain().to_string(), "a batch cannot be read: the end is missing");
    }
}
