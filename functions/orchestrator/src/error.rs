//! Errors as the API answers them: one JSON shape, with a status and a code for each kind.

use std::time::Duration;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use runvoy_core::{Error, error::Service};
use serde::Serialize;

pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

/// Why a request is not answered with a success.
#[derive(Debug)]
pub(crate) enum ApiError {
    Core(Error),
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

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::Core(error.into())
    }
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong, in a short sentence.
    error: String,
    /// The kind of error, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// What is wrong and what to do next, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
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
pub(crate) struct Absent(ErrorBody);

/// The request contradicts what exists.
#[derive(utoipa::IntoResponses)]
#[response(status = 409, description = "CONFLICT, SECRET_ALREADY_EXISTS: it exists already, or is being changed")]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct Clash(ErrorBody);

/// The body is too large.
#[derive(utoipa::IntoResponses)]
#[response(status = 413, description = "PAYLOAD_TOO_LARGE: the body has more than 1 MiB")]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct TooLarge(ErrorBody);

/// The fault is not the caller's.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers")]
pub(crate) enum Outage {
    #[response(status = 500, description = "INTERNAL_ERROR: a bug; report it with the X-Request-Id")]
    Bug(ErrorBody),
    #[response(status = 503, description = "DATABASE_ERROR, SERVICE_UNAVAILABLE: an AWS service failed; try again")]
    Unavailable(ErrorBody),
}

impl ApiError {
    fn answer(&self) -> (StatusCode, ErrorBody) {
        match self {
            Self::Core(error) => core_error(error),
            Self::NoSuchPath(path) => body(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                format!("there is no path {path:?}"),
                "GET /api/v1/docs describes the paths",
            ),
            Self::MethodNotAllowed => body(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "this path does not take this method",
                "the Allow header lists the methods that it takes",
            ),
            Self::BodyTooLarge { limit } => body(
                StatusCode::PAYLOAD_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                format!("the body has more than {limit} bytes"),
                "send a smaller one",
            ),
            Self::EncodedBody => body(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "the body has a Content-Encoding",
                "send plain JSON",
            ),
            Self::TimedOut(limit) => body(
                StatusCode::SERVICE_UNAVAILABLE,
                "SERVICE_UNAVAILABLE",
                format!("the request took longer than {limit:?}"),
                "it may have taken effect, so check before you repeat it",
            ),
        }
    }
}

fn core_error(error: &Error) -> (StatusCode, ErrorBody) {
    let whole = |status, code| {
        let text = error.to_string();
        match text.split_once("; ") {
            Some((short, remedy)) => body(status, code, short, remedy),
            None => body(status, code, text.as_str(), ""),
        }
    };
    match error {
        Error::Invalid { problem, remedy } => {
            body(StatusCode::BAD_REQUEST, "INVALID_REQUEST", problem.as_str(), remedy)
        }
        Error::NoApiKey => general(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", error),
        Error::UnknownApiKey => whole(StatusCode::UNAUTHORIZED, "INVALID_API_KEY"),
        Error::RevokedApiKey => whole(StatusCode::UNAUTHORIZED, "API_KEY_REVOKED"),
        Error::Forbidden(_) => general(StatusCode::FORBIDDEN, "FORBIDDEN", error),
        Error::NotFound { kind, .. } => body(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            error.to_string(),
            &format!("GET /api/v1/{kind}s lists the {kind}s"),
        ),
        Error::SecretNotFound(_) => {
            body(StatusCode::NOT_FOUND, "SECRET_NOT_FOUND", error.to_string(), "GET /api/v1/secrets lists the secrets")
        }
        Error::UnknownClaim => {
            body(StatusCode::NOT_FOUND, "NOT_FOUND", error.to_string(), "ask an admin for a new link")
        }
        // These belong to WebSocket handshakes, which the event processor answers.
        Error::UnknownWebSocketToken => whole(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        Error::TokenOfAnotherExecution => whole(StatusCode::FORBIDDEN, "FORBIDDEN"),
        Error::Conflict { problem, remedy } => body(StatusCode::CONFLICT, "CONFLICT", problem.as_str(), remedy),
        Error::SecretExists(_) => whole(StatusCode::CONFLICT, "SECRET_ALREADY_EXISTS"),
        Error::Aws { service, unreachable, .. } => {
            let code = if *service == Service::DynamoDb { "DATABASE_ERROR" } else { "SERVICE_UNAVAILABLE" };
            let (problem, remedy) = match unreachable_endpoint().filter(|_| *unreachable) {
                Some(endpoint) => (
                    format!("{service} cannot be reached at {endpoint}"),
                    "start what AWS_ENDPOINT_URL names, for example with `just run-local`",
                ),
                None => (format!("{service} failed or is throttling"), "try again in a moment"),
            };
            body(StatusCode::SERVICE_UNAVAILABLE, code, problem, remedy)
        }
        Error::Internal { .. } => body(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            "this is a bug in runvoy",
            "report it with the request id in the X-Request-Id header",
        ),
    }
}

/// The endpoint that the SDK calls in place of AWS, if one is set. A function that runs outside AWS cannot reach it when the
/// program that serves it has stopped.
fn unreachable_endpoint() -> Option<String> {
    std::env::var("AWS_ENDPOINT_URL").ok().filter(|endpoint| !endpoint.is_empty())
}

/// An answer whose `error` is the specific sentence, and whose `details` add what to do.
fn body(status: StatusCode, code: &'static str, problem: impl Into<String>, remedy: &str) -> (StatusCode, ErrorBody) {
    let error = problem.into();
    let details = if remedy.is_empty() { error.clone() } else { format!("{error}; {remedy}") };
    (status, ErrorBody { error, code: Some(code), details: Some(details) })
}

/// An answer whose `error` is the status's own phrase.
fn general(status: StatusCode, code: &'static str, error: &Error) -> (StatusCode, ErrorBody) {
    let phrase = status.canonical_reason().unwrap_or("Error").to_owned();
    (status, ErrorBody { error: phrase, code: Some(code), details: Some(error.to_string()) })
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, body) = self.answer();
        match &self {
            Self::Core(error) if status.is_server_error() => {
                tracing::error!(error = %error.chain(), status = status.as_u16(), "the request failed");
            }
            Self::TimedOut(limit) => tracing::error!(?limit, "the request took too long"),
            _ => {}
        }
        (status, Json(body)).into_response()
    }
}
