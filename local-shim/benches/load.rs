//! Measures live logs under load, beside the goals: many viewers of one log, many watched runs, a long log, and
//! many executions of earlier days.
//!
//! Run with `just bench-load`. `just bench-load --program PATH` measures another build of the local system. The system runs in a process
//! of its own. A command prints its lines by itself, without a process for each, and each line holds the time at which it was written.
//! The clients look for the lines in the frames without parsing them, and the processor time of the clients is printed too.

#![allow(unreachable_pub, reason = "no crate uses a test program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on ends")]

#[path = "../tests/system/client.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod client;
#[path = "load/kept.rs"]
mod kept;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use client::{Caller, Viewer, connect};
use futures_util::{StreamExt, future::join_all};
use serde_json::json;

/// The first argument with which this program prints lines in place of measuring.
const PRINT: &str = "print";
/// The beginning of a line. Its number and the nanoseconds since 1970 at which it was written follow.
const LINE: &str = "load ";
/// The last line, which holds the longest time of a `write()` in microseconds.
const LONGEST: &str = "longest write ";
/// Open files that the system and the clients need for 1,000 viewers.
const FILES: u32 = 8192;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, go, lines, pause] = arguments.as_slice()
        && mode == PRINT
    {
        return print(Path::new(go), lines.parse().unwrap(), Duration::from_micros(pause.parse().unwrap()));
    }
    let after = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].clone());
    let program = after("--program")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_local-shim")), |path| std::path::absolute(path).unwrap());
    let only = after("--only");
    // `cargo test --benches` runs the benchmark too, to see that it works.
    let quick = !arguments.iter().any(|argument| argument == "--bench");
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let runtime = local_shim::runtime().unwrap();
    println!("{:<44} {:<18} {:<18} lost, doubled or out of order", "", "p50 (goal)", "p99 (goal)");
    let seconds = if quick { 1 } else { 10 };
    for (viewers, median, worst) in [(1, 5, 20), (10, 10, 60), (100, 50, 200), (300, 150, 500), (1000, 500, 2000)] {
        let name = format!("{viewers} viewers of one log, 20 lines/s");
        if wanted(&name) && (!quick || viewers < 100) {
            let load = Load { runs: 1, viewers, lines: 20 * seconds, pause: Duration::from_millis(50) };
            runtime.block_on(delays(&program, &name, load, (median, worst)));
        }
    }
    for (runs, median, worst) in [(10, 10, 60), (60, 50, 300), (200, 300, 1500)] {
        let name = format!("{runs} watched runs, 10 lines/s each");
        if wanted(&name) && (!quick || runs < 60) {
            let load = Load { runs, viewers: 1, lines: 10 * seconds, pause: Duration::from_millis(100) };
            runtime.block_on(delays(&program, &name, load, (median, worst)));
        }
    }
    if wanted("executions kept") {
        let executions = if quick { 1000 } else { 100_000 };
        runtime.block_on(kept::measure(&program, executions));
    }
    if wanted("long log") {
        let lines = if quick { 10_000 } else { 1_000_000 };
        runtime.block_on(rate(&program, lines));
    }
}

/// Prints a line each `pause`, each by one `write()`, from the moment at which a file exists.
fn print(go: &Path, lines: u32, pause: Duration) {
    while !go.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut output = std::io::stdout().lock();
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    for line in 1..=lines {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let text = format!("{LINE}{line} {now}\n");
        let written = Instant::now();
        output.write_all(text.as_bytes()).unwrap();
        output.flush().unwrap();
        longest = longest.max(written.elapsed());
        std::thread::sleep((pause * line).saturating_sub(begun.elapsed()));
    }
    println!("{LONGEST}{}", longest.as_micros());
}

/// A running system. Dropping it ends the process.
struct Running {
    process: Child,
    caller: Caller,
    directory: Rc<tempfile::TempDir>,
    /// Milliseconds until it was ready, as it says itself.
    started_after: u64,
}

impl Running {
    fn start(program: &Path) -> Self {
        Self::start_in(program, Rc::new(tempfile::tempdir().unwrap()))
    }

