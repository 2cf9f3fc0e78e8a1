//! Answers: JSON, and one shape for whatever goes wrong.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use runvoy_core::Error;
use serde::Serialize;

use crate::reason;

pub type Result<T, E = ApiError> = std::result::Result<T, E>;

/// An error as the API answers it.
#[derive(Debug)]
pub struct ApiError(pub Error);

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// What kind of thing went wrong, in short.
    error: &'static str,
    /// For programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// For people: what happened, and what to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
}

/// The request itself cannot be used.
#[derive(utoipa::IntoResponses)]
#[response(status = 400, description = "INVALID_REQUEST: the request is malformed, or asks for what cannot be done")]
#[expect(dead_code, reason = "describes an answer")]
pub struct Malformed(ErrorBody);

/// Who calls may not do this, or is not known.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers")]
pub enum Refused {
    #[response(
        status = 401,
        description = "UNAUTHORIZED, INVALID_API_KEY, API_KEY_REVOKED: there is no key that works"
    )]
    Unauthenticated(ErrorBody),
    #[response(status = 403, description = "FORBIDDEN: the caller's role does not allow it")]
    Forbidden(ErrorBody),
}

/// There is no such thing.
#[derive(utoipa::IntoResponses)]
#[response(status = 404, description = "NOT_FOUND, SECRET_NOT_FOUND: there is no such thing")]
#[expect(dead_code, reason = "describes an answer")]
pub struct Absent(ErrorBody);

/// It cannot be done as things are.
#[derive(utoipa::IntoResponses)]
#[response(status = 409, description = "CONFLICT, SECRET_ALREADY_EXISTS: it exists already, or is being changed")]
#[expect(dead_code, reason = "describes an answer")]
pub struct Clash(ErrorBody);

/// The body is too large.
#[derive(utoipa::IntoResponses)]
#[response(status = 413, description = "PAYLOAD_TOO_LARGE: the body has more than 1 MiB")]
#[expect(dead_code, reason = "describes an answer")]
pub struct TooLarge(ErrorBody);

/// The fault is not the caller's.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers")]
pub enum Outage {
    #[response(status = 500, description = "INTERNAL_ERROR: a bug; report it with the X-Request-Id")]
    Bug(ErrorBody),
    #[response(status = 503, description = "DATABASE_ERROR, SERVICE_UNAVAILABLE: an AWS service failed; try again")]
    Unavailable(ErrorBody),
}

impl ApiError {
    fn parts(&self) -> (StatusCode, Option<&'static str>, String) {
        let retry = || "AWS failed or is throttling; try again in a moment".to_owned();
        let (status, code, details) = match &self.0 {
            Error::Invalid(details) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", details.clone()),
            Error::NoApiKey => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", self.0.to_string()),
            Error::UnknownApiKey => (StatusCode::UNAUTHORIZED, "INVALID_API_KEY", self.0.to_string()),
            Error::RevokedApiKey => (StatusCode::UNAUTHORIZED, "API_KEY_REVOKED", self.0.to_string()),
            Error::Forbidden(_) => (StatusCode::FORBIDDEN, "FORBIDDEN", self.0.to_string()),
            Error::NotFound { .. } | Error::NoSuchPath(_) | Error::UnknownClaim => {
                (StatusCode::NOT_FOUND, "NOT_FOUND", self.0.to_string())
            }
            Error::SecretNotFound(_) => (StatusCode::NOT_FOUND, "SECRET_NOT_FOUND", self.0.to_string()),
            Error::Conflict(details) => (StatusCode::CONFLICT, "CONFLICT", details.clone()),
            Error::SecretExists(_) => (StatusCode::CONFLICT, "SECRET_ALREADY_EXISTS", self.0.to_string()),
            Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", self.0.to_string()),
            Error::Database(_) => (StatusCode::SERVICE_UNAVAILABLE, "DATABASE_ERROR", retry()),
            Error::Aws { .. } => (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", retry()),
            Error::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "INTERNAL_ERROR",
                "this is a bug in runvoy; report it with the request id in the X-Request-Id header".to_owned(),
            ),
        };
        (status, Some(code), details)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, details) = self.parts();
        if status.is_server_error() {
            tracing::error!(error = %self.0, status = status.as_u16(), "the request failed");
        }
        (status, Json(ErrorBody { error: reason(status), code, details: Some(details) })).into_response()
    }
}

/// A known path with a method that it does not take.
pub fn method_not_allowed() -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let details = Some("this path takes other methods; the Allow header lists them".to_owned());
    (status, Json(ErrorBody { error: reason(status), code: Some("METHOD_NOT_ALLOWED"), details })).into_response()
}

/// A request that took too long.
pub fn timed_out() -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let details =
        Some("the request took too long; whether it took effect is not known, so look before you try again".to_owned());
    (status, Json(ErrorBody { error: reason(status), code: Some("SERVICE_UNAVAILABLE"), details })).into_response()
}

/// The header by which a page names the next one (RFC 8288).
pub fn next_link(target: &str) -> [(axum::http::HeaderName, String); 1] {
    [(axum::http::header::LINK, format!("<{target}>; rel=\"next\""))]
}
