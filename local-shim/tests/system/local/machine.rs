//! What a machine does to the program: it is killed, its terminal goes away, its disk or its output is full, its files are broken.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    client::id,
    logs::kept_lines::end_of,
    program::{Program, command, fails, log_of},
    sleepers::Sleepers,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_is_killed_leaves_a_folder_that_starts() {
    for milliseconds in [0, 1, 2, 3, 5, 8, 12, 17, 25, 40, 60, 90] {
        let directory = tempfile::tempdir().unwrap();
        let mut killed = command(directory.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let program = Program::start(directory.path());
        assert_eq!(program.caller.get("/executions").await.status, 200, "killed after {milliseconds} ms");
        program.signal("-INT");
        assert_eq!(program.wait().0, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_cannot_be_read_is_named_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    program.caller.run_to_end(json!({"command": "true"})).await;
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
    let data = directory.path().join(".runvoy-local");
    let journals = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(journals.filter(|name| name.ends_with("-wal")).collect::<Vec<_>>(), [""; 0], "each database is closed");
    let files = ["admin-key", "dynamodb.sqlite", "ecs.sqlite", "aws-access-key.json"].map(|name| data.join(name));
    for file in files {
        let content = std::fs::read(&file).unwrap();
        for broken in [&b""[..], &b"\xff\x00nonsense"[..]] {
            std::fs::write(&file, broken).unwrap();
            let said = fails(&mut command(directory.path()));
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(said.contains(name), "{name} with {broken:?}: {said}");
            assert_eq!(std::fs::read(&file).unwrap(), broken, "{name} is left as it is");
        }
        std::fs::write(&file, content).unwrap();
    }
    let program = Program::start(directory.path());
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn no_file_stays_open_for_a_run_that_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let open = || std::fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap().count();
    let mut counts = Vec::new();
    for _ in 0..3 {
        for _ in 0..10 {
            program.caller.run_to_end(json!({"command": "echo hello"})).await;
        }
        counts.push(open());
    }
    assert!(counts[2] <= counts[0] + 3, "{counts:?}");
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

/// Tells whether this process, and so those that it starts, ignore SIGHUP (signal 1), as under `nohup`.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.unwrap_or_default() & 1 == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_of_a_terminal_stops_the_commands() {
    for (signals, number) in
        [(&["-HUP"][..], 621), (&["-QUIT"], 622), (&["-INT", "-INT"], 623), (&["-TERM", "-INT"], 624)]
    {
        if signals == ["-HUP"] && is_hangup_ignored() {
            println!("SKIPPED: under nohup, the program goes on when its terminal is closed");
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let program = Program::start(directory.path());
        // The command ignores what it may ignore.
        let sleepers = Sleepers::new(number);
        let started = program.caller.run(&format!("trap '' HUP INT QUIT TERM; sleep {}", sleepers.seconds)).await;
        program.caller.wait_for(&id(&started), "RUNNING").await;
        for signal in signals {
            program.signal(signal);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (_, took) = program.wait();
        assert!(took < Duration::from_secs(10), "{signals:?}: {took:?}");
        assert_eq!(sleepers.count(), 0, "{signals:?}");
    }
}

/// The program as `sh` starts it after `setup`.
pub fn after(setup: &str, directory: &Path) -> Command {
    let program = command(directory);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{setup}; exec \"$@\""), "sh"]).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(directory).stdin(Stdio::null());
    shell
}

#[test]
#[cfg(target_os = "linux")]
fn an_output_that_is_full_or_closed_ends_nothing() {
    for (setup, output) in [("true", "/dev/full"), ("exec >&-", "/dev/null"), ("exec 2>&-", "/dev/null")] {
        let directory = tempfile::tempdir().unwrap();
        let log = File::options().create(true).append(true).open(directory.path().join("log")).unwrap();
        let output_file = File::options().append(true).create(true).open(output).unwrap();
        let mut program = after(setup, directory.path()).stdout(output_file).stderr(log).spawn().unwrap();
        let key = directory.path().join(".runvoy-local/admin-key");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !key.exists() {
            assert!(Instant::now() < deadline, "{setup}, {output}: {}", log_of(directory.path()));
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(500));
        assert!(program.try_wait().unwrap().is_none(), "{setup}, {output}: {}", log_of(directory.path()));
        Command::new("kill").arg("-INT").arg(program.id().to_string()).status().unwrap();
        assert_eq!(program.wait().unwrap().code(), Some(0), "{setup}, {output}: {}", log_of(directory.path()));
        assert!(!log_of(directory.path()).contains("panicked"), "{}", log_of(directory.path()));
    }
}

/// A limit of the size of files stands for a full disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_log_cannot_be_written_ends_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::run(directory.path(), after("trap '' XFSZ; ulimit -f 20000", directory.path()));
    let started = Instant::now();
    let printing = "seq -f 'line %.0f of a log that is longer than a file may be' 150000";
    let id = id(&program.caller.run(printing).await);
    // The driver waits for the disk: 10 s while the command runs, and 30 s after its end.
    let status = end_of(&program.caller, &id).await;
    assert_eq!(status["status"], "SUCCEEDED");
    assert!(started.elapsed() < Duration::from_secs(75), "{:?}", started.elapsed());
    let reason = status["stopped_reason"].as_str().unwrap_or_default();
    assert!(reason.contains("lines of the log could not be written"), "{status}");
    let (_, next) = program.caller.run_to_end(json!({"command": "echo works"})).await;
    assert_eq!(next["status"], "SUCCEEDED");
    program.signal("-INT");
    assert_eq!(program.wait().0, Some(0));
}

#[test]
fn an_endpoint_that_leads_nowhere_is_named_within_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}");
    let started = Instant::now();
    let said = fails(command(directory.path()).env("AWS_ENDPOINT_URL", &endpoint));
    assert!(said.contains(&endpoint), "{said}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
