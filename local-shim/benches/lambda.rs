//! Measures how fast the functions' own binaries start, as Lambda starts them: against a runtime API on this machine. Then measures their
//! answers with the part of a processor that each memory size gives, and the memory that reconcile needs.
//!
//! Run with `just bench-lambda`, which builds the binaries first. `--programs DIR` measures those of another folder, `--megabytes 10`
//! reads a big page of another size, and `--executions 1000` reconciles fewer executions. `--only start`, `--only shares` or `--only
//! reconcile` does one part. For the starts, the environment is the template's; no AWS call can succeed, and none is made before the
//! first event.

#![allow(unreachable_pub, reason = "no crate uses a test program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on ends")]

#[path = "../tests/system/client.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod client;
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "lambda/reconcile.rs"]
mod reconcile;
#[path = "lambda/share.rs"]
mod share;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use common::{events::http_request, instance::Instance};
use local_shim::{EVENT_PROCESSOR, ORCHESTRATOR, stack::Stack};
use serde_json::json;

/// Starts of each binary, of which the median and the longest are printed.
const ROUNDS: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        // `cargo test --benches` runs this without the binaries, which only `just bench-lambda` builds.
        return;
    }
    let after = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].clone());
    let programs = after("--programs").map_or_else(built_programs, |folder| std::path::absolute(folder).unwrap());
    let only = after("--only");
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let health = http_request("GET", "/api/v1/health", "", "");
    let unrelated = json!({"source": "x", "detail-type": "y"});
    for (function, binary, event) in
        [(ORCHESTRATOR, "orchestrator", health), (EVENT_PROCESSOR, "event-processor", unrelated)]
    {
        if wanted("start") {
            runtime.block_on(measure(function, binary, &programs.join(binary), &event.to_string()));
        }
    }
    if wanted("shares") {
        let megabytes = after("--megabytes").map_or(40, |number| number.parse().unwrap());
        runtime.block_on(share::measure(&programs, megabytes));
    }
    if wanted("reconcile") {
        let executions = after("--executions").map_or(100_000, |number| number.parse().unwrap());
        runtime.block_on(reconcile::measure(&programs, executions));
    }
}

async fn measure(function: &str, binary: &str, path: &Path, event: &str) {
    assert!(path.exists(), "{} is not there; build it with `just bench-lambda`", path.display());
    let environment = Stack::bundled(&Default::default()).unwrap().function(function).unwrap().environment;
    let (mut first_poll, mut answered, mut memory) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..ROUNDS {
        let instance = Instance::start(path, &environment, 1).await;
        let answer = instance.invoke("8476a536-e9f4-11e8-9739-2dfe598c3fcd", event.as_bytes().to_vec());
        let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
        answered.push(instance.started().elapsed());
        answer.expect("an answer within 10 s").expect("no failure");
        first_poll.push(instance.first_poll().unwrap() - instance.started());
        memory = memory.max(resident(instance.id().unwrap()));
    }
    let size = std::fs::metadata(path).unwrap().len() as f64 / 1e6;
    println!("{binary:<16} start to first /next      {}", spread(&mut first_poll));
    println!("{binary:<16} start to first answer     {}", spread(&mut answered));
    println!("{binary:<16} memory (VmRSS)            {memory:.1} MB");
    println!("{binary:<16} binary, packed            {size:.1} MB, {:.1} MB", packed(path));
}

/// The folder of the functions' binaries. The benchmark is in target/local/deps, and they are in target/release, where Lambda's profile
/// puts them.
fn built_programs() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).unwrap().join("release")
}

fn resident(process: u32) -> f64 {
    megabytes(process, "VmRSS")
}

/// The most memory that a process has had so far, in megabytes.
fn peak(process: u32) -> f64 {
    megabytes(process, "VmHWM")
}

fn megabytes(process: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
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
