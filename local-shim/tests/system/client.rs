//! A running system, and clients that call it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use local_shim::{Settings, Shim};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

/// The time limit for everything that should be quick, on a machine that does much else.
pub const TIMEOUT: Duration = Duration::from_mins(1);

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }
}

/// Sends the functions' log lines to their log groups, as the program does.
fn keep_function_logs() {
    use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
    let filter = runvoy_core::telemetry::filter("info").unwrap();
    // Only the first test of a process can set the subscriber. It is in effect for all of them.
    let _ = tracing_subscriber::registry().with(local_shim::lambda::function_log::layer()).with(filter).try_init();
}

/// A clock that a test can move forward by whole seconds.
#[derive(Clone, Debug, Default)]
pub struct MovedClock(Arc<AtomicU64>);

impl MovedClock {
    pub fn move_on(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    /// Moves to a second after the next full hour.
    pub fn move_to_next_hour(&self) {
        let since = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        self.move_on(Duration::from_secs(3600 - since % 3600 + 1));
    }

    /// Settings of a system that has this clock.
    pub fn settings(&self) -> Settings {
        Settings { clock: Some(SharedTimeSource::new(self.clone())), ..Settings::ephemeral() }
    }
}

impl TimeSource for MovedClock {
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// A client with an API key.
#[derive(Clone)]
pub struct Caller {
    http: Client<HttpConnector, Body>,
    pub api: String,
    pub events: String,
    pub key: String,
    /// The time that an answer may take.
    pub patience: Duration,
}

pub struct System {
    pub shim: Shim,
    pub admin: Caller,
}

impl System {
    pub async fn start() -> Self {
        Self::start_with(Settings::ephemeral()).await
    }

    pub async fn start_with(settings: Settings) -> Self {
        keep_function_logs();
        let shim = Shim::start(settings).await.unwrap();
        let admin = Caller {
            http: Client::builder(TokioExecutor::new()).build_http(),
            api: format!("http://localhost:{}/api/v1", shim.orchestrator.port()),
            events: format!("http://localhost:{}", shim.event_processor.port()),
            key: shim.admin_key.expose().to_owned(),
            patience: TIMEOUT,
        };
        Self { shim, admin }
    }

    /// The access key of the emulated AWS.
    pub fn credentials(&self) -> aws_credential_types::Credentials {
        let variable = |name: &str| self.shim.function_environment[name].clone();
        let (id, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        aws_credential_types::Credentials::new(id, secret, None, None, "test")
    }

    /// Creates a user with this role, and returns a client with their key.
    pub async fn user(&self, role: &str, email: &str) -> Caller {
        let created = self.admin.post("/users/create", &json!({"email": email, "role": role})).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let token = created.json()["claim_token"].as_str().unwrap().to_owned();
        let claimed = self.admin.get(&format!("/claim/{token}")).await.json();
        Caller { key: claimed["api_key"].as_str().unwrap().to_owned(), ..self.admin.clone() }
    }
}

impl Caller {
    /// A client of a system that runs as a process.
    pub fn new(api: &str, events: &str, key: &str) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { http, api: api.to_owned(), events: events.to_owned(), key: key.to_owned(), patience: TIMEOUT }
    }