    fn start_in(program: &Path, directory: Rc<tempfile::TempDir>) -> Self {
        let mut process = Command::new("/bin/sh")
            .args(["-c", &format!("ulimit -n {FILES}; exec \"$0\" --runner process"), program.to_str().unwrap()])
            .current_dir(directory.path())
            .envs([("RUNVOY_DEV_SERVER_PORT", "0"), ("RUNVOY_EVENT_PROCESSOR_PORT", "0")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut after = |mark: &str| loop {
            let line = output.next().unwrap().unwrap();
            if let Some((_, rest)) = line.split_once(mark) {
                return rest.trim().to_owned();
            }
        };
        let ready = after("ready after");
        let started_after = ready.trim_end_matches(" ms").parse().unwrap();
        let (api, events) = (after("API  "), after("Event processor  "));
        std::thread::spawn(move || output.for_each(drop));
        let key = std::fs::read_to_string(directory.path().join(".runvoy-local/admin-key")).unwrap();
        let caller = Caller::new(&api, &events, key.trim());
        Self { process, caller, directory, started_after }
    }

    /// The processor time that the system has taken, in seconds.
    fn processor(&self) -> f64 {
        processor(&self.process.id().to_string())
    }

    /// Starts a run that prints when the file `go` is made. Returns the address of its viewers.
    async fn run(&self, load: &Load) -> String {
        let command = format!("exec \"$PRINTER\" {PRINT} \"$GO\" {} {}", load.lines, load.pause.as_micros());
        let environment = json!({"PRINTER": std::env::current_exe().unwrap(), "GO": self.go()});
        let started = self.caller.run_with(json!({"command": command, "env": environment})).await;
        format!("{}&batch=true", started["websocket_url"].as_str().unwrap())
    }

    fn go(&self) -> PathBuf {
        self.directory.path().join("go")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// The processor time that a process has taken without its children, in seconds.
fn processor(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // "proc_pid_stat(5)": utime and stime are the 14th and the 15th field, in ticks of 10 ms.
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

struct Load {
    runs: usize,
    viewers: usize,
    lines: u32,
    pause: Duration,
}

/// The lines that a client has received.
#[derive(Default)]
struct Seen {
    delays: Vec<Duration>,
    /// Lines whose number does not follow the number before.
    wrong: u64,
    last: u32,
    /// Microseconds.
    longest_write: u64,
}

/// Reads all frames of a connection.
async fn watch(mut viewer: Viewer) -> Seen {
    let mut seen = Seen::default();
    while let Some(Ok(frame)) = viewer.next().await {
        if !frame.is_text() {
            continue;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let text = frame.to_text().unwrap();
        for message in text.split("\"message\":\"").skip(1) {
            let message = message.split('"').next().unwrap_or_default();
            if let Some((number, at)) = message.strip_prefix(LINE).and_then(|rest| rest.split_once(' ')) {
                let number: u32 = number.parse().unwrap();
                seen.wrong += u64::from(number != seen.last + 1);
                seen.last = number;
                seen.delays.push(now.saturating_sub(Duration::from_nanos(at.parse().unwrap())));
            } else if let Some(longest) = message.strip_prefix(LONGEST) {
                seen.longest_write = longest.parse().unwrap();
            }
        }
    }
    seen
}

/// Measures the time from the write of a line by the command to the frame at each viewer. The goals are milliseconds.
async fn delays(program: &Path, name: &str, load: Load, goals: (u64, u64)) {
    let system = Running::start(program);
    let addresses = join_all((0..load.runs).map(|_| system.run(&load))).await;
    let mut viewers = Vec::new();
    for address in &addresses {
        for _ in 0..load.viewers {
            viewers.push(tokio::spawn(watch(connect(address).await.unwrap())));
        }
    }
    // By then, each connection has been served for the first time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (of_system, of_clients, begun) = (system.processor(), processor("self"), Instant::now());
    std::fs::write(system.go(), "").unwrap();
    let seen: Vec<Seen> = join_all(viewers).await.into_iter().map(Result::unwrap).collect();
    let seconds = begun.elapsed().as_secs_f64();
    let (of_system, of_clients) = (system.processor() - of_system, processor("self") - of_clients);
    let wrong: u64 = seen.iter().map(|seen| seen.wrong + u64::from(load.lines.abs_diff(seen.last))).sum();
    let longest = seen.iter().map(|seen| seen.longest_write).max().unwrap_or_default();
    let mut delays: Vec<Duration> = seen.into_iter().flat_map(|seen| seen.delays).collect();
    delays.sort();
    let at = |percent: usize| delays[(delays.len() * percent / 100).min(delays.len() - 1)].as_secs_f64() * 1000.0;
    let figure = |at: f64, goal: u64| format!("{at:.1} ms ({goal})");
    println!("{name:<44} {:<18} {:<18} {wrong}", figure(at(50), goals.0), figure(at(99), goals.1));
    let share = |of: f64| format!("{:.0} %", of / seconds * 100.0);
    println!(
        "    longest write {:.1} ms (50), processor: system {}, clients {}, in {seconds:.1} s",
        longest as f64 / 1000.0,
        share(of_system),
        share(of_clients)
    );
}

/// Measures how fast one viewer gets a long log, which a command prints as fast as it can.
async fn rate(program: &Path, lines: u32) {
    let system = Running::start(program);
    let started = system
        .caller
        .run(&format!("while ! test -e {}; do sleep 0.05; done; seq {lines}", system.go().display()))
        .await;
    let address = format!("{}&batch=true", started["websocket_url"].as_str().unwrap());
    let mut viewer = connect(&address).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    std::fs::write(system.go(), "").unwrap();
    let (mut count, mut largest) = (0, 0);
    while let Some(Ok(frame)) = viewer.next().await {
        if let Ok(text) = frame.to_text() {
            count += text.matches("\"message\":\"").count();
            largest = largest.max(text.len());
        }
    }
    let a_second = f64::from(lines) / begun.elapsed().as_secs_f64();
    let name = format!("one viewer of a long log, {lines} lines");
    println!("{name:<44} {a_second:.0} lines/s (270000), {count} messages, largest frame {largest} bytes");
}
