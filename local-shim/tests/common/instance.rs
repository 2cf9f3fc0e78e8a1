//! Runs a function's program as a process, and serves the runtime API that the process polls ("Using the Lambda runtime API for
//! custom runtimes").

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path as Segments, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    sync::{Mutex as AsyncMutex, mpsc, oneshot, watch},
    task::JoinHandle,
};

use local_shim::{
    lambda::FunctionError,
    stack::{ACCOUNT, REGION},
};

/// The time limit of an invocation, as its headers say it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running instance of a function. Dropping it ends the process.
pub struct Instance {
    process: Child,
    started: Instant,
    events: mpsc::UnboundedSender<Event>,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Event {
    request_id: String,
    payload: Vec<u8>,
}

type Answer = Result<Vec<u8>, FunctionError>;

struct Shared {
    waiting: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    answers: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    /// When the process first asked for an event.
    first_poll: Mutex<Option<Instant>>,
    /// How many of its requests for an event are waiting.
    polls: watch::Sender<usize>,
}

impl Shared {
    fn answers(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request_id: &str, answer: Answer) -> StatusCode {
        match self.answers().remove(request_id) {
            Some(waiting) => {
                // The test may have ended and dropped the receiver.
                let _ = waiting.send(answer);
                StatusCode::ACCEPTED
            }
            None => StatusCode::FORBIDDEN,
        }
    }
}

impl Instance {
    /// Starts a program with these variables and those of Lambda, and no others. With a number, the program may take that many
    /// events at the same time, as under Lambda Managed Instances.
    pub async fn start(binary: &Path, environment: &BTreeMap<String, String>, concurrency: usize) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (events, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            waiting: AsyncMutex::new(waiting),
            answers: Mutex::default(),
            first_poll: Mutex::default(),
            polls: watch::Sender::new(0),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(fail))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "function")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        if concurrency > 1 {
            command.env("AWS_LAMBDA_MAX_CONCURRENCY", concurrency.to_string());
        }
        let started = Instant::now();
        let process = command.spawn().unwrap();
        Self { process, started, events, shared, server }
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When it first asked for an event.
    pub fn first_poll(&self) -> Option<Instant> {
        *self.shared.first_poll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it asks for this many events at the same time.
    pub async fn polls(&self, wanted: usize) {
        let _ = self.shared.polls.subscribe().wait_for(|polls| *polls >= wanted).await;
    }

    /// Invokes it and waits for its answer.
    pub async fn invoke(&self, request_id: &str, payload: Vec<u8>) -> Answer {
        let gone = |()| FunctionError {
            error_type: "Runtime.ExitError".to_owned(),
            message: "the function's process is gone".to_owned(),
        };
        let (sender, answer) = oneshot::channel();
        self.shared.answers().insert(request_id.to_owned(), sender);
        let event = Event { request_id: request_id.to_owned(), payload };
        self.events.send(event).map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    shared.first_poll.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    shared.polls.send_modify(|polls| *polls += 1);
    let event = shared.waiting.lock().await.recv().await;
    shared.polls.send_modify(|polls| *polls -= 1);
    let Some(Event { request_id, payload }) = event else { return StatusCode::GONE.into_response() };
    let deadline = jiff::Timestamp::now().as_millisecond() + TIMEOUT.as_millis() as i64;
    let headers = [
        ("lambda-runtime-aws-request-id", request_id),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:function")),
    ];
    (headers, payload).into_response()
}

async fn respond(State(shared): State<Arc<Shared>>, Segments(id): Segments<String>, body: Bytes) -> StatusCode {
    shared.answer(&id, Ok(body.into()))
}

async fn fail(State(shared): State<Arc<Shared>>, Segments(id): Segments<String>, body: Bytes) -> StatusCode {
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    shared.answer(&id, Err(FunctionError { error_type: text("errorType"), message: text("errorMessage") }))
}
