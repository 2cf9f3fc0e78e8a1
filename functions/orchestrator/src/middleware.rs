//! Gives each request its id, its log line and its time limit, and notes which key it used.

use std::{future::pending, time::Instant};

use axum::{
    extract::{MatchedPath, Request},
    http::{Extensions, HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use lambda_http::{RequestExt, request::RequestContext};
use runvoy_api_types::headers;
use runvoy_core::{
    App, RequestId,
    audit::{self, Entry},
    key::KeyUse,
    user,
};
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::error::{ApiError, Denial};

/// Takes the use of a key from the extractor of [`Caller`](crate::extract::Caller) to [`in_context`], which writes it beside the handler's work.
pub(crate) type KeyUses = mpsc::UnboundedSender<KeyUse>;

/// Gives a request its id, its log line and its time limit.
pub(crate) async fn in_context(app: App, mut request: Request, next: Next) -> Response {
    let id = request.lambda_context_ref().map(|context| context.request_id.clone()).unwrap_or_default();
    request.extensions_mut().insert(RequestId::new(id.clone()));
    let (key_uses, mut noted) = mpsc::unbounded_channel::<KeyUse>();
    request.extensions_mut().insert::<KeyUses>(key_uses);
    let method = request.method().clone();
    let started = Instant::now();
    // The extractor of the caller fills in the user and the key.
    let span = tracing::info_span!(
        "request",
        request_id = id,
        %method,
        client = client_address(request.extensions()),
        user = tracing::field::Empty,
        key_id = tracing::field::Empty,
    );
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
            user::note_use(&app, &key_use).await;
        }
    };
    let answered = async {
        let (mut response, ()) = tokio::join!(handled, key_uses_written);
        if let Some(denial) = response.extensions_mut().remove::<Denial>() {
            write_down(&app, &denial).await;
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(headers::REQUEST_ID, id);
        }
        response.headers_mut().insert(headers::VERSION, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
        keep_private(response.headers_mut());
        let route = response.extensions().get::<Route>().map(|route| route.0.clone()).unwrap_or_default();
        let microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(route, status = response.status().as_u16(), microseconds, "answered");
        response
    };
    answered.instrument(span).await
}

/// Forbids caches to keep an answer, unless its handler says what they may do, and browsers to take it for anything but its type.
fn keep_private(headers: &mut HeaderMap) {
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Writes down that a caller was refused. If that fails, the refusal stands all the same.
async fn write_down(app: &App, denial: &Denial) {
    let Denial { actor, action, resource } = denial;
    let entry = Entry::refused(app, actor, action.as_str(), resource.as_str());
    if let Err(error) = audit::write(app, &entry).await {
        tracing::error!(error = %error.chain(), actor = actor.name, action, resource, "a refusal is not in the audit");
    }
}

/// The path of a request, for the log: as it was sent, or its pattern where it contains the token of a claim.
#[derive(Clone)]
struct Route(String);

/// Notes the route on the answer. Runs inside the router, where the match is known.
pub(crate) async fn note_route(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(matched) = matched {
        let pattern = matched.as_str();
        let route = if pattern.contains("{token}") { pattern.to_owned() } else { path };
        response.extensions_mut().insert(Route(route));
    }
    response
}

/// The caller's address, as AWS saw it. Headers such as `X-Forwarded-For` are not read: a caller can write anything into them.
pub(crate) fn client_address(extensions: &Extensions) -> Option<String> {
    match extensions.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
        _ => None,
    }
}
