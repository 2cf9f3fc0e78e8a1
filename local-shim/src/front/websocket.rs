//! Serves WebSockets: a connection sends `$connect`, `$default` and `$disconnect` events to the function, and the answer to `$connect`
//! decides on the handshake, as in API Gateway.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::server::create_response_with_body,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    aws::api_gateway::{ApiGateway, Incoming, ToSocket},
    lambda::{Function, Kind, function::request_id},
};

/// Bytes of the largest message that a viewer may send ("Amazon API Gateway quotas").
const MAX_MESSAGE: usize = 128 * 1024;
/// Bytes that are read at a time. Viewers send little, and there may be many.
const READ_BUFFER: usize = 4 * 1024;

/// The time that a client has to close a connection that is closed here.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

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
    mut request: Request,
) -> Response {
    let upgraded = hyper::upgrade::on(&mut request);
    let Ok(response) = create_response_with_body(&request, Body::empty) else {
        let details = "this path is for WebSocket clients; take the URL from websocket_url";
        return refuse(StatusCode::UPGRADE_REQUIRED, details);
    };
    let (parts, _) = request.into_parts();
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
    tokio::spawn(async move {
        let _open = open;
        // A client that has gone meanwhile is only disconnected.
        if let Ok(upgraded) = upgraded.await {
            let config = WebSocketConfig::default()
                .max_frame_size(Some(MAX_MESSAGE))
                .max_message_size(Some(MAX_MESSAGE))
                .read_buffer_size(READ_BUFFER);
            let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            let incoming = gateway.connections.open(&connection.id);
            serve(&gateway, &connection, socket, incoming).await;
            gateway.connections.closed(&connection.id);
        }
        let event = connection.event("$disconnect", "DISCONNECT");
        drop(gateway.function.send(Kind::WebSocket, event.to_string().into_bytes()));
    });
    response
}

/// Passes messages on until either side closes the connection.
async fn serve(
    gateway: &Gateway,
    connection: &Connection,
    mut socket: Socket,
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
                Some(ToSocket::Close) => return close(socket, CloseCode::Normal).await,
                Some(ToSocket::TooLarge) => return close(socket, CloseCode::Size).await,
                None => return close(socket, CloseCode::Away).await,
            },
            message = socket.next() => match message {
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
                Some(Err(error)) => return refuse_frame(socket, code_of(&error)).await,
                None => return,
                Some(Ok(_)) => {}
            },
            () = cut.cancelled() => return,
            () = gateway.closing.cancelled() => return close(socket, CloseCode::Away).await,
        }
    }
}

/// Sends a close frame and waits for the client's.
async fn close(mut socket: Socket, code: CloseCode) {
    if send_close(&mut socket, code).await {
        drain(socket).await;
    }
}

/// Returns whether the client was still there.
async fn send_close(socket: &mut Socket, code: CloseCode) -> bool {
    let frame = CloseFrame { code, reason: "".into() };
    socket.send(Message::Close(Some(frame))).await.is_ok()
}

/// Reads a socket to its end, so that the closing handshake is completed.
async fn drain(mut socket: Socket) {
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = timeout(CLOSE_TIMEOUT, end).await;
}

/// Sends a close frame after a frame that cannot be read, and passes over what the client sends until it closes the connection. A socket
/// that is closed with bytes unread is reset, and the close frame may be lost.
async fn refuse_frame(mut socket: Socket, code: CloseCode) {
    if !send_close(&mut socket, code).await {
        return;
    }
    let connection = socket.get_mut();
    let end = async {
        connection.shutdown().await?;
        tokio::io::copy(connection, &mut tokio::io::sink()).await
    };
    let _ = timeout(CLOSE_TIMEOUT, end).await;
}

/// The close code for an error of the client (RFC 6455, section 7.4.1).
fn code_of(error: &Error) -> CloseCode {
    match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        _ => CloseCode::Protocol,
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
