//! Brings the lines of an execution, each once and in order, until the execution ends, whatever the network does.
//!
//! The server sends a viewer every line in the order of its store. After a lost connection, the viewer connects again and names its last
//! line, and the server goes on after it. A line that comes twice is known by its id.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use reqwest::{StatusCode, Upgraded, header};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::Role,
    },
};

use crate::{
    api::{Api, RequestError, causes, segment},
    failure::{Failure, Result},
};

/// How often the connection is tried out, so that one that is dead without saying so is noticed.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long a connection may be silent, pings included.
const SILENCE: Duration = Duration::from_secs(75);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// The first and the longest pause before another connection.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));

/// A line of a log.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub(crate) struct Line {
    pub(crate) event_id: String,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) message: String,
}

/// What comes of an execution that is followed.
#[derive(Debug)]
pub(crate) enum Event {
    Lines(Vec<Line>),
    Status {
        status: String,
        exit_code: Option<i64>,
    },
    /// Every line has come.
    End,
}

/// How an execution is going.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) status: String,
    pub(crate) exit_code: Option<i64>,
    pub(crate) stopped_reason: Option<String>,
}

impl Status {
    pub(crate) fn is_end(&self) -> bool {
        is_end(&self.status)
    }
}

pub(crate) fn is_end(status: &str) -> bool {
    ["SUCCEEDED", "FAILED", "STOPPED"].contains(&status)
}

pub(crate) async fn status(api: &Api, id: &str) -> Result<Status> {
    api.get(&format!("/executions/{}/status", segment(id))).await?.parse()
}

#[derive(Deserialize)]
struct Logs {
    events: Option<Vec<Line>>,
    websocket_url: Option<String>,
}

/// A frame, as the server sends it.
#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    events: Vec<Line>,
    reason: Option<String>,
    status: Option<String>,
    exit_code: Option<i64>,
    event_id: Option<String>,
    timestamp: Option<i64>,
    message: Option<String>,
}

pub(crate) struct Follower<'a> {
    api: &'a Api,
    id: String,
    /// The WebSocket's URL. It works for a day, after the execution's end too.
    url: Option<String>,
    connection: Option<Connection>,
    last_event_id: Option<String>,
    seen: Seen,
    /// What has been received and not been returned yet.
    waiting: VecDeque<Event>,
    pause: Duration,
    /// Whether the user has been told that the connection is lost.
    told: bool,
}

struct Connection {
    socket: WebSocketStream<Upgraded>,
    heard: Instant,
}

/// The lines that have been returned. Holds a hash of each id, so that a million lines take 16 MB.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    ids: HashSet<u64>,
}

impl Seen {
    fn is_new(&mut self, id: &str) -> bool {
        self.ids.insert(self.hasher.hash_one(id))
    }
}

impl<'a> Follower<'a> {
    /// Follows an execution from its first line on. Without a URL, asks the API for one.
    pub(crate) fn new(api: &'a Api, id: &str, websocket_url: Option<String>) -> Self {
        Self {
            api,
            id: id.to_owned(),
            url: websocket_url,
            connection: None,
            last_event_id: None,
            seen: Seen::default(),
            waiting: VecDeque::new(),
            pause: PAUSES.0,
            told: false,
        }
    }

