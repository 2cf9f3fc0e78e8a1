//! What every handler knows of its request: its id, who calls, its body.

use std::time::Instant;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, MatchedPath, Request},
    http::{HeaderMap, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};
use lambda_http::{RequestExt, request::RequestContext};
use runvoy_core::{
    App, Error,
    auth::{self, Action, Principal, Resource, policy},
};
use serde::de::DeserializeOwned;
use tracing::Instrument;

use crate::{
    MAX_BODY,
    answer::{self, ApiError},
};

/// The Lambda request id: stands in every answer, every log line and on what the request creates.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Around every request: its id, its log line, its time limit.
pub async fn in_context(app: App, mut request: Request, next: Next) -> Response {
    let timeout = app.config.request_timeout;
    let id = request.lambda_context_ref().map(|context| context.request_id.clone()).unwrap_or_default();
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    // The route, not the path: a claim's path holds its token.
    let started = Instant::now();
    let span = tracing::info_span!("request", request_id = id, %method, client = client_address(&request));
    let answered = async {
        let mut response = tokio::select! {
            response = next.run(request) => response,
            () = app.sleep(timeout) => {
                tracing::error!(timeout_seconds = timeout.as_secs(), "the request took too long");
                answer::timed_out()
            }
        };
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-request-id", id);
        }
        let route = response.extensions().get::<Route>().map(|route| route.0.clone()).unwrap_or_default();
        let microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(route, status = response.status().as_u16(), microseconds, "answered");
        response
    };
    answered.instrument(span).await
}

/// The pattern that a request's path matched, handed from the router to the log line.
#[derive(Clone)]
struct Route(String);

/// Notes the route on the answer. Runs inside the router, where the match is known.
pub async fn note_route(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(matched) = matched {
        response.extensions_mut().insert(Route(matched.as_str().to_owned()));
    }
    response
}

/// The first of `X-Forwarded-For`, else `X-Real-IP`, else the address that the event names.
fn client_address(request: &Request) -> String {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let forwarded = header("x-forwarded-for").and_then(|list| list.split(',').next()).or_else(|| header("x-real-ip"));
    match (forwarded.map(str::trim).filter(|address| !address.is_empty()), request.request_context_ref()) {
        (Some(address), _) => address.to_owned(),
        (None, Some(RequestContext::ApiGatewayV2(context))) => context.http.source_ip.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(String::new())))
    }
}

/// Who calls. Taking it authenticates the request.
#[derive(Clone, Debug)]
pub struct Caller {
    pub principal: Principal,
}

impl Caller {
    /// # Errors
    /// 403 unless the policies permit it.
    pub fn may(&self, action: Action, resource: Resource<'_>) -> Result<(), ApiError> {
        policy::authorize(&self.principal, action, resource).map_err(ApiError)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let principal = auth::authenticate(app, api_key(&parts.headers)).await?;
        tracing::debug!(email = %principal.email, role = %principal.role, "authenticated");
        Ok(Self { principal })
    }
}

/// The key that a request presents.
pub fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key").and_then(|key| key.to_str().ok())
}

/// A part of the path.
pub struct Path(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(text)| Self(text))
            .map_err(|_| ApiError(Error::invalid("the path is not valid percent-encoded UTF-8")))
    }
}

/// The parameters of the query.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(parameters)| Self(parameters)).map_err(|_| {
            ApiError(Error::invalid("the query parameters cannot be read; give each once, percent-encoded"))
        })
    }
}

/// A JSON body, whatever its content type.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            ApiError(match rejection.status() {
                axum::http::StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge { limit: MAX_BODY },
                _ => Error::invalid("the body could not be read"),
            })
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| ApiError(Error::Invalid(describe(&error))))
    }
}

/// What is wrong with a body, without quoting it: it may hold secrets.
fn describe(error: &serde_json::Error) -> String {
    let place = format!("line {} column {}", error.line(), error.column());
    if !error.is_data() {
        return format!("the body is not valid JSON: look at {place}");
    }
    let text = error.to_string();
    match (text.split_once(", expected "), text.starts_with("missing field")) {
        (Some((_, expected)), _) => {
            let expected = expected.replace("u32", "a whole number").replace("u64", "a whole number");
            format!("the body has a value of the wrong type: expected {expected}")
        }
        (None, true) => format!("the body is incomplete: {text}"),
        (None, false) => format!("the body has a value that does not fit: look at {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_body_is_said_without_quoting_it() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only read by serde")]
        struct Body {
            name: String,
            role: auth::Role,
            count: Option<u64>,
        }
        for (body, expected) in [
            ("{", "the body is not valid JSON: look at line 1 column 1"),
            (r#"{"name":31337}"#, "the body has a value of the wrong type: expected a string at line 1 column 13"),
            (
                r#"{"name":"a","count":1.5}"#,
                "the body has a value of the wrong type: expected a whole number at line 1 column 23",
            ),
            (r#"{"name":"a"}"#, "the body is incomplete: missing field `role` at line 1 column 12"),
            (
                r#"{"name":"a","role":"hunter2"}"#,
                "the body has a value of the wrong type: expected one of `admin`, `operator`, `developer`, `viewer` at line 1 column 28",
            ),
        ] {
            assert_eq!(describe(&serde_json::from_str::<Body>(body).unwrap_err()), expected);
        }
    }
}
