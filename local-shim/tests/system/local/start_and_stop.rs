//! Tests of the program: how it starts, stops, and is killed.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use local_shim::{AwsPort, Settings};
use serde_json::json;

use crate::{
    client::{Seen, System, connect, id, watch_on},
    program::{Program, command, fails, log_of},
    sleepers::{DETACH, Sleepers},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_an_idle_system_within_a_second_and_a_restart_has_its_state() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    assert!(program.welcome.contains(&program.caller.key), "the first start shows the key");
    let (first, _) = program.caller.run_to_end(json!({"command": "echo kept"})).await;
    let log = program.caller.log(&first).await;
    program.signal("-INT");
    let (code, took) = program.wait();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(1), "{took:?}");
    let text = log_of(directory.path());
    assert!(text.contains("starting orchestrator server") && text.contains("starting async processor server"));

    let program = Program::start(directory.path());
    assert!(!program.welcome.contains(&program.caller.key), "later starts do not");
    assert_eq!(program.caller.log(&first).await, log);
    assert_eq!(program.caller.get("/executions").await.json().as_array().unwrap().len(), 1);
    assert!(!log_of(directory.path()).contains(&program.caller.key), "the log never holds the key");
    program.signal("-TERM");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_line_for_a_command_that_the_stop_ends_runs_after_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join(".runvoy-local");
    let settings = || Settings { data_dir: Some(data.clone()), ..Settings::ephemeral() };
    let system = System::start_with(settings()).await;
    let holder = id(&system.admin.run_with(json!({"command": "sleep 60", "lock": "l"})).await);
    system.admin.wait_for(&holder, "RUNNING").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let queued = system.admin.run_with(json!({"command": "true", "lock": "l", "on_conflict": "queue"})).await;
        assert_eq!(queued["status"], "QUEUED");
        waiting.push(id(&queued));
    }
    system.shim.shut_down().await;

    let system = System::start_with(settings()).await;
    system.admin.wait_for(&holder, "STOPPED").await;
    for id in &waiting {
        system.admin.wait_for(id, "SUCCEEDED").await;
    }
    system.shim.shut_down().await;
}

