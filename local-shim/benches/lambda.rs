//! Measures how the functions' own binaries start, as Lambda starts them: against a runtime API on this machine.
//!
//! Run with `just bench-lambda`, which builds the binaries first. The environment is the template's; no AWS call can succeed,
//! and none is made before the first event.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on ends")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use local_shim::{EVENT_PROCESSOR, ORCHESTRATOR, stack::Stack};
use serde_json::json;

const ROUNDS: usize = 20;

/// What the runtime API has seen of one process.
#[derive(Default)]
struct Seen {
    event: String,
    first_next: Option<Instant>,
    answered: Option<(Instant, String)>,
}

type Shared = Arc<Mutex<Seen>>;

/// The first time, an event; after that, as Lambda does, nothing for long ("Lambda runtime API").
async fn next(State(seen): State<Shared>) -> Response {
    let event = {
        let mut seen = seen.lock().unwrap();
        let is_first = seen.first_next.is_none();
        seen.first_next.get_or_insert_with(Instant::now);
        is_first.then(|| seen.event.clone())
    };
    let Some(event) = event else {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        return StatusCode::GONE.into_response();
    };
    let deadline = (jiff::Timestamp::now().as_millisecond() + 30_000).to_string();
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", deadline),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:x".to_owned()),
    ];
    (headers, event).into_response()
}

async fn answer(State(seen): State<Shared>, body: String) -> StatusCode {
    seen.lock().unwrap().answered = Some((Instant::now(), body));
    StatusCode::ACCEPTED
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches`: the binaries are not built then.
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let health = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/api/v1/health", "rawQueryString": "", "headers": {"host": "x"},
        "requestContext": {
            "accountId": "anonymous", "apiId": "x", "domainName": "x", "domainPrefix": "x", "requestId": "x", "routeKey": "$default",
            "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
            "http": {"method": "GET", "path": "/api/v1/health", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "x"},
        },
        "isBase64Encoded": false,
    });
    let unrelated = json!({"source": "x", "detail-type": "y"});
    for (function, binary, event) in
        [(ORCHESTRATOR, "orchestrator", health), (EVENT_PROCESSOR, "event-processor", unrelated)]
    {
        runtime.block_on(measure(function, binary, &event.to_string()));
    }
}

async fn measure(function: &str, binary: &str, event: &str) {
    let path = binary_path(binary);
    let (mut first_next, mut answered, mut memory) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..ROUNDS {
        let seen: Shared = Arc::new(Mutex::new(Seen { event: event.to_owned(), ..Seen::default() }));
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answer))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(answer))
            .with_state(seen.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let started = Instant::now();
        let mut child = command(&path, function, &address.to_string()).spawn().unwrap();
        let deadline = started + Duration::from_secs(10);
        while seen.lock().unwrap().answered.is_none() {
            assert!(Instant::now() < deadline, "{binary} gave no answer");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        memory = memory.max(resident(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        server.abort();
        let seen = seen.lock().unwrap();
        let (at, body) = seen.answered.as_ref().unwrap();
        assert!(!body.contains("errorType"), "{binary} failed: {body}");
        first_next.push(seen.first_next.unwrap() - started);
        answered.push(*at - started);
    }
    let size = std::fs::metadata(&path).unwrap().len() as f64 / 1e6;
    println!("{binary:<16} start to first /next      {}", spread(&mut first_next));
    println!("{binary:<16} start to first answer     {}", spread(&mut answered));
    println!("{binary:<16} memory (VmRSS)            {memory:.1} MB");
    println!("{binary:<16} binary, packed            {size:.1} MB, {:.1} MB", packed(&path));
}

fn command(path: &Path, function: &str, runtime_api: &str) -> Command {
    let mut command = Command::new(path);
    command
        .env_clear()
        .envs(Stack::bundled().unwrap().function(function).unwrap().environment)
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", function)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "x")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "x")
        .stdout(Stdio::null());
    command
}

fn binary_path(name: &str) -> PathBuf {
    // Beside the benchmark's own folder: target/release/deps.
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join(name);
    assert!(path.exists(), "{} is not there; build it with `just bench-lambda`", path.display());
    path
}

fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// Megabytes of the binary deflated, as in the zip that Lambda is given.
fn packed(path: &Path) -> f64 {
    use std::io::Write;
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflate.write_all(&std::fs::read(path).unwrap()).unwrap();
    deflate.finish().unwrap().len() as f64 / 1e6
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let milliseconds = |at: usize| times[at].as_secs_f64() * 1000.0;
    format!("p50 {:.1} ms, most {:.1} ms", milliseconds(times.len() / 2), milliseconds(times.len() - 1))
}
