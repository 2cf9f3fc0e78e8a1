//! WebSocket connections ("Working with WebSocket APIs", API Gateway): who may connect, and who has left.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use runvoy_core::{
    App, Error,
    websocket::{Connection, ConnectionKey, Wishes, connection, token},
};
use serde_json::Value;

use crate::EventError;

/// The longest event id that a viewer can come back with.
const MAX_EVENT_ID: usize = 128;

/// Answers with the status that API Gateway obeys.
pub async fn handle(app: &App, event: Value) -> Result<u16, EventError> {
    let event: ApiGatewayWebsocketProxyRequest =
        serde_json::from_value(event).map_err(EventError::malformed("WebSocket event"))?;
    let Some(connection_id) = event.request_context.connection_id.as_deref().filter(|id| !id.is_empty()) else {
        return Ok(400);
    };
    match event.request_context.route_key.as_deref() {
        Some("$connect") => {
            let parameter = |name: &str| event.query_string_parameters.first(name).filter(|text| !text.is_empty());
            connect(app, connection_id, parameter).await
        }
        Some("$disconnect") => {
            connection::remove_by_id(app, connection_id).await?;
            tracing::debug!(connection_id, "viewer left");
            Ok(200)
        }
        // Viewers have nothing to say.
        _ => Ok(200),
    }
}

async fn connect<'a>(
    app: &App,
    connection_id: &str,
    parameter: impl Fn(&str) -> Option<&'a str>,
) -> Result<u16, EventError> {
    let (Some(id), Some(token)) = (parameter("execution_id"), parameter("token")) else { return Ok(400) };
    let last_event_id = parameter("last_event_id");
    if last_event_id.is_some_and(|id| id.len() > MAX_EVENT_ID || !id.bytes().all(|b| b.is_ascii_graphic())) {
        return Ok(400);
    }
    let execution_id = match token::check(app, token, id).await {
        Ok(id) => id,
        Err(Error::UnknownApiKey) => return Ok(401),
        Err(Error::Forbidden(_)) => return Ok(403),
        Err(error) => return Err(error.into()),
    };
    let key = ConnectionKey { execution_id, connection_id: connection_id.to_owned() };
    let wishes = Wishes {
        batch: parameter("batch") == Some("true"),
        status: parameter("status") == Some("true"),
        last_event_id: last_event_id.map(str::to_owned),
    };
    let connection = Connection::new(app, key, wishes);
    match connection::add(app, &connection).await {
        Ok(()) => {
            tracing::debug!(connection_id, execution_id = id, "viewer connected");
            Ok(200)
        }
        Err(Error::NotFound { .. }) => Ok(403),
        Err(error) => Err(error.into()),
    }
}
