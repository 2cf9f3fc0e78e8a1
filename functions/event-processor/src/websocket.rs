//! Decides about WebSocket connections ("Working with WebSocket APIs", API Gateway): which clients may connect, and which have left.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use http::{
    HeaderName,
    header::{HOST, ORIGIN},
};
use runvoy_core::{
    App, Email, Error, RequestId,
    audit::{self, Actor, Entry},
    config::Origin,
    key::ApiKeyHash,
    websocket::{Connection, ConnectionKey, ViewerOptions, connection, token},
};
use serde_json::Value;

use crate::error::EventError;

/// The longest event id that a viewer can come back with, in characters.
const MAX_EVENT_ID: usize = 128;

/// The action of a viewer in the audit.
const FOLLOW: &str = "executions:follow";

type Event = ApiGatewayWebsocketProxyRequest;

/// A parameter of the query that is not empty.
fn parameter<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    event.query_string_parameters.first(name).filter(|text| !text.is_empty())
}

fn header(event: &Event, name: HeaderName) -> Option<&str> {
    event.headers.get(name)?.to_str().ok()
}

/// Returns the status that API Gateway answers with. A handshake is refused with any status but 200.
pub(crate) async fn handle(app: &App, event: Value, request_id: &RequestId) -> Result<u16, EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("WebSocket event"))?;
    let Some(connection_id) = event.request_context.connection_id.as_deref().filter(|id| !id.is_empty()) else {
        return Ok(400);
    };
    match event.request_context.route_key.as_deref().unwrap_or_default() {
        "$connect" => connect(app, connection_id, &event, request_id).await,
        "$disconnect" => {
            connection::remove_by_id(app, connection_id).await?;
            tracing::debug!(connection_id, "viewer left");
            Ok(200)
        }
        // Messages of viewers have no meaning.
        _ => Ok(200),
    }
}

async fn connect(app: &App, connection_id: &str, event: &Event, request_id: &RequestId) -> Result<u16, EventError> {
    let (Some(id), Some(token)) = (parameter(event, "execution_id"), parameter(event, "token")) else { return Ok(400) };
    let last_event_id = parameter(event, "last_event_id");
    if last_event_id.is_some_and(|id| id.len() > MAX_EVENT_ID || !id.bytes().all(|b| b.is_ascii_graphic())) {
        return Ok(400);
    }
    let (token, refusal) = match token::check(app, token, id).await {
        Ok(found) => found,
        Err(Error::UnknownWebSocketToken) => return Ok(401),
        Err(error) => return Err(error.into()),
    };
    let actor = Actor {
        name: token.issued_to.as_ref().map_or("unknown", Email::as_str).to_owned(),
        key_id: token.key_hash.as_ref().map(ApiKeyHash::id),
        request_id: request_id.clone(),
        source_address: event.request_context.identity.source_ip.clone(),
    };
    // The id is the caller's text, which may be of any kind.
    let of = id.parse().unwrap_or_else(|_| token.execution_id.clone());
    let resource = format!("execution:{of}");
    let refuse = async |status: u16| -> Result<u16, EventError> {
        audit::write(app, &Entry::refused(app, &actor, FOLLOW, resource.clone())).await?;
        Ok(status)
    };
    match refusal {
        None if is_origin_allowed(app, event, token.issued_at) => {}
        Some(Error::UnknownWebSocketToken) => return refuse(401).await,
        _ => return refuse(403).await,
    }
    let key = ConnectionKey { execution_id: token.execution_id, connection_id: connection_id.to_owned() };
    let options = ViewerOptions {
        batch: parameter(event, "batch") == Some("true"),
        status: parameter(event, "status") == Some("true"),
        last_event_id: last_event_id.map(str::to_owned),
        key_hash: token.key_hash.clone(),
        key_expires_at: token.key_expires_at,
    };
    let connection = Connection::new(app, key, options);
    let entry = Entry::done(app, &actor, FOLLOW, resource.clone());
    match connection::add(app, &connection, &entry).await {
        Ok(()) => {
            tracing::debug!(connection_id, execution_id = id, "viewer connected");
            Ok(200)
        }
        Err(Error::NotFound { .. }) => Ok(403),
        Err(Error::UnknownWebSocketToken) => refuse(401).await,
        Err(error) => Err(error.into()),
    }
}

/// Tells whether a page of the event's origin may connect. A client that is no browser sends no origin. The API's own pages may: those
/// of the address at which the API issued the token, which may be one of several (localhost and 127.0.0.1, or a proxy's), those of
/// the API's address, and, where WebSockets and the API have one address, those of that address.
fn is_origin_allowed(app: &App, event: &Event, issued_at: Option<String>) -> bool {
    let Some(origin) = header(event, ORIGIN) else { return true };
    let host = header(event, HOST).or(event.request_context.domain_name.as_deref()).unwrap_or_default();
    let own: Vec<Origin> =
        [issued_at, app.config.api_url.clone(), Some(format!("http://{host}")), Some(format!("https://{host}"))]
            .into_iter()
            .flatten()
            .filter_map(|url| Origin::of_url(&url))
            .collect();
    app.config.allowed_origins.allow(origin, &own)
}