    /// Waits for the next event. A lost connection is taken up again, for as long as it takes. May be cancelled.
    ///
    /// # Errors
    /// The API refuses to show the log.
    pub(crate) async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            if self.connection.is_none() {
                self.connect().await?;
                continue;
            }
            if let Err(why) = self.receive().await {
                self.connection = None;
                self.tell(&why);
                self.wait().await;
            }
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    fn tell(&mut self, why: &str) {
        if !self.told {
            self.told = true;
            eprintln!("runvoy: the connection is lost ({why}); connecting again");
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    /// Connects, or reads the rest of a log whose execution has ended without a connection.
    async fn connect(&mut self) -> Result<()> {
        let Some(url) = self.url.clone() else { return self.ask_for_url().await };
        match timeout(HANDSHAKE_TIMEOUT, open(self.api, &self.address(&url))).await {
            Ok(Ok(socket)) => self.connection = Some(Connection { socket, heard: Instant::now() }),
            Ok(Err(Refusal::Refused)) => {
                // The token has expired, or the state of the server is another one now.
                self.tell("the server does not accept the token any more");
                self.url = None;
                self.wait().await;
            }
            Ok(Err(Refusal::Failed(why))) => {
                self.tell(&why);
                self.wait().await;
                // The API knows whether the execution is still there.
                self.url = None;
            }
            Err(_) => {
                self.tell("no answer in time");
                self.wait().await;
            }
        }
        Ok(())
    }

    fn address(&self, url: &str) -> String {
        let mut address = format!("{url}&batch=true&status=true");
        if let Some(id) = &self.last_event_id {
            address.push_str("&last_event_id=");
            address.push_str(&segment(id));
        }
        match address.strip_prefix("ws") {
            Some(rest) => format!("http{rest}"),
            None => address,
        }
    }

    async fn ask_for_url(&mut self) -> Result<()> {
        let mut path = format!("/executions/{}/logs", segment(&self.id));
        loop {
            let answer = match self.api.send(reqwest::Method::GET, &path, None, &[], crate::api::Repeat::Safe).await {
                Ok(answer) => answer,
                Err(RequestError::Refused { failure, .. }) => return Err(failure),
                Err(RequestError::Unreachable(failure)) => {
                    self.tell(&failure.to_string());
                    self.wait().await;
                    continue;
                }
            };
            let logs: Logs = answer.parse()?;
            if let Some(url) = logs.websocket_url {
                self.url = Some(url);
                return Ok(());
            }
            // The execution has ended: the answer is the log, or a page of it.
            let next = answer.next_page();
            let mut lines = logs.events.unwrap_or_default();
            if next.is_some() {
                // The last event of such a page is a note for clients that read no `Link` header.
                lines.pop();
            }
            self.take(lines);
            match next {
                Some(next) => path = next,
                None => {
                    self.waiting.push_back(Event::End);
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, lines: Vec<Line>) {
        let lines: Vec<Line> = lines.into_iter().filter(|line| self.seen.is_new(&line.event_id)).collect();
        if let Some(last) = lines.last() {
            self.last_event_id = Some(last.event_id.clone());
            self.waiting.push_back(Event::Lines(lines));
        }
    }

    /// Takes in the next frame. The error says why there is none.
    async fn receive(&mut self) -> Result<(), String> {
        let Some(connection) = &mut self.connection else { return Err("it is closed".to_owned()) };
        let message = match timeout(PING_EVERY, connection.socket.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Ok(None) => return Err("it was closed".to_owned()),
            Err(_) if connection.heard.elapsed() > SILENCE => return Err("it is silent".to_owned()),
            Err(_) => {
                return connection
                    .socket
                    .send(Message::Ping(Default::default()))
                    .await
                    .map_err(|error| error.to_string());
            }
        };
        connection.heard = Instant::now();
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err("the server closed it".to_owned()),
            _ => return Ok(()),
        };
        let frame: Frame = serde_json::from_str(&text).map_err(|error| format!("a frame is not runvoy's: {error}"))?;
        self.pause = PAUSES.0;
        if self.told {
            self.told = false;
            eprintln!("runvoy: connected again");
        }
        match (frame.kind.as_deref(), frame.status) {
            (Some("logs"), _) => self.take(frame.events),
            (Some("status"), Some(status)) => {
                self.waiting.push_back(Event::Status { status, exit_code: frame.exit_code });
            }
            (Some("disconnect"), _) if frame.reason.as_deref() == Some("execution_completed") => {
                self.waiting.push_back(Event::End);
            }
            (Some("disconnect"), _) => return Err(frame.reason.unwrap_or_else(|| "the server closes it".to_owned())),
            (None, _) => {
                if let (Some(event_id), Some(timestamp), Some(message)) =
                    (frame.event_id, frame.timestamp, frame.message)
                {
                    self.take(vec![Line { event_id, timestamp, message }]);
                }
            }
            // A kind of frame that a later server sends.
            (Some(_), _) => {}
        }
        Ok(())
    }
}

enum Refusal {
    /// The server does not accept the token.
    Refused,
    Failed(String),
}

/// Opens a WebSocket through the HTTP client, so that proxies and certificates are the same for both.
async fn open(api: &Api, url: &str) -> Result<WebSocketStream<Upgraded>, Refusal> {
    let key = generate_key();
    let request = api
        .http
        .get(url)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key);
    let failed = |error: reqwest::Error| Refusal::Failed(causes(&error));
    let response = request.send().await.map_err(failed)?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(Refusal::Refused);
        }
        status => return Err(Refusal::Failed(format!("the server answers {status}"))),
    }
    let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(|accept| accept.as_bytes().to_vec());
    if accepted.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(Refusal::Failed("the server does not speak WebSocket".to_owned()));
    }
    let upgraded = response.upgrade().await.map_err(failed)?;
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
}

impl Follower<'_> {
    /// How the execution ended, after [`Event::End`].
    ///
    /// # Errors
    /// The API fails, or does not know of the end within 10 seconds.
    pub(crate) async fn final_status(&self) -> Result<Status> {
        // The last frame may precede the record's end by a moment.
        for _ in 0..100 {
            let status = status(self.api, &self.id).await?;
            if status.is_end() {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Failure::new("the log has ended, and the execution has not")
            .remedy(format!("look at `runvoy status {}`", self.id)))
    }
}
