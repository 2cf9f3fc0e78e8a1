//! Measures the functions' programs with the part of a processor that each memory size of Lambda gives.
//!
//! Lambda gives a function of 1,769 MB one virtual CPU, and others a part of it ("Configure Lambda function memory"). A control group
//! gives the program that part. The AWS that it calls is the emulated one, in this process, outside of the group.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use local_shim::{AwsPort, Settings, aws::logs::Event, lambda::log_batch_event};
use serde_json::{Value, json};

use crate::{
    client::{self, System, Viewer, connect},
    common::{events::http_request, instance::Instance},
};

/// Megabytes of memory.
const SIZES: [u32; 4] = [256, 512, 1024, 1769];
/// Megabytes that give one virtual CPU.
const ONE_CPU: f64 = 1769.0;
/// Microseconds after which a group may use its part of the processor again, as in Lambda.
const PERIOD: u32 = 20_000;
const VIEWERS: usize = 100;
/// Lines of a batch, of 100 bytes each.
const LINES: usize = 100;
/// Rounds of an event, of which the median and the longest are printed.
const ROUNDS: usize = 20;
/// Rounds of an event that takes seconds.
const LONG_ROUNDS: usize = 3;

/// Prints a row for each size. `megabytes` is the size of the big page.
pub async fn measure(programs: &Path, megabytes: usize) {
    if let Err(error) = Group::new(1.0) {
        println!("the processor cannot be shared out here: no control group can be made: {error}");
        return;
    }
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let caller = &system.admin;
    let (ended, _) = caller.run_to_end(json!({"command": "true"})).await;
    let line = "x".repeat(90);
    let command = format!("yes {line} | head -n {}", megabytes * 1_000_000 / 91);
    let long = client::id(&caller.run(&command).await);
    while caller.get(&format!("/executions/{long}/status")).await.json()["status"] != "SUCCEEDED" {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The first reader completes the log.
    assert_eq!(caller.get(&format!("/executions/{long}/logs")).await.status, 200);
    let watched = caller.run("sleep 3600").await;
    let running = client::id(&watched);
    caller.wait_for(&running, "RUNNING").await;
    let mut viewers: Vec<Viewer> = Vec::new();
    for _ in 0..VIEWERS {
        let address = format!("{}&batch=true", watched["websocket_url"].as_str().unwrap());
        viewers.push(connect(&address).await.unwrap());
    }
    for mut viewer in viewers {
        tokio::spawn(async move { while viewer.next().await.is_some_and(|frame| frame.is_ok()) {} });
    }
    system.shim.events_handled().await;

    println!(
        "\n{:<10} {:<16} {:<16} {:<16} {:<20} batch, {VIEWERS} viewers",
        "memory",
        "start, answer",
        "status",
        "list",
        format!("page of {megabytes} MB")
    );
    let mut environment = system.shim.function_environment.clone();
    environment.entry("AWS_REGION".to_owned()).or_insert_with(|| "us-east-1".to_owned());
    let mut number = 0;
    for size in SIZES {
        let group = Group::new(f64::from(size) / ONE_CPU).unwrap();
        let get = |path: &str| http_request("GET", &format!("/api/v1{path}"), &caller.key, "");
        let api = Instance::start(&group.program(&programs.join("orchestrator")), &environment, 1).await;
        answered(&api, get("/health")).await;
        let started = api.started().elapsed();
        let status = times(&api, ROUNDS, |_| get(&format!("/executions/{ended}/status"))).await;
        let list = times(&api, ROUNDS, |_| get("/executions")).await;
        let mut big = get(&format!("/executions/{long}/logs"));
        big["headers"]["accept-encoding"] = json!("gzip");
        let page = times(&api, LONG_ROUNDS, |_| big.clone()).await;
        drop(api);
        let events = Instance::start(&group.program(&programs.join("event-processor")), &environment, 1).await;
        let batch = times(&events, ROUNDS, |_| {
            number += 1;
            batch(&running, number)
        })
        .await;
        drop(events);
        println!(
            "{:<10} {:<16} {status:<16} {list:<16} {page:<20} {batch}",
            format!("{size} MB"),
            format!("{:.0} ms", started.as_secs_f64() * 1000.0)
        );
    }
    caller.delete(&format!("/executions/{running}")).await;
    system.shim.shut_down().await;
}

/// A batch of lines that come after all that are stored.
fn batch(id: &str, number: usize) -> Value {
    let now = jiff::Timestamp::now().as_millisecond();
    let lines: Vec<Event> = (0..LINES)
        .map(|line| Event {
            event_id: format!("8{:055}", number * LINES + line),
            timestamp: now,
            message: format!("{:<100}", format!("batch {number} line {line}")),
        })
        .collect();
    log_batch_event::event("g", &format!("task/runner/{id}"), &lines).unwrap()
}

/// The median and the longest time of an event, after a first one that is not counted.
async fn times(instance: &Instance, rounds: usize, mut event: impl FnMut(usize) -> Value) -> String {
    answered(instance, event(0)).await;
    let mut times = Vec::new();
    for round in 1..=rounds {
        let event = event(round);
        let started = Instant::now();
        answered(instance, event).await;
        times.push(started.elapsed());
    }
    times.sort();
    let milliseconds = |at: usize| times[at].as_secs_f64() * 1000.0;
    format!("{:.1} / {:.1} ms", milliseconds(times.len() / 2), milliseconds(times.len() - 1))
}

pub async fn answered(instance: &Instance, event: Value) {
    let request_id = uuid::Uuid::new_v4().to_string();
    let answer = instance.invoke(&request_id, event.to_string().into_bytes());
    let answer = tokio::time::timeout(Duration::from_mins(2), answer).await.expect("an answer within two minutes");
    let answer: Value = serde_json::from_slice(&answer.expect("no failure")).unwrap();
    assert!(
        answer.is_null() || answer["statusCode"] == 200,
        "{}",
        answer.to_string().chars().take(500).collect::<String>()
    );
}

/// A control group whose programs have a part of one processor.
pub struct Group {
    directory: PathBuf,
    scripts: tempfile::TempDir,
}

impl Group {
    /// Makes a group with this part of one processor.
    ///
    /// # Errors
    /// This process may make no group, or the system has no controller of processors.
    pub fn new(share: f64) -> io::Result<Self> {
        let name = format!("runvoy-bench-{}-{:.0}", std::process::id(), share * 1000.0);
        let quota = (f64::from(PERIOD) * share).round();
        let first = Path::new("/sys/fs/cgroup/cpu");
        let is_first = first.join("cpu.cfs_quota_us").exists();
        let directory = if is_first { first.join(name) } else { Path::new("/sys/fs/cgroup").join(name) };
        fs::create_dir_all(&directory)?;
        // Made before its files are written, so that it is removed if that fails.
        let group = Self { directory, scripts: tempfile::tempdir()? };
        if is_first {
            fs::write(group.directory.join("cpu.cfs_period_us"), PERIOD.to_string())?;
            fs::write(group.directory.join("cpu.cfs_quota_us"), quota.to_string())?;
        } else {
            fs::write(group.directory.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        }
        Ok(group)
    }

    /// A program that joins the group and becomes `program`.
    pub fn program(&self, program: &Path) -> PathBuf {
        let script = self.scripts.path().join(program.file_name().unwrap());
        let joins = format!("echo $$ > {}/cgroup.procs", self.directory.display());
        fs::write(&script, format!("#!/bin/sh\n{joins} && exec {}\n", program.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        script
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A program that has been killed leaves the group a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
