//! The one error of everything below the handlers. Each variant is something that a caller answers differently.

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use thiserror::Error;

/// What the SDK's operations fail with.
pub type SdkError<E> = result::SdkError<E, HttpResponse>;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum Error {
    /// What the caller sent cannot be done; the text says why and what to do.
    #[error("{0}")]
    Invalid(String),
    #[error("API key is required")]
    NoApiKey,
    #[error("the API key is not known; check it, or ask an admin for a new one")]
    UnknownApiKey,
    #[error("the API key belongs to a user who has been revoked; ask an admin for a new one")]
    RevokedApiKey,
    #[error("you do not have permission to {0} this resource")]
    Forbidden(&'static str),
    /// A resource that the API lists, and the name it was asked by.
    #[error("there is no {what} {id:?}; `GET /api/v1/{what}s` lists those there are")]
    NotFound { what: &'static str, id: String },
    #[error("the claim link is unknown or older than 15 minutes; ask whoever sent it for another")]
    UnknownClaim,
    #[error("there is no path {0:?}; `GET /api/v1/docs` describes those there are")]
    NoSuchPath(String),
    #[error("there is no secret {0:?}; `GET /api/v1/secrets` lists those there are")]
    SecretNotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("a secret {0:?} exists already; change it with PUT, or choose another name")]
    SecretExists(String),
    #[error("the body is larger than the {limit} bytes that are accepted")]
    TooLarge { limit: usize },
    /// DynamoDB failed or throttled. The text is for the log, not for the caller.
    #[error("DynamoDB: {0}")]
    Database(String),
    /// Another AWS service failed or throttled. The text is for the log, not for the caller.
    #[error("{service}: {cause}")]
    Aws { service: &'static str, cause: String },
    /// A bug, or data that only a bug can have left. The text is for the log, not for the caller.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A fault of an AWS service other than DynamoDB.
    pub fn aws<E: ProvideErrorMetadata>(service: &'static str) -> impl Fn(SdkError<E>) -> Self {
        move |error| Self::Aws { service, cause: describe(&error) }
    }

    pub fn not_found(what: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { what, id: id.into() }
    }

    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// Whether trying the same again may go better.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(_) | Self::Aws { .. })
    }
}

/// What went wrong, without the request: code and message, or how the connection failed.
fn describe<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    match error {
        SdkError::ServiceError(service) => {
            let metadata = service.err().meta();
            format!("{} ({})", metadata.code().unwrap_or("unknown"), metadata.message().unwrap_or("no message"))
        }
        SdkError::TimeoutError(_) => "timed out".to_owned(),
        SdkError::DispatchFailure(failure) => format!("could not be reached ({failure:?})"),
        SdkError::ResponseError(_) => "answered what cannot be read".to_owned(),
        _ => "the request could not be made".to_owned(),
    }
}

impl<E: ProvideErrorMetadata> From<SdkError<E>> for Error
where
    E: DynamoDbError,
{
    fn from(error: SdkError<E>) -> Self {
        Self::Database(describe(&error))
    }
}

/// Marks the operations of DynamoDB, whose faults all mean the same to a caller.
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
    transact_get_items::TransactGetItemsError,
}

impl From<serde_dynamo::Error> for Error {
    fn from(error: serde_dynamo::Error) -> Self {
        Self::Internal(format!("an item does not have the shape that this version writes: {error}"))
    }
}

/// A request that this program built and the SDK refused to build: a bug here.
impl From<aws_smithy_types::error::operation::BuildError> for Error {
    fn from(error: aws_smithy_types::error::operation::BuildError) -> Self {
        Self::Internal(error.to_string())
    }
}
