//! Gives each request its id, its log line and its time limit, and notes which key it used.

use std::{future::pending, time::Instant};

use axum::{
    extract::{MatchedPath, Request},
    http::HeaderValue,
    middleware::Next,
    response::{IntoResponse, Response},
};
use lambda_http::{RequestExt, request::RequestContext};
use runvoy_api_types::headers;
use runvoy_core::{
    App, RequestId,
    auth::{self, KeyUse},
};
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::error::ApiError;

/// Takes the use of a key from the extractor of [`Caller`] to [`in_context`], which writes it beside the handler's work.
pub(crate) type KeyUses = mpsc::UnboundedSender<KeyUse>;

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
            response.headers_mut().insert(headers::REQUEST_ID, id);
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

/// The caller's address, as AWS saw it. Headers such as `X-Forwarded-For` are not read: a caller can write anything into them.
fn client_address(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone().unwrap_or_default(),
        _ => String::new(),
    }
}
