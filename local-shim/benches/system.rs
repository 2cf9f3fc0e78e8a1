//! Measures the whole system over HTTP and WebSockets, on this machine.
//!
//! Run with `just bench`, or `cargo bench -p local-shim --bench system`.

#![allow(unreachable_pub, reason = "no crate uses a test program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on ends")]

#[path = "../tests/system/client.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod client;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use client::{Caller, Seen, System, Viewer, connect, id};
use futures_util::StreamExt;
use local_shim::EVENT_PROCESSOR;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, lines, pause] = arguments.as_slice()
        && mode == PRINT
    {
        return print(lines.parse().unwrap(), Duration::from_micros(pause.parse().unwrap()));
    }
    // `cargo test --benches` runs the benchmark too, to see that it works. A short round is enough for that.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let runtime = local_shim::runtime().unwrap();
    start(if quick { 1 } else { 10 });
    runtime.block_on(memory(if quick { 2_000 } else { 1_000_000 }));
    runtime.block_on(async {
        let system = System::start().await;
        let caller = &system.admin;
        echo(caller, if quick { 2 } else { 100 }).await;
        status(caller, if quick { 10 } else { 5_000 }).await;
        line_latency(caller, if quick { 2 } else { 20 }, Duration::from_secs(1)).await;
        line_latency(caller, if quick { 5 } else { 5_000 }, Duration::from_millis(1)).await;
        batch_cost(&system, if quick { 2_000 } else { 200_000 }).await;
        for viewers in [1, 10] {
            throughput(caller, viewers, if quick { 2_000 } else { 1_000_000 }).await;
        }
        runs_at_once(caller, if quick { 3 } else { 200 }).await;
        long_list(&system, if quick { 100 } else { 100_000 }).await;
        system.shim.shut_down().await;
    });
}

/// Prints one figure on a line.
fn report(name: &str, figure: String) {
    println!("{name:<58} {figure}");
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// The measured time below which this percentage of all times lies, 50 for the median.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn spread(times: &mut [Duration]) -> String {
    format!("p50 {}, p99 {}", milliseconds(percentile(times, 50)), milliseconds(percentile(times, 99)))
}

