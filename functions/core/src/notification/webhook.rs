//! Sends HTTP requests to receivers outside AWS, with the HTTP client that the SDK brings.

use std::time::Duration;

use aws_smithy_runtime_api::client::{http::HttpConnector as _, orchestrator::HttpRequest};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use futures_util::future::{self, Either};
use http::Uri;

use super::{check, signature};
use crate::{App, receivers};

/// The time that a receiver has to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The time from which an answer is slow. One that comes sooner holds up no other receiver's messages.
const SLOW: Duration = Duration::from_secs(3);
/// The most bytes of an answer that a delivery keeps, for people who look for the reason of a failure.
const MAX_ANSWER: usize = 500;

/// The answer of a receiver, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReceiverAnswer {
    pub(super) status_code: Option<u16>,
    pub(super) text: String,
    /// Tells whether the sender has waited for [`SLOW`] or longer.
    pub(super) is_slow: bool,
}

impl ReceiverAnswer {
    pub(super) fn none(why: impl Into<String>) -> Self {
        Self { status_code: None, text: why.into(), is_slow: false }
    }

    /// Tells whether the receiver has taken the message.
    pub(super) fn is_taken(&self) -> bool {
        self.status_code.is_some_and(|code| (200..300).contains(&code))
    }
}

/// A webhook that is to be signed.
pub(super) struct Signed<'a> {
    /// The id of the change.
    pub(super) id: &'a str,
    /// The newest first.
    pub(super) keys: &'a [&'a str],
}

/// Posts JSON to a receiver, with a signature by each key. A failure to reach the receiver is an answer without a status code.
pub(super) async fn post(app: &App, url: &str, body: Vec<u8>, signed: Option<Signed<'_>>) -> ReceiverAnswer {
    let request = match request(app, url, body, signed) {
        Ok(request) => request,
        Err(why) => return ReceiverAnswer::none(why),
    };
    let exchange = Box::pin(exchange(app, request));
    let exchange = match future::select(exchange, Box::pin(app.sleep(SLOW))).await {
        Either::Left((answer, _)) => return answer,
        Either::Right(((), exchange)) => exchange,
    };
    let answer = match future::select(exchange, Box::pin(app.sleep(TIMEOUT - SLOW))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => ReceiverAnswer::none(format!("no answer within {} seconds", TIMEOUT.as_secs())),
    };
    ReceiverAnswer { is_slow: true, ..answer }
}

fn request(app: &App, url: &str, body: Vec<u8>, signed: Option<Signed<'_>>) -> Result<HttpRequest, String> {
    // The connector's resolver checks the addresses of names; an address in the URL itself is checked here. `check` has done so when the
    // notification was made, but the setting may have changed since.
    let uri: Uri = url.parse().map_err(|_| "the address of the receiver is not a URL".to_owned())?;
    if let Some(literal) = uri.host().and_then(check::literal)
        && !receivers::is_allowed(literal, app.config.private_webhooks)
    {
        return Err(receivers::PrivateAddress.to_string());
    }
    let now = app.now().as_second();
    let signature = match &signed {
        None => None,
        Some(signed) => {
            let signatures = signed.keys.iter().map(|key| signature::sign(key, now, &body));
            Some(signatures.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?.join(","))
        }
    };
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_uri(uri).map_err(|_| "the address of the receiver is not a URL".to_owned())?;
    request.set_method("POST").map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    headers.insert("content-type", "application/json");
    headers.insert("user-agent", concat!("runvoy/", env!("CARGO_PKG_VERSION")));
    if let (Some(signed), Some(signature)) = (signed, signature) {
        headers.insert("x-runvoy-id", signed.id.to_owned());
        headers.insert("x-runvoy-timestamp", now.to_string());
        headers.insert("x-runvoy-signature", signature);
    }
    Ok(request)
}

async fn exchange(app: &App, request: HttpRequest) -> ReceiverAnswer {
    let response = match app.receivers.call(request).await {
        Ok(response) => response,
        Err(error) => return ReceiverAnswer::none(reason(&error)),
    };
    let code = response.status().as_u16();
    let mut text = Vec::new();
    let mut body = ByteStream::new(response.into_body());
    while text.len() < MAX_ANSWER
        && let Some(Ok(part)) = body.next().await
    {
        text.extend_from_slice(&part);
    }
    text.truncate(MAX_ANSWER);
    let mut text = String::from_utf8_lossy(&text).trim().to_owned();
    if (300..400).contains(&code) {
        text = format!("the receiver redirects, which is not followed. {text}").trim_end().to_owned();
    }
    ReceiverAnswer { status_code: Some(code), text, is_slow: false }
}

/// The innermost cause of a failure, which is the one that says something: `connection refused`, or an address that is not allowed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    if text.is_empty() { "the receiver cannot be reached".to_owned() } else { text }
}
