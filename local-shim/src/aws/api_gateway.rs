//! Emulates API Gateway's management of WebSocket connections. Each connection is a real socket, which `front/websocket.rs` holds.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{AwsError, exchange::Answer};

/// Bytes of the largest message ("Amazon API Gateway quotas").
const MAX_PAYLOAD: usize = 128 * 1024;
/// Messages that may wait for a slow viewer.
const BACKLOG: usize = 64;
/// The time that a call waits for a place among them.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);

/// An action on the socket of a connection.
#[derive(Debug)]
pub enum ToSocket {
    Text(String),
    Close,
    /// Closes the connection because a message does not fit into a frame.
    TooLarge,
}

/// The emulated management of WebSocket connections.
#[derive(Clone)]
pub struct ApiGateway {
    connections: Arc<Mutex<HashMap<String, Open>>>,
    /// Bytes of a message above which the connection is closed. "Amazon API Gateway quotas" names 32 KB for a frame, and does not say
    /// whether API Gateway splits a longer message, so tests choose a limit.
    largest_frame: Arc<AtomicUsize>,
}

impl Default for ApiGateway {
    fn default() -> Self {
        Self { connections: Arc::default(), largest_frame: Arc::new(AtomicUsize::new(MAX_PAYLOAD)) }
    }
}

/// The sending end of a connection.
#[derive(Clone)]
struct Open {
    messages: mpsc::Sender<ToSocket>,
    cut: CancellationToken,
}

/// The receiving end of a connection, for its socket.
pub(crate) struct Incoming {
    pub(crate) messages: mpsc::Receiver<ToSocket>,
    /// Ends the connection although messages wait, because the client does not read them.
    pub(crate) cut: CancellationToken,
}

impl ApiGateway {
    /// Registers a connection whose handshake is over.
    pub(crate) fn open(&self, id: &str) -> Incoming {
        let (sender, messages) = mpsc::channel(BACKLOG);
        let cut = CancellationToken::new();
        self.lock().insert(id.to_owned(), Open { messages: sender, cut: cut.clone() });
        Incoming { messages, cut }
    }

    /// Closes from now on each connection for which a message is larger than this, with code 1009.
    pub fn close_on_frames_over(&self, bytes: usize) {
        self.largest_frame.store(bytes, Ordering::Relaxed);
    }

    /// Removes a connection that is closed.
    pub(crate) fn closed(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Answers one call.
    pub(super) async fn call(&self, operation: &str, path: &str, body: &[u8]) -> Result<Answer, AwsError> {
        let id = path.rsplit_once("/@connections/").map_or("", |(_, id)| id).replace("%3D", "=");
        let gone = || AwsError { status: 410, ..AwsError::new("GoneException", "") };
        let Open { messages: sender, cut } = self.lock().get(&id).cloned().ok_or_else(gone)?;
        let message = match operation {
            "PostToConnection" => {
                if body.len() > MAX_PAYLOAD {
                    return Err(AwsError {
                        status: 413,
                        ..AwsError::new("PayloadTooLargeException", "Message too long")
                    });
                }
                let text = String::from_utf8(body.to_vec())
                    .map_err(|_| AwsError::new("BadRequestException", "the message is not valid UTF-8"))?;
                if text.len() > self.largest_frame.load(Ordering::Relaxed) {
                    ToSocket::TooLarge
                } else {
                    ToSocket::Text(text)
                }
            }
            // The close frame follows the messages that wait. If there is no place among them for long, the client does not read.
            _ => {
                if sender.send_timeout(ToSocket::Close, SEND_TIMEOUT).await.is_err() {
                    cut.cancel();
                }
                return Ok(Answer::json(Vec::new()));
            }
        };
        match sender.send_timeout(message, SEND_TIMEOUT).await {
            Ok(()) => Ok(Answer::json(Vec::new())),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(gone()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(AwsError { status: 429, ..AwsError::new("LimitExceededException", "the client reads too slowly") })
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Open>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