fn program(directory: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-shim"));
    command
        .args(["--runner", "process"])
        .current_dir(directory)
        .envs([("RUNVOY_DEV_SERVER_PORT", "0"), ("RUNVOY_EVENT_PROCESSOR_PORT", "0")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The time from starting the process until it prints that it is ready, and its resident memory then.
fn start(rounds: usize) {
    let directory = tempfile::tempdir().unwrap();
    let (mut first, mut later) = (Vec::new(), Vec::new());
    let mut memory = String::new();
    for round in 0..=rounds {
        let started = Instant::now();
        let mut child = program(&directory).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.find(|line| line.as_ref().unwrap().contains("ready")).unwrap().unwrap();
        if round == 0 { &mut first } else { &mut later }.push(started.elapsed());
        std::thread::sleep(Duration::from_millis(300));
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        if let Some(line) = status.lines().find(|line| line.starts_with("VmRSS")) {
            memory = line.trim_start_matches("VmRSS:").trim().to_owned();
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
    }
    report("process start to ready, tables made", milliseconds(first[0]));
    report("process start to ready, later", spread(&mut later));
    report("idle memory (VmRSS)", memory);
}

/// The time from `POST /run` to `SUCCEEDED`, which is polled.
async fn echo(caller: &Caller, rounds: usize) {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        let id = id(&caller.run("echo hello").await);
        while caller.get(&format!("/executions/{id}/status")).await.json()["status"] != "SUCCEEDED" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(started.elapsed());
    }
    report("POST /run to SUCCEEDED, `echo hello`", spread(&mut times));
}

async fn status(caller: &Caller, requests: usize) {
    let (id, _) = caller.run_to_end(json!({"command": "true"})).await;
    let path = format!("/executions/{id}/status");
    let mut times = Vec::new();
    for _ in 0..requests {
        let started = Instant::now();
        assert_eq!(caller.get(&path).await.status, 200);
        times.push(started.elapsed());
    }
    report("GET /status, one after the other", spread(&mut times));
    let started = Instant::now();
    let workers = (0..8).map(|_| async {
        for _ in 0..requests / 8 {
            caller.get(&path).await;
        }
    });
    futures_util::future::join_all(workers).await;
    let a_second = (requests / 8 * 8) as f64 / started.elapsed().as_secs_f64();
    report("GET /status, 8 at a time", format!("{a_second:.0} requests/s"));
}

async fn next_message(viewer: &mut Viewer) -> Value {
    loop {
        let frame = viewer.next().await.unwrap().unwrap();
        if frame.is_text() {
            return serde_json::from_str(frame.to_text().unwrap()).unwrap();
        }
    }
}

/// The first argument with which this program prints lines in place of measuring.
const PRINT: &str = "print";

/// Prints lines that hold the time at which they are written, with a pause after each.
fn print(lines: usize, pause: Duration) {
    let begun = Instant::now();
    for line in 1..=lines {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        println!("at {}", now.as_nanos());
        std::thread::sleep((pause * u32::try_from(line).unwrap()).saturating_sub(begun.elapsed()));
    }
}

/// The time from the write of a line by the command's process to the frame that the viewer gets.
async fn line_latency(caller: &Caller, lines: usize, pause: Duration) {
    let command = format!("sleep 0.5; \"$PRINTER\" {PRINT} {lines} {}", pause.as_micros());
    let printer = std::env::current_exe().unwrap();
    let started = caller.run_with(json!({"command": command, "env": {"PRINTER": printer}})).await;
    let mut viewer = connect(started["websocket_url"].as_str().unwrap()).await.unwrap();
    let mut times = Vec::new();
    let mut span = None;
    loop {
        let event = next_message(&mut viewer).await;
        if event["type"] == "disconnect" {
            break;
        }
        if let Some(written) = event["message"].as_str().unwrap().strip_prefix("at ") {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let written = Duration::from_nanos(written.parse().unwrap());
            times.push(now.saturating_sub(written));
            let (first, last) = span.get_or_insert((written, written));
            (*first, *last) = (*first, written);
        }
    }
    let rate = span.map_or(0.0, |(first, last)| (times.len() - 1) as f64 / last.saturating_sub(first).as_secs_f64());
    report(&format!("a line from its process to a viewer, {rate:.0} lines/s"), spread(&mut times));
}

/// The peak of the program's resident memory while it delivers a long log to a viewer.
async fn memory(lines: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut child = program(&directory).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut after = |mark: &str| loop {
        let line = output.next().unwrap().unwrap();
        if let Some((_, rest)) = line.split_once(mark) {
            return rest.trim().to_owned();
        }
    };
    let (api, events) = (after("API  "), after("Event processor  "));
    let key = std::fs::read_to_string(directory.path().join(".runvoy-local/admin-key")).unwrap();
    let caller = Caller::new(&api, &events, key.trim());
    let peak = |name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    };
    let mut figures = Vec::new();
    for lines in [lines / 10, lines] {
        let started = caller.run(&format!("seq {lines}")).await;
        let mut viewer = connect(&format!("{}&batch=true", started["websocket_url"].as_str().unwrap())).await.unwrap();
        while let Some(Ok(_)) = viewer.next().await {}
        figures.push(format!("{:.0} MB", peak("VmHWM")));
    }
    report(&format!("most memory, a log of {} / {lines} lines", lines / 10), figures.join(" / "));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

/// The time of one page of a list, with few and with many executions.
async fn long_list(system: &System, executions: usize) {
    use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
    let page = async || {
        let mut times = Vec::new();
        for _ in 0..200 {
            let started = Instant::now();
            assert_eq!(system.admin.get("/executions?limit=10").await.status, 200);
            times.push(started.elapsed());
        }
        milliseconds(percentile(&mut times, 50))
    };
    let few = page().await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for chunk in (0..executions).collect::<Vec<_>>().chunks(25) {
        let writes = chunk.iter().map(|number| {
            let id = format!("{number:032}");
            let started = format!("2026-01-01T00:00:00.{:03}Z", number % 1000);
            let mut item: std::collections::HashMap<String, AttributeValue> = [
                ("execution_id", id.as_str()),
                ("status", "SUCCEEDED"),
                ("started_at", &started),
                ("started_key", &format!("{started}#{id}")),
                ("listing", "executions"),
                ("command", "echo hello"),
                ("image_id", "ubuntu:22.04"),
                ("created_by", "a@example.com"),
                ("created_by_request_id", &id),
                ("modified_by_request_id", &id),
                ("cloud", "AWS"),
            ]
            .map(|(name, value)| (name.to_owned(), text(value)))
            .into();
            item.insert("owned_by".to_owned(), AttributeValue::L(vec![text("a@example.com")]));
            WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
        });
        let written = dynamodb.batch_write_item().request_items("runvoy-local-executions", writes.collect());
        written.send().await.unwrap();
    }
    report(&format!("GET /executions, few / {executions} executions, p50"), format!("{few} / {}", page().await));
}

/// The AWS calls that store a batch when the log before it is empty, and when it is long.
async fn batch_cost(system: &System, lines: usize) {
    let mut figures = Vec::new();
    for before in [0, lines] {
        let command = format!("seq {before}; sleep 1; while :; do echo x; sleep 0.01; done");
        let id = id(&system.admin.run(&command).await);
        system.admin.wait_for(&id, "RUNNING").await;
        tokio::time::sleep(Duration::from_millis(1500) + Duration::from_micros(before as u64 * 10)).await;
        let calls = || system.shim.aws_calls(EVENT_PROCESSOR).values().sum::<u64>();
        let batches =
            || system.shim.aws_calls(EVENT_PROCESSOR).get("dynamodb:TransactWriteItems").copied().unwrap_or(0);
        let from = (calls(), batches());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let stored = batches() - from.1;
        figures.push(format!("{:.1}", (calls() - from.0) as f64 / stored.max(1) as f64));
        system.admin.delete(&format!("/executions/{id}")).await;
        system.admin.wait_for(&id, "STOPPED").await;
    }
    report(&format!("AWS calls a batch, log empty / of {lines} lines"), figures.join(" / "));
}

/// Reads all frames until the server closes the connection.
async fn frames(mut viewer: Viewer) -> Vec<Message> {
    let mut frames = Vec::new();
    while let Some(Ok(frame)) = viewer.next().await {
        if frame.is_text() {
            frames.push(frame);
        }
    }
    frames
}

async fn throughput(caller: &Caller, viewers: usize, lines: usize) {
    let started = caller.run(&format!("sleep 0.5; seq {lines}")).await;
    let url = format!("{}&batch=true", started["websocket_url"].as_str().unwrap());
    let viewers: Vec<Viewer> =
        futures_util::future::join_all((0..viewers).map(|_| async { connect(&url).await.unwrap() })).await;
    let count = viewers.len();
    let begun = Instant::now();
    let meanwhile = tokio::spawn({
        let caller = caller.clone();
        async move {
            let mut times = Vec::new();
            loop {
                let asked = Instant::now();
                caller.get("/executions?limit=1").await;
                times.push(asked.elapsed());
                if times.len() > 10 && begun.elapsed() > Duration::from_secs(2) {
                    return times;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let seen = futures_util::future::join_all(viewers.into_iter().map(frames)).await;
    // The command sleeps first, so that all viewers are connected when it prints its first line.
    let a_second = lines as f64 / (begun.elapsed().as_secs_f64() - 0.5);
    // Frames are parsed after the measurement, since the parsing is not the system's time.
    for frames in seen {
        let frames = frames.iter().map(|frame| serde_json::from_str(frame.to_text().unwrap()).unwrap()).collect();
        let seen = Seen { frames, close_code: None };
        let numbers: Vec<String> = seen.messages().into_iter().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(numbers.len(), lines);
        assert!(
            numbers.iter().enumerate().all(|(at, line)| *line == (at + 1).to_string()),
            "every line once, in order"
        );
    }
    report(&format!("{lines} lines to {count} batching viewer(s)"), format!("{a_second:.0} lines/s to each"));
    report("  another request meanwhile", spread(&mut meanwhile.await.unwrap()));
}

async fn runs_at_once(caller: &Caller, runs: usize) {
    let started = Instant::now();
    let ends =
        futures_util::future::join_all((0..runs).map(|_| caller.run_to_end(json!({"command": "echo hello"})))).await;
    assert!(ends.iter().all(|(_, status)| status["status"] == "SUCCEEDED"));
    report(&format!("{runs} runs at once, until the last has ended"), milliseconds(started.elapsed()));
}
