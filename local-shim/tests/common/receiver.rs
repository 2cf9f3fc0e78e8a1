//! A receiver of webhooks on this machine, which notes what it gets and answers as a test wants.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::task::JoinHandle;

/// A request that has come.
#[derive(Clone)]
pub struct Got {
    pub path: String,
    pub headers: HeaderMap,
    pub text: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The id and the type of the change.
    pub fn change(&self) -> (String, String) {
        let body = self.json();
        (body["id"].as_str().unwrap().to_owned(), body["type"].as_str().unwrap().to_owned())
    }
}

#[derive(Clone)]
struct Shared {
    got: Arc<Mutex<Vec<Got>>>,
    status: Arc<AtomicU16>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

/// The status of a receiver that does not answer.
const SILENT: u16 = 0;

pub struct Receiver {
    pub url: String,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let shared = Shared {
            got: Arc::default(),
            status: Arc::new(AtomicU16::new(200)),
            open: Arc::default(),
            most_open: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    /// Answers with this status from now on; a redirect leads to `/elsewhere`.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// Answers no request from now on.
    pub fn fall_silent(&self) {
        self.answer(SILENT);
    }

    /// The number of requests that wait for an answer.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// The most requests that have waited for an answer at the same time since this was asked last.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.swap(self.open(), Ordering::Relaxed)
    }

    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Waits until this many requests have come.
    pub async fn wait(&self, count: usize) -> Vec<Got> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            assert!(Instant::now() < deadline, "{} of {count} requests have come", got.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Counts a request as open until it is answered, or its sender has closed the connection.
struct Open(Shared);

impl Open {
    fn new(shared: &Shared) -> Self {
        let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        shared.most_open.fetch_max(open, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    shared.got.lock().unwrap().push(Got { path: uri.path().to_owned(), headers, text });
    let _open = Open::new(&shared);
    let status = shared.status.load(Ordering::Relaxed);
    if status == SILENT {
        return std::future::pending().await;
    }
    let status = StatusCode::from_u16(status).unwrap();
    if status.is_redirection() {
        (status, [("location", "/elsewhere")]).into_response()
    } else {
        (status, "as the test wants").into_response()
    }
}
