//! Makes the event of a Lambda Function URL safe for `lambda_http` ("Invoking Lambda function URLs", payload format 2.0).
//!
//! `lambda_http` builds a URL from headers that any client can set, and panics when they do not make one. Clients can send such
//! headers to the deployed function too, so every part of that URL is checked or replaced first.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_http::{Adapter, Body, Request, Response, request::LambdaRequest};
use lambda_runtime::{Diagnostic, LambdaEvent};
use runvoy_core::config::Origin;
use serde_json::Value;
use tower::Service;

/// Answers an event with the API's service.
///
/// # Errors
/// An event that no Function URL sends.
pub(crate) async fn handle<S>(service: S, event: LambdaEvent<Value>) -> Result<Value, Diagnostic>
where
    S: Service<Request, Response = Response<Body>, Error = std::convert::Infallible, Future: Send> + Send,
{
    let LambdaEvent { mut payload, context } = event;
    make_safe(&mut payload).map_err(unusable)?;
    let request: LambdaRequest = serde_json::from_value(payload).map_err(|error| unusable(error.to_string()))?;
    let mut adapter = Adapter::from(service);
    let Ok(response) = adapter.call(LambdaEvent::new(request, context)).await;
    serde_json::to_value(response).map_err(|error| unusable(error.to_string()))
}

fn unusable(cause: impl Into<String>) -> Diagnostic {
    let message = format!("the event is not one of a Lambda Function URL: {}", cause.into());
    Diagnostic { error_type: "UnknownEvent".to_owned(), error_message: message }
}

fn make_safe(event: &mut Value) -> Result<(), String> {
    if !event["requestContext"]["http"]["method"].is_string() {
        return Err("requestContext.http.method is missing".to_owned());
    }
    for (field, fallback) in [("accountId", "anonymous"), ("stage", "$default"), ("routeKey", "$default")] {
        if !event["requestContext"][field].is_string() {
            event["requestContext"][field] = Value::from(fallback);
        }
    }
    let path = event["rawPath"].as_str().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // A trailing slash means the same as none.
    let trimmed = path.trim_end_matches('/');
    event["rawPath"] = Value::from(if trimmed.is_empty() { "/".to_owned() } else { escape(trimmed) });
    event["rawQueryString"] = Value::from(escape(event["rawQueryString"].as_str().unwrap_or_default()));

    let is_encoded = event["isBase64Encoded"].as_bool().unwrap_or_default();
    event["isBase64Encoded"] = Value::from(is_encoded);
    if is_encoded && STANDARD.decode(event["body"].as_str().unwrap_or_default()).is_err() {
        return Err("the body is not valid base64".to_owned());
    }

    let domain = event["requestContext"]["domainName"].as_str().unwrap_or_default().to_owned();
    if !event["headers"].is_object() {
        event["headers"] = Value::Object(serde_json::Map::new());
    }
    if let Some(headers) = event["headers"].as_object_mut() {
        headers.retain(|name, value| is_header(name, value));
        let is_scheme = |value: &Value| value == "http" || value == "https";
        headers.retain(|name, value| !name.eq_ignore_ascii_case("x-forwarded-proto") || is_scheme(value));
        headers.retain(|name, value| !name.eq_ignore_ascii_case("host") || value.as_str().is_some_and(is_authority));
        if !headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
            let host = if is_authority(&domain) { domain.as_str() } else { "localhost" };
            headers.insert("host".to_owned(), Value::from(host));
        }
        // A Function URL says the scheme, which is https. Tools that imitate one on this machine leave it out, and speak http.
        let says_scheme = headers.keys().any(|name| name.eq_ignore_ascii_case("x-forwarded-proto"));
        let host =
            headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).and_then(|(_, host)| host.as_str());
        if !says_scheme && host.is_some_and(is_loopback) {
            headers.insert("x-forwarded-proto".to_owned(), Value::from("http"));
        }
    }
    Ok(())
}

fn is_authority(host: &str) -> bool {
    Origin::parse(&format!("http://{host}")).is_some()
}

fn is_loopback(host: &str) -> bool {
    Origin::parse(&format!("http://{host}")).is_some_and(|origin| origin.is_loopback())
}

fn is_header(name: &str, value: &Value) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
        && value.as_str().is_some_and(|value| http::HeaderValue::from_str(value).is_ok())
}

/// Percent-encodes the characters that a path or a query cannot contain (RFC 3986). What is encoded already stays as it is.
fn escape(text: &str) -> String {
    const UNSAFE: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'`')
        .add(b'#')
        .add(b'\\')
        .add(b'^')
        .add(b'{')
        .add(b'|')
        .add(b'}')
        .add(b'[')
        .add(b']')
        .add(b'\'');
    percent_encoding::utf8_percent_encode(text, UNSAFE).to_string().replace('?', "%3F")
}
