//! Answers errors as the API does: one JSON shape, with a status and a code for each kind.

use std::time::Duration;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use runvoy_api_types::{ErrorBody, ErrorCode};
use runvoy_core::{Error, audit::Actor};

pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

/// Why a request is not answered with a success.
#[derive(Debug)]
pub(crate) enum ApiError {
    Core(Error),
    /// A refusal of a known caller, which the audit keeps.
    Denied(Error, Box<Denial>),
    NoSuchPath(String),
    MethodNotAllowed,
    BodyTooLarge {
        /// Bytes.
        limit: usize,
    },
    /// The body has a `Content-Encoding`.
    EncodedBody,
    /// The request took longer than this.
    TimedOut(Duration),
}

/// An action that a caller was refused. It travels on the answer to [`in_context`](crate::middleware::in_context),
/// which writes it to the audit.
#[derive(Clone, Debug)]
pub(crate) struct Denial {
    pub(crate) actor: Actor,
    pub(crate) action: String,
    pub(crate) resource: String,
}

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::Core(error.into())
    }
}

/// The request cannot be used.
#[derive(utoipa::IntoResponses)]
#[response(status = 400, description = "INVALID_REQUEST: the request is malformed, or asks for something impossible")]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct Malformed(ErrorBody);

/// The caller may not do this, or presents no key that works.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) enum Refused {
    #[response(
        status = 401,
        description = "UNAUTHORIZED, INVALID_API_KEY, API_KEY_REVOKED: there is no key that works"
    )]
    Unauthenticated(ErrorBody),
    #[response(status = 403, description = "FORBIDDEN: the caller's role does not allow it")]
    Forbidden(ErrorBody),
}

/// The resource does not exist.
#[derive(utoipa::IntoResponses)]
#[response(status = 404, description = "NOT_FOUND, SECRET_NOT_FOUND: the resource does not exist")]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct NotFound(ErrorBody);

/// The request contradicts what exists.
#[derive(utoipa::IntoResponses)]
#[response(
    status = 409,
    description = "CONFLICT, SECRET_ALREADY_EXISTS, RUNNING_LIMIT_REACHED: it exists already, is being changed or held, or as many run as may"
)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct Conflict(ErrorBody);

/// The body is too large.
#[derive(utoipa::IntoResponses)]
#[response(status = 413, description = "PAYLOAD_TOO_LARGE: the body has more than 1 MiB")]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct TooLarge(ErrorBody);

/// The fault is not the caller's.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) enum Unavailable {
    #[response(status = 500, description = "INTERNAL_ERROR: a bug; report it with the X-Request-Id")]
    Bug(ErrorBody),
    #[response(
        status = 503,
        description = "DATABASE_ERROR, SERVICE_UNAVAILABLE, CAPACITY_UNAVAILABLE: an AWS service failed, or has no room; try again"
    )]
    Failed(ErrorBody),
}

impl ApiError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Core(error) | Self::Denied(error, _) => error.code(),
            Self::NoSuchPath(_) => ErrorCode::NotFound,
            Self::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            Self::BodyTooLarge { .. } => ErrorCode::PayloadTooLarge,
            Self::EncodedBody => ErrorCode::UnsupportedMediaType,
            Self::TimedOut(_) => ErrorCode::ServiceUnavailable,
        }
    }

    /// The sentence about this request, and what to do next.
    fn words(&self) -> (String, Option<String>) {
        let hint = |text: &str| Some(text.to_owned());
        match self {
            Self::Core(Error::Aws { service, unreachable, .. }) => {
                match unreachable_endpoint().filter(|_| *unreachable) {
                    Some(endpoint) => (
                        format!("{service} cannot be reached at {endpoint}"),
                        hint("start what AWS_ENDPOINT_URL names, for example with `just run-local`"),
                    ),
                    None => (format!("{service} failed or is throttling"), hint("try again in a moment")),
                }
            }
            Self::Core(error @ Error::Internal { .. }) => {
                ("this is a bug in runvoy".to_owned(), error.hint().map(Into::into))
            }
            Self::Core(error) | Self::Denied(error, _) => (error.to_string(), error.hint().map(Into::into)),
            Self::NoSuchPath(path) => {
                (format!("there is no path {path:?}"), hint("GET /api/v1/docs describes the paths"))
            }
            Self::MethodNotAllowed => (
                "this path does not take this method".to_owned(),
                hint("the Allow header lists the methods that it takes"),
            ),
            Self::BodyTooLarge { limit } => {
                (format!("the body has more than {limit} bytes"), hint("send a smaller one"))
            }
            Self::EncodedBody => ("the body has a Content-Encoding".to_owned(), hint("send plain JSON")),
            Self::TimedOut(limit) => (
                format!("the request took longer than {limit:?}"),
                hint("it may have taken effect, so check before you repeat it"),
            ),
        }
    }

    fn body(&self) -> ErrorBody {
        let code = self.code();
        let (message, hint) = self.words();
        // The contract's short texts for requests without a key and without the right.
        let short = match code {
            ErrorCode::Unauthorized => Some("Unauthorized"),
            ErrorCode::Forbidden => Some("Forbidden"),
            _ => None,
        };
        let details = match &hint {
            Some(hint) => format!("{message}; {hint}"),
            None => message.clone(),
        };
        ErrorBody {
            error: short.map_or(message, str::to_owned),
            code: Some(<&str>::from(code).into()),
            details: Some(details),
            field: match self {
                Self::Core(error) | Self::Denied(error, _) => error.field().map(str::to_owned),
                _ => None,
            },
            hint,
        }
    }
}

/// The endpoint that the SDK calls in place of AWS, if one is set. A function that runs outside AWS cannot reach it when the
/// program that serves it has stopped.
fn unreachable_endpoint() -> Option<String> {
    std::env::var("AWS_ENDPOINT_URL").ok().filter(|endpoint| !endpoint.is_empty())
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match &self {
            Self::Core(error) if status.is_server_error() => {
                tracing::error!(error = %error.chain(), status = status.as_u16(), "the request failed");
            }
            Self::TimedOut(limit) => tracing::error!(?limit, "the request took too long"),
            _ => {}
        }
        let mut response = (status, Json(self.body())).into_response();
        if let Self::Denied(_, denial) = self {
            response.extensions_mut().insert(*denial);
        }
        response
    }
}
