//! Every line that a command printed is in its log, whoever watches and whatever the disk does.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use local_shim::{
    Settings,
    aws::faults::{Call, Fault},
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::{
    client::{Caller, Seen, System, connect_at_last, id, watch_within},
    local::machine::after,
    program::{Program, log_of},
};

/// The time limit for what takes long on a busy machine. Nothing here is about time.
const LONG: Duration = Duration::from_mins(4);

/// A system whose answers may take long.
async fn patient(settings: Settings) -> System {
    let mut system = System::start_with(settings).await;
    system.admin.patience = LONG;
    system
}

/// Waits for the end of an execution, and returns the answer of `/status`.
pub async fn end_of(caller: &Caller, id: &str) -> Value {
    let deadline = Instant::now() + LONG;
    loop {
        let status = caller.get(&format!("/executions/{id}/status")).await.json();
        if ["SUCCEEDED", "FAILED", "STOPPED"].iter().any(|end| status["status"] == *end) {
            return status;
        }
        assert!(Instant::now() < deadline, "{id} does not end: {status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn succeeds(caller: &Caller, id: &str) {
    let ended = end_of(caller, id).await;
    assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
}

/// The lines of a log without the runner's own.
async fn printed(caller: &Caller, id: &str) -> Vec<String> {
    caller.log(id).await.into_iter().filter(|line| !line.starts_with("### runvoy")).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

fn url(started: &Value) -> String {
    format!("{}&batch=true", started["websocket_url"].as_str().unwrap())
}

const SLOWLY: &str = "for i in $(seq 20); do echo $i; sleep 0.05; done; seq 21 60";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_viewers_of_one_log_lose_no_line() {
    let system = patient(Settings::ephemeral()).await;
    let started = system.admin.run(&format!("sleep 1; {SLOWLY}")).await;
    let url = url(&started);
    let sockets = join_all((0..200).map(|_| async { connect_at_last(&url).await })).await;
    let viewers: Vec<_> =
        sockets.into_iter().map(|socket| tokio::spawn(watch_within(LONG, Seen::default(), socket))).collect();
    let id = id(&started);
    succeeds(&system.admin, &id).await;
    assert_eq!(printed(&system.admin, &id).await, numbers(60));
    let log = system.admin.log(&id).await;
    assert!(log.last().unwrap().contains("command ended"), "{log:?}");
    for viewer in viewers {
        assert_eq!(viewer.await.unwrap().log(), log);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_watched_runs_lose_no_line() {
    let system = patient(Settings::ephemeral()).await;
    let runs = join_all((0..60).map(|_| async {
        let started = system.admin.run(SLOWLY).await;
        (id(&started), tokio::spawn(watch_within(LONG, Seen::default(), connect_at_last(&url(&started)).await)))
    }))
    .await;
    for (id, viewer) in runs {
        succeeds(&system.admin, &id).await;
        assert_eq!(printed(&system.admin, &id).await, numbers(60));
        let seen = viewer.await.unwrap().log();
        assert_eq!(seen, system.admin.log(&id).await);
    }
    system.shim.shut_down().await;
}

/// Starts runs, a few at a time, and checks that each has its lines.
async fn runs_are_whole(system: &System, runs: usize, command: &str, lines: usize) {
    let mut ids = Vec::new();
    for _ in 0..runs.div_ceil(25) {
        let started = join_all((0..25).map(|_| system.admin.run(command))).await;
        ids.extend(started.iter().map(id));
    }
    for id in ids {
        succeeds(&system.admin, &id).await;
        assert_eq!(printed(&system.admin, &id).await, numbers(lines), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chatty_runs_and_a_burst_of_runs_are_kept_whole_without_viewers() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: Some(directory.path().to_owned()), ..Settings::ephemeral() };
    let system = patient(settings).await;
    runs_are_whole(&system, 150, "seq 200", 200).await;
    runs_are_whole(&system, 500, "seq 3", 3).await;
    // 650 runs are no 650 files.
    let streams = directory.path().join("logs/runvoy_runvoy-local_tasks");
    let deadline = Instant::now() + LONG;
    while std::fs::read_dir(&streams).unwrap().count() > 0 {
        assert!(Instant::now() < deadline, "streams that have ended are still files");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_that_never_read_hold_up_neither_the_command_nor_its_end() {
    let system = patient(Settings::ephemeral()).await;
    // Far more than all buffers between the two ends hold.
    let shell = "sleep 0.5; for i in $(seq 150); do head -c 100000 /dev/zero | tr '\\0' x; echo; done; echo last";
    let started = system.admin.run(shell).await;
    let stuck = join_all((0..3).map(|_| async { connect_at_last(&url(&started)).await })).await;
    let id = id(&started);
    succeeds(&system.admin, &id).await;
    let lines = printed(&system.admin, &id).await;
    assert_eq!((lines.len(), lines.last().unwrap().as_str()), (151, "last"));
    // Another run is neither slower to be stored nor to end.
    let other = crate::client::id(&system.admin.run("seq 5").await);
    succeeds(&system.admin, &other).await;
    assert_eq!(printed(&system.admin, &other).await, numbers(5));
    drop(stuck);
    system.shim.shut_down().await;
}

/// Sets the limit of the size of files of a running program. With 1 byte, its disk is as good as full.
fn limit_files(program: &Program, bytes: Option<u64>) {
    let id = Pid::from_raw(i32::try_from(program.id()).unwrap());
    prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_for_seconds_at_the_end_loses_no_line_and_the_run_ends_soon_after() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::run(directory.path(), after("trap '' XFSZ", directory.path()));
    let go = directory.path().join("go");
    let shell = format!("echo ready; until [ -e '{}' ]; do sleep 0.05; done; seq 20000", go.display());
    let id = id(&program.caller.run(&shell).await);
    program.caller.wait_for(&id, "RUNNING").await;
    limit_files(&program, Some(1));
    std::fs::write(&go, "").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    limit_files(&program, None);
    // Long before the hourly comparison with ECS.
    assert_eq!(end_of(&program.caller, &id).await["status"], "SUCCEEDED", "{}", log_of(directory.path()));
    let lines = printed(&program.caller, &id).await;
    assert_eq!(lines[0], "ready");
    assert_eq!(lines[1..], numbers(20_000));
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_because_the_disk_is_full_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::run(directory.path(), after("trap '' XFSZ", directory.path()));
    limit_files(&program, Some(1));
    let refused = program.caller.put("/locks/deploy", &json!({"slots": 2})).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    let body = refused.json();
    for field in ["hint", "details"] {
        assert!(body[field].as_str().unwrap().contains("the disk is full: make room for"), "{body}");
    }
    assert_eq!(body["code"], "DATABASE_ERROR");
    limit_files(&program, None);
    let done = program.caller.put("/locks/deploy", &json!({"slots": 2})).await;
    assert_eq!(done.status, 200, "{}", done.text);
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_could_not_be_handled_is_kept_and_told() {
    let directory = tempfile::tempdir().unwrap();
    // What the program says goes through another process, which has no such limit.
    let setup = "trap '' XFSZ; mkfifo said; cat said >told & exec 2>said";
    let program = Program::run(directory.path(), after(setup, directory.path()));
    let told = || std::fs::read_to_string(directory.path().join("told")).unwrap();
    let go = directory.path().join("go");
    let shell = format!("until [ -e '{}' ]; do sleep 0.05; done", go.display());
    let id = id(&program.caller.run(&shell).await);
    program.caller.wait_for(&id, "RUNNING").await;
    limit_files(&program, Some(1));
    std::fs::write(&go, "").unwrap();
    let deadline = Instant::now() + LONG;
    while !told().contains("an event failed for the last time; it is kept") {
        assert!(Instant::now() < deadline, "{}", told());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    limit_files(&program, None);
    succeeds(&program.caller, &id).await;
    // The handler goes on after it has changed the status.
    let deadline = Instant::now() + LONG;
    while !told().contains("an event that had failed is handled now") {
        assert!(Instant::now() < deadline, "{}", told());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_could_not_be_handled_are_handled_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings { data_dir: Some(directory.path().to_owned()), ..Settings::ephemeral() };
    let failed_events = || {
        let files = std::fs::read_dir(directory.path().join("failed-events")).unwrap();
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "json")).count()
    };
    let system = patient(settings()).await;
    let go = directory.path().join("go");
    let shell = format!("until [ -e '{}' ]; do sleep 0.05; done; seq 3; exec sleep 600", go.display());
    let id = id(&system.admin.run(&shell).await);
    system.admin.wait_for(&id, "RUNNING").await;
    system.shim.plan_faults(Some(std::sync::Arc::new(|call: Call<'_>| {
        (call.operation == "dynamodb:TransactWriteItems").then_some(Fault::Fails)
    })));
    std::fs::write(&go, "").unwrap();
    let deadline = Instant::now() + LONG;
    while failed_events() == 0 {
        assert!(Instant::now() < deadline, "the batch does not fail");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The program is stopped with its cause of failure still there.
    system.shim.shut_down().await;
    assert!(failed_events() > 0);
    let system = patient(settings()).await;
    end_of(&system.admin, &id).await;
    // The shell may tell that it was stopped.
    assert_eq!(printed(&system.admin, &id).await[..3], numbers(3));
    while failed_events() > 0 {
        assert!(Instant::now() < deadline, "what failed is not tried again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_the_log_has_what_was_printed_without_holes_and_says_why_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    // It prints until it is killed, and not more than a slow machine can take.
    let shell = "i=0; while :; do i=$((i+1)); echo $i; [ $((i%100)) -ne 0 ] || sleep 0.02; done";
    let started = program.caller.run(shell).await;
    let id = id(&started);
    let mut viewer = connect_at_last(&url(&started)).await;
    Seen::default().read_until(&mut viewer, |seen| seen.messages().contains(&"1000".to_owned())).await;
    program.signal("-KILL");
    program.wait();
    drop(viewer);
    let program = Program::start(directory.path());
    let status = end_of(&program.caller, &id).await;
    assert_eq!(status["status"], "FAILED");
    let lines = printed(&program.caller, &id).await;
    // A viewer sees a line after it is kept.
    assert!(lines.len() >= 1000, "{} lines", lines.len());
    assert_eq!(lines, numbers(lines.len()));
    let log = program.caller.log(&id).await;
    assert!(log.last().unwrap().contains("the machine that ran the task was stopped"), "{:?}", log.last());
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

/// The test itself keeps the output open. The program does not end the process that it runs in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn a_process_that_left_the_task_is_cut_off_and_the_log_says_so() {
    use std::io::Write;
    let system = patient(Settings::ephemeral()).await;
    let directory = tempfile::tempdir().unwrap();
    let (number, go) = (directory.path().join("number"), directory.path().join("go"));
    let shell = format!(
        "echo $$ >'{0}.new'; mv '{0}.new' '{0}'; until [ -e '{1}' ]; do sleep 0.02; done; echo the last of the command",
        number.display(),
        go.display()
    );
    let id = id(&system.admin.run(&shell).await);
    while !number.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let process = std::fs::read_to_string(&number).unwrap();
    let mut output = std::fs::File::options().write(true).open(format!("/proc/{}/fd/1", process.trim())).unwrap();
    writeln!(output, "from outside").unwrap();
    std::fs::write(&go, "").unwrap();
    succeeds(&system.admin, &id).await;
    let log = system.admin.log(&id).await;
    for wanted in ["from outside", "the last of the command", "a process that left the task keeps its output open"] {
        assert!(log.iter().any(|line| line.contains(wanted)), "{wanted}: {log:?}");
    }
    drop(output);
    system.shim.shut_down().await;
}
