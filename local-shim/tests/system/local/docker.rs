//! Commands in their images. These tests need an engine and an image, which `.ci/with-docker cargo test … -- --ignored`
//! provides.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    process::Command,
    sync::LazyLock,
    time::{Duration, Instant},
};

use local_shim::{RunnerChoice, Settings};
use serde_json::json;

use crate::{
    client::{System, id},
    program::{Program, command_with},
};

static IMAGE: LazyLock<String> =
    LazyLock::new(|| std::env::var("RUNVOY_TEST_IMAGE").expect("run by .ci/with-docker, which makes this image"));

/// A system that runs commands in Docker, with the image registered.
async fn start() -> System {
    let system = System::start_with(Settings { runner: RunnerChoice::Docker, ..Settings::ephemeral() }).await;
    let image = json!({"image": *IMAGE, "cpu": 256, "memory": 512});
    assert_eq!(system.admin.post("/images/register", &image).await.status, 201);
    system
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the engine has no container, volume or network of this task.
async fn nothing_is_left_of(id: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let name = format!("name={id}");
        let left = docker(&["ps", "-aq", "--filter", &name]) + &docker(&["volume", "ls", "-q", "--filter", &name]);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left: {left}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[ignore = "needs a Docker engine: .ci/with-docker"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_in_its_image_with_its_size_and_its_environment() {
    let system = start().await;
    let secret = json!({"name": "s", "key_name": "HIDDEN", "value": "no one sees"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let shell = r#"cat /marker; pwd; echo "$GREETING" >&2; echo ${#HIDDEN}; stat -c %a .env
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true; exit 7"#;
    let body = json!({"command": shell, "image": *IMAGE, "env": {"GREETING": "it's me"}, "secrets": ["s"]});
    let (id, status) = system.admin.run_to_end(body).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(7)));
    let log = system.admin.log(&id).await;
    for line in ["made for runvoy's tests", "/workspace", "it's me", "11", "600", "536870912"] {
        assert!(log.iter().any(|logged| logged == line), "{line:?} is not in {log:#?}");
    }
    assert!(log.last().unwrap().ends_with("exit code => 7"), "{log:#?}");
    nothing_is_left_of(&id).await;
    system.shim.shut_down().await;
}

#[ignore = "needs a Docker engine: .ci/with-docker"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_with_more_cpus_than_the_machine_runs_and_the_log_says_what_is_not_limited() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    if cpus >= 16 {
        println!("SKIPPED: no image can ask for more than 16 CPUs");
        return;
    }
    let system = start().await;
    let image = json!({"image": *IMAGE, "cpu": 16384, "memory": 32768});
    assert_eq!(system.admin.post("/images/register", &image).await.status, 201);
    let image = system.admin.get("/images").await.text;
    let (id, status) = system.admin.run_to_end(json!({"command": "true", "image": *IMAGE})).await;
    assert_eq!(status["status"], "SUCCEEDED", "{image}");
    let log = system.admin.log(&id).await;
    assert!(log.iter().any(|line| line.contains("CPUs are not limited")), "{log:#?}");
    system.shim.shut_down().await;
}

#[ignore = "needs a Docker engine: .ci/with-docker"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_and_a_timeout_end_a_container() {
    let system = start().await;
    let killed = id(&system.admin.run_with(json!({"command": "sleep 600 & sleep 600", "image": *IMAGE})).await);
    system.admin.wait_for(&killed, "RUNNING").await;
    assert_eq!(system.admin.delete(&format!("/executions/{killed}")).await.status, 200);
    let status = system.admin.wait_for(&killed, "STOPPED").await;
    assert_eq!(status["exit_code"], 130);
    let body = json!({"command": "sleep 600", "image": *IMAGE, "timeout": 1});
    let (timed_out, status) = system.admin.run_to_end(body).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(124)));
    for id in [&killed, &timed_out] {
        nothing_is_left_of(id).await;
    }
    system.shim.shut_down().await;
}

#[ignore = "needs a Docker engine: .ci/with-docker"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_pulled_fails_the_run_and_says_why() {
    let system = start().await;
    // No engine listens on this socket.
    let image = json!({"image": "localhost:1/none:1"});
    assert_eq!(system.admin.post("/images/register", &image).await.status, 201);
    let (id, status) = system.admin.run_to_end(json!({"command": "true", "image": "localhost:1/none:1"})).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(1)));
    let log = system.admin.log(&id).await;
    assert!(log.iter().any(|line| line.contains("cannot be pulled") && line.contains("localhost:1")), "{log:#?}");
    nothing_is_left_of(&id).await;
    system.shim.shut_down().await;
}

#[ignore = "needs a Docker engine: .ci/with-docker"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_needs_more_memory_than_it_has_is_ended() {
    let system = start().await;
    let body = json!({"command": "dd if=/dev/zero of=/dev/null bs=2000M count=1", "image": *IMAGE});
    let (id, status) = system.admin.run_to_end(body).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(137)));
    nothing_is_left_of(&id).await;
    system.shim.shut_down().await;
}

#[ignore = "needs a Docker engine: .ci/with-docker"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_shim_leaves_in_the_engine_the_next_one_removes() {
    let directory = tempfile::tempdir().unwrap();
    let start = || Program::run(directory.path(), command_with(directory.path(), "docker"));
    let program = start();
    let image = json!({"image": *IMAGE});
    assert_eq!(program.caller.post("/images/register", &image).await.status, 201);
    let id = id(&program.caller.run_with(json!({"command": "sleep 600", "image": *IMAGE})).await);
    program.caller.wait_for(&id, "RUNNING").await;
    program.signal("-KILL");
    program.wait();
    assert!(!docker(&["ps", "-q", "--filter", &format!("name={id}")]).is_empty(), "the container outlives the shim");
    let program = start();
    nothing_is_left_of(&id).await;
    program.caller.wait_for(&id, "FAILED").await;
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

/// An engine that answers at once, and takes this long to tell its version.
fn slow_engine(socket: &std::path::Path, pause: Duration) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let path = head.first().cloned().unwrap_or_default();
                let body = if path.contains("/_ping") {
                    "OK"
                } else if path.contains("/version") {
                    std::thread::sleep(pause);
                    r#"{"Version": "9.8.7", "ApiVersion": "1.41"}"#
                } else if path.contains("/containers/json") {
                    "[]"
                } else {
                    "{}"
                };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
            });
        }
    });
}

/// Podman asks its programs for their versions, which takes seconds on a busy machine.
#[test]
fn an_engine_that_takes_seconds_to_tell_its_version_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("engine.sock");
    slow_engine(&socket, Duration::from_millis(2200));
    let mut command = command_with(directory.path(), "docker");
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let program = Program::run(directory.path(), command);
    assert!(program.welcome.contains("9.8.7"), "{}", program.welcome);
}
