//! Receives the frames of a WebSocket, and notices when its connection is dead.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{StatusCode, Upgraded, header};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, frame::coding::CloseCode},
    },
};

use crate::api::{Api, causes};

/// After this long without a frame, the server is asked for a sign of life.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// The time that the sign of life may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The time that a handshake may take, in which a cold function of the server starts.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// The server answers this with `{"type":"pong"}`.
const PING: &str = r#"{"type":"ping"}"#;

pub(super) struct Socket {
    stream: WebSocketStream<Upgraded>,
    /// When the server is taken for dead, unless a frame comes.
    deadline: Option<Instant>,
    pub(super) round_trip: Duration,
    /// A frame of the log or of the status has come.
    pub(super) has_frame: bool,
    /// The server closed it because a message is too large for a frame (1009).
    pub(super) is_frame_too_large: bool,
    /// The time of the last line in milliseconds since 1970.
    pub(super) last_line: Option<i64>,
}

pub(super) enum ConnectError {
    /// The server does not accept the token.
    Refused,
    /// No runvoy answers at the address.
    NotFound(String),
    /// The connection was lost.
    Failed(String),
}

impl Socket {
    /// Opens a WebSocket through the HTTP client, so that proxies and certificates are the same for both.
    pub(super) async fn open(api: &Api, url: &str) -> Result<Self, ConnectError> {
        let begun = Instant::now();
        let stream = match timeout(HANDSHAKE_TIMEOUT, handshake(api, url)).await {
            Ok(opened) => opened?,
            Err(_) => return Err(ConnectError::Failed("no answer in time".to_owned())),
        };
        let round_trip = begun.elapsed();
        Ok(Self { stream, deadline: None, round_trip, has_frame: false, is_frame_too_large: false, last_line: None })
    }

    /// Waits for the next text. The error says why there is none. May be cancelled.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, String> {
        loop {
            let wait =
                self.deadline.map_or(READ_TIMEOUT, |deadline| deadline.saturating_duration_since(Instant::now()));
            let message = match timeout(wait, self.stream.next()).await {
                Ok(Some(message)) => message.map_err(|error| error.to_string())?,
                Ok(None) => return Err("it was closed".to_owned()),
                Err(_) if self.deadline.is_some() => return Err("it is silent".to_owned()),
                Err(_) => {
                    self.deadline = Some(Instant::now() + ANSWER);
                    self.ping().await?;
                    continue;
                }
            };
            self.deadline = None;
            match message {
                Message::Text(text) => return Ok(text),
                Message::Close(frame) => {
                    self.is_frame_too_large = frame.is_some_and(|frame| frame.code == CloseCode::Size);
                    return Err("the server closed it".to_owned());
                }
                _ => {}
            }
        }
    }

    /// Asks for a sign of life, in the API's way and in WebSocket's.
    async fn ping(&mut self) -> Result<(), String> {
        let send = async {
            self.stream.feed(Message::Ping(Default::default())).await?;
            self.stream.send(Message::text(PING)).await
        };
        match timeout(ANSWER, send).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("it takes nothing any more".to_owned()),
        }
    }
}

async fn handshake(api: &Api, url: &str) -> Result<WebSocketStream<Upgraded>, ConnectError> {
    let key = generate_key();
    let request = api
        .http
        .get(url)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key);
    let failed = |error: reqwest::Error| {
        if error.is_connect() { ConnectError::NotFound(causes(&error)) } else { ConnectError::Failed(causes(&error)) }
    };
    let response = request.send().await.map_err(failed)?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(ConnectError::Refused);
        }
        status => return Err(ConnectError::NotFound(format!("the server answers {status}"))),
    }
    let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(|accept| accept.as_bytes().to_vec());
    if accepted.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(ConnectError::NotFound("the server does not speak WebSocket".to_owned()));
    }
    let upgraded = response.upgrade().await.map_err(failed)?;
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
}