    /// A client of the same system with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answered = async {
            let (parts, body) = self.http.request(request).await.unwrap().into_parts();
            (parts, body.collect().await.unwrap().to_bytes())
        };
        let (parts, body) = tokio::time::timeout(self.patience, answered).await.expect("an answer in time");
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.api)).header("x-api-key", &self.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.into())).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::PUT, path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, &[], "").await
    }

    /// Sends `POST /process` with any body.
    pub async fn process(&self, body: impl Into<Bytes>) -> Answer {
        let request = Request::post(format!("{}/process", self.events)).body(Body::from(body.into())).unwrap();
        self.send(request).await
    }

    /// Sends an event with the caller's key.
    pub async fn process_with_key(&self, body: impl Into<Bytes>) -> Answer {
        let request = Request::post(format!("{}/process", self.events)).header("x-api-key", &self.key);
        self.send(request.body(Body::from(body.into())).unwrap()).await
    }

    /// What would have left the machine, newest first.
    pub async fn outbox(&self) -> Value {
        let url = self.api.replace("/api/v1", "/outbox.json");
        let request = Request::get(url).header("x-api-key", &self.key).body(Body::empty()).unwrap();
        let answer = self.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Confirms an address by the button of a mail in the outbox.
    pub async fn confirm(&self, token: &str) {
        let url = format!("{}/{token}", self.api.replace("/api/v1", "/outbox/confirm"));
        let request = Request::post(url).header("x-api-key", &self.key).body(Body::empty()).unwrap();
        assert_eq!(self.send(request).await.status, 200);
    }

    /// Starts a command and returns the API's answer.
    pub async fn run(&self, command: &str) -> Value {
        self.run_with(json!({"command": command})).await
    }

    pub async fn run_with(&self, body: Value) -> Value {
        let started = self.post("/run", &body).await;
        assert_eq!(started.status, 202, "{}", started.text);
        started.json()
    }

    /// Waits until an execution has a status, and returns the answer of `/status`.
    pub async fn wait_for(&self, id: &str, wanted: &str) -> Value {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let status = self.get(&format!("/executions/{id}/status")).await.json();
            if status["status"] == wanted {
                return status;
            }
            assert!(Instant::now() < deadline, "{id} is not {wanted}: {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs a command until its execution has ended in any state.
    pub async fn run_to_end(&self, body: Value) -> (String, Value) {
        let id = id(&self.run_with(body).await);
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let status = self.get(&format!("/executions/{id}/status")).await.json();
            if ["SUCCEEDED", "FAILED", "STOPPED"].iter().any(|end| status["status"] == *end) {
                return (id, status);
            }
            assert!(Instant::now() < deadline, "{id} does not end: {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The messages of an execution's log, from all pages.
    pub async fn log(&self, id: &str) -> Vec<String> {
        let mut path = format!("/executions/{id}/logs");
        let mut messages = Vec::new();
        loop {
            let page = self.get(&path).await;
            assert_eq!(page.status, 200, "{}", page.text);
            let body = page.json();
            for event in body["events"].as_array().expect("the log of an execution that has ended") {
                let message = event["message"].as_str().unwrap();
                // The last event of a page has the mark that more pages follow.
                if !message.starts_with("### runvoy: ") {
                    messages.push(message.to_owned());
                }
            }
            match next_page(&page) {
                Some(next) => path = next,
                None => return messages,
            }
        }
    }
}

/// The path of the next page, below `/api/v1`.
pub fn next_page(answer: &Answer) -> Option<String> {
    let link = answer.headers.get("link")?.to_str().unwrap();
    let target = link.strip_prefix('<').unwrap().split_once(">; rel=\"next\"").unwrap().0;
    Some(target.strip_prefix("/api/v1").unwrap().to_owned())
}

pub fn id(started: &Value) -> String {
    started["execution_id"].as_str().unwrap().to_owned()
}

/// The frames that a viewer received.
#[derive(Debug, Default)]
pub struct Seen {
    pub frames: Vec<Value>,
    /// The code that the server closed with.
    pub close_code: Option<u16>,
}

impl Seen {
    /// All lines, with their ids, in the order in which they arrived.
    pub fn lines(&self) -> Vec<(String, String)> {
        let line = |event: &Value| {
            (event["event_id"].as_str().unwrap().to_owned(), event["message"].as_str().unwrap().to_owned())
        };
        self.frames
            .iter()
            .flat_map(|frame| match frame["type"].as_str() {
                Some("logs") => frame["events"].as_array().unwrap().iter().map(line).collect(),
                Some(_) => Vec::new(),
                None => vec![line(frame)],
            })
            .collect()
    }

    pub fn messages(&self) -> Vec<String> {
        self.lines().into_iter().map(|(_, message)| message).collect()
    }

    /// All lines in the log's order, which is that of their ids. A batch of lines that takes longer than a second is overtaken by the next.
    pub fn log(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines.into_iter().map(|(_, message)| message).collect()
    }

    /// Reads frames until they are as wanted.
    pub async fn read_until(&mut self, viewer: &mut Viewer, wanted: impl Fn(&Self) -> bool) {
        let reading = async {
            while !wanted(self) {
                assert!(self.read(viewer).await, "the connection is closed too early: {self:?}");
            }
        };
        let in_time = tokio::time::timeout(TIMEOUT, reading).await.is_ok();
        assert!(in_time, "the frame does not come: {self:?}");
    }

    /// Reads a frame. `false` if the connection is closed.
    async fn read(&mut self, viewer: &mut Viewer) -> bool {
        match viewer.next().await {
            Some(Ok(Message::Text(text))) => {
                assert!(text.len() <= 128 * 1024, "a frame of {} bytes", text.len());
                self.frames.push(serde_json::from_str(&text).unwrap());
            }
            Some(Ok(Message::Close(frame))) => self.close_code = frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
        true
    }
}

pub type Viewer = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Connects a viewer. The error is the status of the refusal.
pub async fn connect(url: &str) -> Result<Viewer, StatusCode> {
    connect_with(url, &[]).await
}

/// Connects a viewer, as often as the handshake fails: an invocation may fail, or be too slow for it.
pub async fn connect_at_last(url: &str) -> Viewer {
    let begun = Instant::now();
    loop {
        match connect(url).await {
            Ok(viewer) => return viewer,
            Err(status) => assert!(status.is_server_error() && begun.elapsed() < TIMEOUT, "{status}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn connect_with(url: &str, headers: &[(&'static str, &str)]) -> Result<Viewer, StatusCode> {
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((viewer, _)) => Ok(viewer),
        Err(tokio_tungstenite::tungstenite::Error::Http(refusal)) => Err(refusal.status()),
        Err(error) => panic!("{error}"),
    }
}

/// Reads frames until the server closes the connection.
pub async fn watch(viewer: Viewer) -> Seen {
    watch_on(Seen::default(), viewer).await
}

/// Reads frames until the server closes the connection, after those that were read already.
pub async fn watch_on(seen: Seen, viewer: Viewer) -> Seen {
    watch_within(2 * TIMEOUT, seen, viewer).await
}

/// Reads frames until the server closes the connection, which it must do within `limit`.
pub async fn watch_within(limit: Duration, mut seen: Seen, mut viewer: Viewer) -> Seen {
    let watching = async { while seen.read(&mut viewer).await {} };
    tokio::time::timeout(limit, watching).await.expect("the server closes the connection in time");
    seen
}

/// An execution as the API shows it to the admin.
pub async fn show(system: &System, id: &str) -> Value {
    system.admin.get(&format!("/executions/{id}")).await.json()
}
