//! Serves WebSockets: a connection sends `$connect`, `$default` and `$disconnect` events to the function, and the answer to `$connect`
//! decides on the handshake, as in API Gateway.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{
        ConnectInfo, FromRequestParts, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use serde_json::{Map, Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    aws::api_gateway::{ApiGateway, Incoming, ToSocket},
    lambda::{Function, Kind, function::request_id},
};

/// Bytes of the largest message that a viewer may send ("Amazon API Gateway quotas").
const MAX_MESSAGE: usize = 128 * 1024;

/// The WebSocket API.
pub(crate) struct Gateway {
    pub(crate) connections: ApiGateway,
    pub(crate) function: Function,
    pub(crate) stage: String,
    /// The frame with which API Gateway itself answers each frame of a viewer. Without it, the function gets them.
    pub(crate) answer: Option<String>,
    /// Closes all connections when it is cancelled.
    pub(crate) closing: CancellationToken,
    /// The open connections. The HTTP server does not wait for them, because their requests have ended with the upgrade.
    pub(crate) open: TaskTracker,
}

/// Asks the function whether a client may connect, and upgrades the connection.
pub(super) async fn upgrade(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        let details = "this path is for WebSocket clients; take the URL from websocket_url";
        return refuse(StatusCode::UPGRADE_REQUIRED, details);
    };
    let connection = Connection::new(&parts, peer, &gateway.stage);
    let mut event = connection.event("$connect", "CONNECT");
    event["queryStringParameters"] = Value::Object(query(&parts));
    event["headers"] = Value::Object(text_headers(&parts.headers));
    let status = match gateway.function.invoke(&request_id(), event.to_string().into_bytes()).await {
        Ok(answer) => status_code(&answer),
        Err(error) => {
            tracing::error!(%error, "a viewer was refused because its event failed");
            StatusCode::BAD_GATEWAY
        }
    };
    if !status.is_success() {
        return refuse(
            status,
            match status {
                StatusCode::BAD_REQUEST => "execution_id and token are required; take the URL from websocket_url",
                StatusCode::UNAUTHORIZED => {
                    "the token is unknown or has expired; get a new URL from the execution's logs"
                }
                StatusCode::FORBIDDEN => {
                    "the token is for another execution, or pages of this origin may not connect; see \
                     RUNVOY_CORS_ALLOWED_ORIGINS"
                }
                _ => "the connection could not be set up; try again in a moment",
            },
        );
    }
    let open = gateway.open.token();
    upgrade.max_message_size(MAX_MESSAGE).on_upgrade(move |socket| async move {
        let _open = open;
        let incoming = gateway.connections.open(&connection.id);
        serve(&gateway, &connection, socket, incoming).await;
        gateway.connections.closed(&connection.id);
        let event = connection.event("$disconnect", "DISCONNECT");
        drop(gateway.function.send(Kind::WebSocket, event.to_string().into_bytes()));
    })
}

/// Passes messages on until either side closes the connection.
async fn serve(
    gateway: &Gateway,
    connection: &Connection,
    mut socket: WebSocket,
    Incoming { messages: mut to_socket, cut }: Incoming,
) {
    loop {
        tokio::select! {
            biased;
            message = to_socket.recv() => match message {
                Some(ToSocket::Text(text)) => {
                    tokio::select! {
                        sent = socket.send(Message::Text(text.into())) => if sent.is_err() { return },
                        () = cut.cancelled() => return,
                    }
                }
                Some(ToSocket::Close) => return close(socket, close_code::NORMAL).await,
                Some(ToSocket::TooLarge) => return close(socket, close_code::SIZE).await,
                None => return close(socket, close_code::AWAY).await,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(answer) = &gateway.answer {
                        if socket.send(Message::Text(answer.into())).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    let mut event = connection.event("$default", "MESSAGE");
                    event["body"] = Value::from(text.as_str());
                    drop(gateway.function.send(Kind::WebSocket, event.to_string().into_bytes()));
                }
                // The library answers the client's close frame when the socket is read once more.
                Some(Ok(Message::Close(_))) => return drain(socket).await,
                Some(Err(error)) => return close(socket, code_of(&error)).await,
                None => return,
                Some(Ok(_)) => {}
            },
            () = cut.cancelled() => return,
            () = gateway.closing.cancelled() => return close(socket, close_code::AWAY).await,
        }
    }
}

/// Sends a close frame and waits a second for the client's.
async fn close(mut socket: WebSocket, code: u16) {
    let frame = CloseFrame { code, reason: "".into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        drain(socket).await;
    }
}

/// Reads a socket to its end, so that the closing handshake is completed.
async fn drain(mut socket: WebSocket) {
    let end = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), end).await;
}

/// The close code for an error of the client (RFC 6455, section 7.4.1).
fn code_of(error: &axum::Error) -> u16 {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let text = text.to_ascii_lowercase();
    if text.contains("too long") || text.contains("too large") || text.contains("too big") {
        close_code::SIZE
    } else if text.contains("utf-8") {
        close_code::INVALID
    } else {
        close_code::PROTOCOL
    }
}

/// The facts about a connection that API Gateway puts into its events.
struct Connection {
    id: String,
    connected_at: i64,
    context: Value,
}

impl Connection {
    fn new(parts: &Parts, peer: SocketAddr, stage: &str) -> Self {
        let id = format!("{}=", &uuid::Uuid::new_v4().simple().to_string()[..15]);
        let connected_at = jiff::Timestamp::now().as_millisecond();
        let header = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let context = json!({
            "apiId": "local",
            "stage": stage,
            "domainName": header(header::HOST),
            "connectionId": id,
            "connectedAt": connected_at,
            "identity": {"sourceIp": peer.ip().to_string(), "userAgent": header(header::USER_AGENT)},
        });
        Self { id, connected_at, context }
    }

    /// An event of this connection ("Integration request", WebSocket APIs).
    fn event(&self, route: &str, kind: &str) -> Value {
        let now = jiff::Timestamp::now();
        let mut context = self.context.clone();
        context["routeKey"] = Value::from(route);
        context["eventType"] = Value::from(kind);
        context["messageDirection"] = Value::from("IN");
        context["requestId"] = Value::from(request_id());
        context["requestTime"] = Value::from(now.strftime("%d/%b/%Y:%H:%M:%S %z").to_string());
        context["requestTimeEpoch"] = Value::from(now.as_millisecond());
        context["connectedAt"] = Value::from(self.connected_at);
        json!({"requestContext": context, "isBase64Encoded": false})
    }
}

fn query(parts: &Parts) -> Map<String, Value> {
    let pairs: Vec<(String, String)> =
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(pairs)| pairs).unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name, Value::from(value))).collect()
}

fn text_headers(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), Value::from(value.to_str().ok()?))))
        .collect()
}

fn status_code(answer: &[u8]) -> StatusCode {
    serde_json::from_slice::<Value>(answer)
        .ok()
        .and_then(|answer| answer["statusCode"].as_u64())
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| StatusCode::from_u16(code).ok())
        .unwrap_or(StatusCode::BAD_GATEWAY)
}

fn refuse(status: StatusCode, details: &str) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        status if status.is_client_error() => "INVALID_REQUEST",
        _ => "SERVICE_UNAVAILABLE",
    };
    super::error(status, code, details)
}
