//! Defines errors as data: a code and a field for programs, a message and a hint for people.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// The kind of an error. Programs decide by it, and by the field of a [`Problem`], never by a sentence.
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
    strum::IntoStaticStr,
    strum::EnumString,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The request is malformed, or asks for something impossible.
    InvalidRequest,
    /// The request has no key.
    Unauthorized,
    InvalidApiKey,
    /// The key belongs to a user who has been revoked.
    ApiKeyRevoked,
    Forbidden,
    NotFound,
    SecretNotFound,
    MethodNotAllowed,
    /// It exists already, has been used already, or is being changed.
    Conflict,
    SecretAlreadyExists,
    /// As many executions have a task as the account lets run at the same time.
    RunningLimitReached,
    PayloadTooLarge,
    UnsupportedMediaType,
    /// A bug in the server.
    InternalError,
    /// DynamoDB failed or is throttling.
    DatabaseError,
    /// Another AWS service failed or is throttling, or the request took too long.
    ServiceUnavailable,
    /// AWS has no room for another task: Fargate has no capacity at the moment, or the account's quota of vCPUs is used.
    CapacityUnavailable,
}

impl ErrorCode {
    /// The HTTP status of an answer with this code.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthorized | Self::InvalidApiKey | Self::ApiKeyRevoked => 401,
            Self::Forbidden => 403,
            Self::NotFound | Self::SecretNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::SecretAlreadyExists | Self::RunningLimitReached => 409,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::InternalError => 500,
            Self::DatabaseError | Self::ServiceUnavailable | Self::CapacityUnavailable => 503,
        }
    }
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// The problem, in a short sentence.
    pub error: String,
    /// The kind of error, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'static, str>>,
    /// The problem and the remedy, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The path of the input that is wrong, such as `env.PORT`, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The remedy, for people. `details` repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Something that a caller can mend: what is wrong, where, and what to do. No text quotes a value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A sentence about this request.
    pub message: String,
    /// The path of the input that is wrong, such as `timeout` or `env.PORT`.
    pub field: Option<String>,
    /// The remedy, in the words of the API.
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), field: None, hint: None }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the input that is wrong, unless the problem names a more precise one already.
    #[must_use]
    pub fn at_field(mut self, field: impl Into<String>) -> Self {
        self.field.get_or_insert_with(|| field.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}
