//! What every handler knows about its request: its id, the caller, the path, the query and the body.

use std::{future::pending, time::Instant};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, MatchedPath, Request},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use lambda_http::{RequestExt, request::RequestContext};
use runvoy_core::{
    App, Error, RequestId,
    auth::{self, Action, KeyUse, Principal, Resource, policy},
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::{MAX_BODY, error::ApiError};

/// Takes the use of a key from the extractor of [`Caller`] to [`in_context`], which writes it beside the handler's work.
type KeyUses = mpsc::UnboundedSender<KeyUse>;

/// Gives a request its id, its log line and its time limit.
pub(crate) async fn in_context(app: App, mut request: Request, next: Next) -> Response {
    let id = request.lambda_context_ref().map(|context| context.request_id.clone()).unwrap_or_default();
    request.extensions_mut().insert(RequestId::new(id.clone()));
    let (key_uses, mut noted) = mpsc::unbounded_channel::<KeyUse>();
    request.extensions_mut().insert::<KeyUses>(key_uses);
    let method = request.method().clone();
    let started = Instant::now();
    let span = tracing::info_span!("request", request_id = id, %method, client = client_address(&request));
    let handled = async {
        let time_limit = async {
            match app.config.request_timeout {
                Some(limit) => {
                    app.sleep(limit).await;
                    limit
                }
                None => pending().await,
            }
        };
        tokio::select! {
            response = next.run(request) => response,
            limit = time_limit => ApiError::TimedOut(limit).into_response(),
        }
    };
    // Ends when the request, and with it the sender, is dropped.
    let key_uses_written = async {
        while let Some(key_use) = noted.recv().await {
            auth::note_use(&app, &key_use).await;
        }
    };
    let answered = async {
        let (mut response, ()) = tokio::join!(handled, key_uses_written);
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-request-id", id);
        }
        // The log has the route and not the path, because the path of a claim contains its token.
        let route = response.extensions().get::<Route>().map(|route| route.0.clone()).unwrap_or_default();
        let microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(route, status = response.status().as_u16(), microseconds, "answered");
        response
    };
    answered.instrument(span).await
}

/// The pattern that a request's path matched.
#[derive(Clone)]
struct Route(String);

/// Notes the route on the answer. Runs inside the router, where the match is known.
pub(crate) async fn note_route(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(matched) = matched {
        response.extensions_mut().insert(Route(matched.as_str().to_owned()));
    }
    response
}

/// The address at which the caller reaches this API, such as `https://abc.lambda-url.us-east-1.on.aws`. Empty if the request does
/// not say it.
pub(crate) fn own_address(uri: &Uri) -> String {
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    }
}

/// The address of the pages that people read: the web app's, or the console's, which is the API's own.
pub(crate) fn web_url(app: &App, uri: &Uri) -> String {
    app.config.web_url.clone().unwrap_or_else(|| own_address(uri))
}

/// The caller's address, as AWS saw it. Headers such as `X-Forwarded-For` are not read: a caller can write anything into them.
fn client_address(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The user that a request comes from. A handler that takes this argument requires an API key.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
}

impl Caller {
    /// # Errors
    /// 403 unless the policies permit it.
    pub(crate) fn may(&self, action: Action, resource: Resource<'_>) -> Result<(), ApiError> {
        policy::authorize(&self.principal, action, resource).map_err(ApiError::Core)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let (principal, key_use) = auth::authenticate(app, api_key(&parts.headers)).await?;
        tracing::debug!(email = %principal.email, role = %principal.role, "authenticated");
        if let Some((key_use, key_uses)) = key_use.zip(parts.extensions.get::<KeyUses>()) {
            // The receiver lives as long as the request.
            let _ = key_uses.send(key_use);
        }
        Ok(Self { principal })
    }
}

/// The API key that a request presents.
pub(crate) fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key").and_then(|key| key.to_str().ok())
}

/// The variable part of the path, decoded.
pub(crate) struct Path(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(text)| Self(text))
            .map_err(|_| Error::invalid("the path is not valid percent-encoded UTF-8").into())
    }
}

/// The parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(parameters)| Self(parameters)).map_err(|_| {
            Error::invalid_unless("the query parameters cannot be read", "give each once, percent-encoded").into()
        })
    }
}

/// A JSON body, with any content type.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let encoding = request.headers().get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
        if encoding.is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")) {
            return Err(ApiError::EncodedBody);
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge { limit: MAX_BODY },
            _ => Error::invalid("the body could not be read").into(),
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| describe(&error).into())
    }
}

/// What is wrong with a body. The text does not quote the body, which may contain secrets.
fn describe(error: &serde_json::Error) -> Error {
    let place = format!("line {} column {}", error.line(), error.column());
    if !error.is_data() {
        return Error::invalid(format!("the body is not valid JSON: look at {place}"));
    }
    let text = error.to_string();
    Error::invalid(match (text.split_once(", expected "), text.starts_with("missing field")) {
        (Some((_, expected)), _) => {
            let expected = expected.replace("u32", "a whole number").replace("u64", "a whole number");
            format!("the body has a value of the wrong type: expected {expected}")
        }
        (None, true) => format!("the body is incomplete: {text}"),
        (None, false) => format!("the body has a value that does not fit: look at {place}"),
    })
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
            assert_eq!(describe(&serde_json::from_str::<Body>(body).unwrap_err()).to_string(), expected);
        }
    }
}
