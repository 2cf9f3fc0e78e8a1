//! Defines the error of everything below the handlers: data that a program can decide by, and words for people.

use std::{borrow::Cow, error::Error as StdError, fmt};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result};
use thiserror::Error;

use runvoy_api_types::NotAnExecutionId;
pub use runvoy_api_types::{ErrorCode, Problem};

/// The error of the SDK's operations.
pub type SdkError<E> = result::SdkError<E, HttpResponse>;

/// The cause of an error: another error, or a sentence.
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
    #[strum(to_string = "SQS")]
    Sqs,
    #[strum(to_string = "SNS")]
    Sns,
    #[strum(to_string = "IAM")]
    Iam,
    #[strum(to_string = "API Gateway")]
    ApiGateway,
    #[strum(to_string = "EventBridge Scheduler")]
    Scheduler,
}

#[derive(Debug, Error)]
pub enum Error {
    /// The caller's input cannot be used.
    #[error("{0}")]
    Invalid(Problem),
    #[error("API key is required")]
    NoApiKey,
    #[error("the API key is not known")]
    UnknownApiKey,
    #[error("the API key belongs to a user who has been revoked")]
    RevokedApiKey,
    #[error("the API key has expired")]
    ExpiredApiKey,
    /// The policies do not permit it. Holds the verb of the action.
    #[error("you do not have permission to {0} this resource")]
    Forbidden(&'static str),
    /// The policies do not permit the use of an image or a secret that a run names.
    #[error("you do not have permission to use this resource: {kind} {name:?} is not shared with you")]
    ForbiddenUse { kind: &'static str, name: String },
    /// The policies permit it to the user, and not to the key, which is limited. Holds the action, and the kind and the name of the image
    /// or the secret that a run would use.
    #[error("your API key is limited, and does not permit {action}")]
    BeyondScope { action: String, used: Option<(&'static str, String)> },
    #[error("there is no {kind} {id:?}")]
    NotFound {
        /// `execution`, `image`, `schedule` or `user`.
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
    #[error("{0}")]
    Conflict(Problem),
    #[error("a secret {0:?} exists already")]
    SecretExists(String),
    /// As many executions have a task as may. The same run may start later.
    #[error("{0}")]
    RunningLimit(Problem),
    /// ECS has no room for a task. The same run may start later.
    #[error("{0}")]
    NoCapacity(Problem),
    /// An AWS service failed, throttled or could not be reached. The text is for the log, not for the caller.
    #[error("{service} {}", if *.unreachable { "cannot be reached" } else { "failed" })]
    Aws {
        service: Service,
        /// Tells whether no connection to the service could be made.
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
    /// Input that cannot be used. [`Error::with_hint`] and [`Error::at_field`] say what to do about it, and where.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(Problem::new(message))
    }

    /// A request that contradicts what exists.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict(Problem::new(message))
    }

    /// A run for which there is no place among those that may run.
    pub fn running_limit(message: impl Into<String>) -> Self {
        Self::RunningLimit(Problem::new(message))
    }

    /// A task for which AWS has no room.
    pub fn no_capacity(message: impl Into<String>) -> Self {
        Self::NoCapacity(Problem::new(message))
    }

    pub fn not_found(kind: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { kind, id: id.into() }
    }

    /// Adds the remedy to a problem of the caller's. Other errors have a remedy of their own, and stay as they are.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Invalid(problem)
        | Self::Conflict(problem)
        | Self::RunningLimit(problem)
        | Self::NoCapacity(problem) = &mut self
        {
            problem.hint = Some(hint.into());
        }
        self
    }

    /// Names the input that is wrong, unless the problem names a more precise one already.
    #[must_use]
    pub fn at_field(mut self, field: impl Into<String>) -> Self {
        if let Self::Invalid(problem) | Self::Conflict(problem) = &mut self {
            problem.field.get_or_insert_with(|| field.into());
        }
        self
    }

    /// Names the input that is wrong in place of another name, where a request holds a part that is checked on its own.
    #[must_use]
    pub(crate) fn at_exact_field(mut self, field: impl Into<String>) -> Self {
        if let Self::Invalid(problem) | Self::Conflict(problem) = &mut self {
            problem.field = Some(field.into());
        }
        self
    }

    /// Names the input that is wrong as one below this part of a request.
    #[must_use]
    pub fn below(self, part: &str) -> Self {
        let field = self.field().map_or_else(|| part.to_owned(), |field| format!("{part}.{field}"));
        self.at_exact_field(field)
    }

    /// The path of the input that is wrong, where one is.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid(problem) | Self::Conflict(problem) => problem.field.as_deref(),
            _ => None,
        }
    }

    /// The kind of error, by which programs decide.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) => ErrorCode::InvalidRequest,
            Self::NoApiKey | Self::UnknownWebSocketToken => ErrorCode::Unauthorized,
            Self::UnknownApiKey | Self::ExpiredApiKey => ErrorCode::InvalidApiKey,
            Self::RevokedApiKey => ErrorCode::ApiKeyRevoked,
            Self::Forbidden(_)
            | Self::ForbiddenUse { .. }
            | Self::BeyondScope { .. }
            | Self::TokenOfAnotherExecution => ErrorCode::Forbidden,
            Self::NotFound { .. } | Self::UnknownClaim => ErrorCode::NotFound,
            Self::SecretNotFound(_) => ErrorCode::SecretNotFound,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::SecretExists(_) => ErrorCode::SecretAlreadyExists,
            Self::RunningLimit(_) => ErrorCode::RunningLimitReached,
            Self::NoCapacity(_) => ErrorCode::CapacityUnavailable,
            Self::Aws { service: Service::DynamoDb, .. } => ErrorCode::DatabaseError,
            Self::Aws { .. } => ErrorCode::ServiceUnavailable,
            Self::Internal { .. } => ErrorCode::InternalError,
        }
    }

    /// The remedy, in the words of the API. Clients may have words of their own for the code.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Invalid(problem)
            | Self::Conflict(problem)
            | Self::RunningLimit(problem)
            | Self::NoCapacity(problem) => problem.hint.as_deref()?.into(),
            Self::ForbiddenUse { kind, .. } => format!("ask its owner to share the {kind} with you").into(),
            Self::BeyondScope { action, .. } => {
                format!("use a key whose scope has {action}, or one without a scope").into()
            }
            Self::NoApiKey | Self::Forbidden(_) | Self::UnknownWebSocketToken | Self::TokenOfAnotherExecution => {
                return None;
            }
            Self::ExpiredApiKey => "make another key, or ask an admin for a new link".into(),
            Self::UnknownApiKey => "check it, or ask an admin for a new one".into(),
            Self::RevokedApiKey => "ask an admin to let you in again".into(),
            Self::NotFound { kind, .. } => format!("GET /api/v1/{kind}s lists the {kind}s").into(),
            Self::SecretNotFound(_) => "GET /api/v1/secrets lists the secrets".into(),
            Self::UnknownClaim => "ask an admin for a new link".into(),
            Self::SecretExists(_) => "change it with PUT, or choose another name".into(),
            Self::Aws { .. } => "try again in a moment".into(),
            Self::Internal { .. } => "report it with the request id in the X-Request-Id header".into(),
        })
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

    pub fn internal(what: &'static str) -> Self {
        Self::Internal { what, cause: None }
    }

    pub fn internal_with(what: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Internal { what, cause: Some(cause.into()) }
    }

    /// The error with all that lies behind it, for a log line.
    pub fn chain(&self) -> Chain<'_> {
        Chain(self)
    }
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
    batch_write_item::BatchWriteItemError,
    transact_write_items::TransactWriteItemsError,
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Invalid(problem)
    }
}

/// An execution that cannot exist is not found.
impl From<NotAnExecutionId> for Error {
    fn from(NotAnExecutionId(text): NotAnExecutionId) -> Self {
        Self::not_found("execution", text)
    }
}

impl From<serde_dynamo::Error> for Error {
    fn from(error: serde_dynamo::Error) -> Self {
        Self::internal_with("an item does not have the shape that this version of the program writes", error)
    }
}

impl From<aws_smithy_types::error::operation::BuildError> for Error {
    fn from(error: aws_smithy_types::error::operation::BuildError) -> Self {
        Self::internal_with("the SDK refuses a request that this program built", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_shows_every_cause_and_the_error_alone_shows_none() {
        let error = Error::internal_with("a batch cannot be read", std::io::Error::other("the end is missing"));
        assert_eq!(error.to_string(), "a batch cannot be read");
        assert_eq!(error.chain().to_string(), "a batch cannot be read: the end is missing");
    }
}