/// The program reads its database by calls that the kernel counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn a_start_reads_little_of_what_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join(".runvoy-local");
    let system = System::start_with(Settings { data_dir: Some(data.clone()), ..Settings::ephemeral() }).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    // In a table with four indexes that project the whole item. The start's own event reads no such old ones.
    for number in 0..800 {
        let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
        let started = format!("2020-01-01T00:00:00.000Z#{number}");
        let request = dynamodb.put_item().table_name("runvoy-local-executions");
        let request =
            request.item("execution_id", text(format!("{number:032x}"))).item("status", text("SUCCEEDED".into()));
        let request = request.item("listing", text("executions".into())).item("started_key", text(started));
        let request =
            request.item("created_by", text("someone@example.com".into())).item("image_id", text("image".into()));
        request.item("command", text("x".repeat(20_000))).send().await.unwrap();
    }
    system.shim.shut_down().await;
    let kept = std::fs::metadata(data.join("dynamodb.sqlite")).unwrap().len();
    // The text of the commands alone is 16 MB.
    assert!((16_000_000..24_000_000).contains(&kept), "each item is kept once: {kept} bytes");
    let program = Program::start(directory.path());
    let counted = std::fs::read_to_string(format!("/proc/{}/io", program.id())).unwrap();
    let read: u64 = counted.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap();
    assert!(read < kept / 4, "{read} of {kept} bytes");
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_stops_what_runs_and_closes_its_execution() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let started = program.caller.run("echo before; sleep 612").await;
    program.caller.wait_for(&id(&started), "RUNNING").await;
    let mut viewer = connect(started["websocket_url"].as_str().unwrap()).await.unwrap();
    let mut seen = Seen::default();
    seen.read_until(&mut viewer, |seen| seen.messages().contains(&"before".to_owned())).await;
    let viewer = tokio::spawn(watch_on(seen, viewer));
    program.signal("-INT");
    let (code, took) = program.wait();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let seen = viewer.await.unwrap();
    assert!(seen.messages().contains(&"before".to_owned()));
    assert!(seen.close_code.is_some(), "the viewer is told that it is over");
    let program = Program::start(directory.path());
    let status = program.caller.get(&format!("/executions/{}/status", id(&started))).await.json();
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("STOPPED"), &json!(130)));
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_no_execution_stays_open_no_line_is_lost_and_no_process_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let sleepers = Sleepers::new(613);
    let started = program.caller.run(&format!("seq 500; {DETACH}sleep {}", sleepers.seconds)).await;
    let id = id(&started);
    // What a viewer has seen was written before it.
    let mut viewer = connect(started["websocket_url"].as_str().unwrap()).await.unwrap();
    Seen::default().read_until(&mut viewer, |seen| seen.messages().contains(&"500".to_owned())).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while sleepers.count() == 0 {
        assert!(Instant::now() < deadline, "the command does not get to its end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    program.signal("-KILL");
    assert_eq!(program.wait().0, None);
    let program = Program::start(directory.path());
    let status = program.caller.wait_for(&id, "FAILED").await;
    assert_eq!(status["exit_code"], 1);
    let log = program.caller.log(&id).await;
    let numbers: Vec<String> = log.into_iter().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(numbers, (1..=500).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    // Without /proc, a command of a program that was killed is not found again.
    if cfg!(target_os = "linux") {
        assert_eq!(sleepers.count(), 0);
    } else {
        let _ = Command::new("pkill").args(["-f", &format!("^sleep {}$", sleepers.seconds)]).status();
    }
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_endpoint_of_another_aws_the_program_uses_that_aws() {
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let directory = tempfile::tempdir().unwrap();
    let there = || {
        let mut command = command(directory.path());
        command.envs(&system.shim.function_environment);
        command
    };
    let refused = fails(&mut there());
    assert!(refused.contains("admin@runvoy.local exists"), "{refused}");
    std::fs::write(directory.path().join(".runvoy-local/admin-key"), &system.admin.key).unwrap();
    let program = Program::run(directory.path(), there());
    let new = json!({"email": "there@example.com", "role": "viewer"});
    assert_eq!(program.caller.post("/users/create", &new).await.status, 201);
    let users = system.admin.get("/users").await.text;
    assert!(users.contains("there@example.com"), "{users}");
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_user_can_read_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    program.caller.run_to_end(json!({"command": "true"})).await;
    let data = directory.path().join(".runvoy-local");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["admin-key", "dynamodb.sqlite", "ecs.sqlite", "aws-access-key.json"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    let refused = fails(&mut command(directory.path()));
    assert!(refused.contains("runvoy already runs with the data directory .runvoy-local"), "{refused}");
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[test]
fn what_prevents_a_start_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for variable in ["RUNVOY_DEV_SERVER_PORT", "RUNVOY_EVENT_PROCESSOR_PORT"] {
        let said = fails(command(path).env(variable, &port));
        assert!(said.contains(&port) && said.contains(variable), "{said}");
    }
    // `localhost` is `::1` first, so that a program there would receive the requests, with their keys.
    if let Ok(taken) = std::net::TcpListener::bind("[::1]:0") {
        let port = taken.local_addr().unwrap().port().to_string();
        let said = fails(command(path).env("RUNVOY_DEV_SERVER_PORT", &port));
        assert!(said.contains("::1") && said.contains(&port), "{said}");
    }
    for (name, value) in [
        ("RUNVOY_DEV_SERVER_PORT", "http"),
        ("RUNVOY_REQUEST_TIMEOUT", "soon"),
        ("RUNVOY_LOG_LEVEL", "loud"),
        ("RUNVOY_WEB_URL", "nowhere"),
    ] {
        std::fs::write(path.join(".env"), format!("{name}={value}\n")).unwrap();
        let said = fails(command(path).env_remove(name));
        assert!(said.contains(name) && said.contains(value) && said.contains("wants"), "{said}");
    }
    std::fs::write(path.join(".env"), "not a setting\n").unwrap();
    let said = fails(&mut command(path));
    assert!(said.contains(".env"), "{said}");
    std::fs::write(path.join("file"), "").unwrap();
    // Only root can give files away.
    if std::os::unix::fs::chown(path.join(".env"), Some(12_345), None).is_ok() {
        std::fs::write(path.join(".env"), "RUNVOY_LOG_LEVEL=loud\n").unwrap();
        let said = fails(command(path).args(["--data-dir", "file"]));
        assert!(said.contains(".env belongs to another user") && !said.contains("loud"), "{said}");
        assert!(said.contains("the data directory file"), "it goes on without the file: {said}");
    }
    std::fs::remove_file(path.join(".env")).unwrap();

    let said = fails(command(path).args(["--data-dir", "file"]));
    assert!(said.contains("the data directory file") && said.contains("--data-dir"), "{said}");
    let said = fails(command(path).args(["--data-dir", "/dev/null/x"]));
    assert!(said.contains("/dev/null/x"), "{said}");
}

#[test]
fn help_names_every_flag_and_variable() {
    let directory = tempfile::tempdir().unwrap();
    let help = String::from_utf8(command(directory.path()).arg("--help").output().unwrap().stdout).unwrap();
    let flags: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("-h, ").or(Some(line.trim_start())))
        .filter(|line| line.starts_with("--"))
        .filter_map(|line| line.split([' ', '=']).next())
        .collect();
    let documented = [
        "--aws-port",
        "--chaos",
        "--data-dir",
        "--ephemeral",
        "--event-port",
        "--help",
        "--log-level",
        "--port",
        "--record",
        "--runner",
    ];
    for flag in documented {
        assert!(flags.contains(flag), "{flag} is not in the help: {flags:?}");
    }
    let unknown: Vec<_> = flags.iter().filter(|flag| !documented.contains(*flag) && **flag != "--version").collect();
    assert!(unknown.is_empty(), "add these flags to this test and to the README: {unknown:?}");
    let readme = include_str!("../../../../README.md");
    for flag in ["--ephemeral", "--data-dir", "--runner", "--aws-port", "--chaos", "--record"] {
        assert!(readme.contains(flag), "{flag} is not in the README");
    }
    let example = include_str!("../../../../.env.example");
    let settings = example.split_whitespace().filter_map(|word| word.trim_start_matches('#').split_once('='));
    for (name, _) in settings.filter(|(name, _)| name.starts_with("RUNVOY_") && !name.ends_with("_TABLE")) {
        assert!(help.contains(name), "{name} is in .env.example and not in the help");
    }
}

/// A process can leave its group, forget its environment, its folder and its output, and outlive its parents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn nothing_that_a_command_started_outlives_it() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    for (number, exit_code, command) in [
        (614, 0, "setsid env -i sleep SECONDS & sleep 0.1"),
        (
            615,
            3,
            "(cd /; env -i setsid sh -c 'exec >/dev/null 2>&1; sleep SECONDS & sleep SECONDS') & sleep 0.1; exit 3",
        ),
        (616, 0, "(setsid env -i sh -c '(sleep SECONDS &) &' >/dev/null 2>&1 &) ; sleep 0.1"),
    ] {
        let sleepers = Sleepers::new(number);
        let command = command.replace("SECONDS", &sleepers.seconds);
        let started = Instant::now();
        let (_, status) = program.caller.run_to_end(json!({"command": command})).await;
        assert!(started.elapsed() < Duration::from_secs(5), "{command}: {:?}", started.elapsed());
        assert_eq!(status["exit_code"], exit_code, "{command}");
        assert_eq!(sleepers.count(), 0, "{command}");
    }
    // While another run goes on, its own processes are left alone.
    let (others, own) = (Sleepers::new(618), Sleepers::new(619));
    let command = format!("setsid sleep {} & sleep 617", others.seconds);
    let other = id(&program.caller.run(&command).await);
    program.caller.wait_for(&other, "RUNNING").await;
    while others.count() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let command = format!("(setsid sleep {} &); sleep 0.2", own.seconds);
    let (_, status) = program.caller.run_to_end(json!({"command": command})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    assert_eq!((own.count(), others.count()), (0, 1));
    assert_eq!(program.caller.delete(&format!("/executions/{other}")).await.status, 200);
    program.caller.wait_for(&other, "STOPPED").await;
    assert_eq!(others.count(), 0);
    let zombies =
        Command::new("ps").args(["--ppid", &program.id().to_string(), "-o", "stat="]).output().unwrap().stdout;
    assert!(!String::from_utf8_lossy(&zombies).contains('Z'), "{}", String::from_utf8_lossy(&zombies));
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}
