//! Tests of reading and following logs.

use crate::prelude::*;

#[test]
fn every_line_comes_once_and_in_order_over_a_connection_that_is_cut_again_and_again() {
    let port = free_port();
    let (proxy, cuts) = cutting_proxy(port, Duration::from_millis(200));
    let overrides = [("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), format!("http://localhost:{proxy}/ws"))].into();
    let system = System::start_with(Settings { orchestrator_port: port, overrides, ..Settings::ephemeral() });
    let output =
        system.run(&["run", "for i in $(seq 60); do seq $((i * 500 - 499)) $((i * 500)); sleep 0.03; done; exit 5"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(text(&output.stdout) == numbers(30_000), "{}", text(&output.stderr));
    assert!(cuts.load(Ordering::Relaxed) > 3, "the connection was cut {cuts:?} times");
    assert!(text(&output.stderr).contains("connecting again"), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_dies_and_comes_back_in_the_middle_loses_no_line() {
    let port = free_port();
    let data = tempfile::tempdir().unwrap();
    let settings =
        || Settings { orchestrator_port: port, data_dir: Some(data.path().to_owned()), ..Settings::ephemeral() };
    let mut system = System::start_with(settings());
    let mut child = system.command(&["run", "seq 100000; sleep 600"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    for _ in 0..1000 {
        out.read_line(&mut printed).unwrap();
    }
    // The first program is not read any further, and so is in the middle of the log when the other has all of it.
    let id = system.json(&["list", "-o", "json"])[0]["execution_id"].as_str().unwrap().to_owned();
    let mut other = system.command(&["logs", "-f", &id]).spawn().unwrap();
    let all = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok).any(|line| line == "100000");
    assert!(all);
    other.kill().unwrap();
    other.wait().unwrap();
    // Dropped, the system stops at once, and closes no execution.
    drop(system.shim.take());
    let runtime = std::mem::replace(&mut system.runtime, local_shim::runtime().unwrap());
    runtime.shutdown_timeout(Duration::from_secs(5));
    system.shim = Some(system.runtime.block_on(Shim::start(settings())).unwrap());
    out.read_to_string(&mut printed).unwrap();
    let output = end_of(child);
    assert!(printed == numbers(100_000), "{} lines: {}", printed.lines().count(), text(&output.stderr));
    // The system killed the command (137), or the next start found its task gone (1).
    assert!(matches!(output.status.code(), Some(1 | 137)), "{}", text(&output.stderr));
}

#[test]
fn logs_without_following_end_while_the_command_prints_on() {
    let system = System::start();
    let id = system.prints(&["run", "-d", "for i in 1 2 3; do echo $i; done; while :; do sleep 0.3; echo more; done"]);
    let id = id.trim();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !system.prints(&["logs", id]).starts_with("1\n2\n3\n") {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(system.json(&["list", "-o", "json"])[0]["status"], "RUNNING");
    system.prints(&["kill", id]);
}

/// A local system whose API and WebSockets are behind a network that delays everything.
fn slow_system(delay: Duration) -> (System, String) {
    let port = free_port();
    let proxy = slow_proxy(port, delay);
    let overrides = [("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), format!("http://localhost:{proxy}/ws"))].into();
    let system = System::start_with(Settings { orchestrator_port: port, overrides, ..Settings::ephemeral() });
    (system, format!("http://localhost:{proxy}"))
}

#[test]
fn a_slow_network_makes_logs_slower_and_not_shorter() {
    let (system, slow) = slow_system(Duration::from_millis(1200));
    for command in ["seq 6", "seq 6; sleep 600"] {
        let id = system.prints(&["run", "-d", command]);
        let id = id.trim();
        let deadline = Instant::now() + Duration::from_secs(30);
        while system.prints(&["logs", id]) != numbers(6) {
            assert!(Instant::now() < deadline, "{command}");
        }
        let output = system.command(&["logs", id]).env("RUNVOY_ENDPOINT", &slow).output().unwrap();
        assert_eq!(text(&output.stdout), numbers(6), "{command}: {}", text(&output.stderr));
        assert!(output.status.success());
    }
}

#[test]
fn pages_of_a_log_are_printed_one_after_the_other() {
    let line = |number: u32| json!({"event_id": number.to_string(), "timestamp": 1, "message": number.to_string()});
    let page = |lines: Vec<Value>| json!({"execution_id": "x", "status": "SUCCEEDED", "events": lines}).to_string();
    let note = json!({"event_id": "note", "timestamp": 1, "message": "2 lines are missing"});
    let next = "Link: </api/v1/executions/x/logs?after=2>; rel=\"next\"\r\n".to_owned();
    let (endpoint, heads) = canned_with_headers(vec![
        (200, next, page(vec![line(1), line(2), note])),
        (503, String::new(), "{}".to_owned()),
        (200, String::new(), page(vec![line(3), line(4)])),
    ]);
    let home = tempfile::tempdir().unwrap();
    let output =
        bare(home.path(), &["logs", "x"]).env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k").output().unwrap();
    assert_eq!(text(&output.stdout), numbers(4), "{}", text(&output.stderr));
    assert!(heads.lock().unwrap()[2].starts_with("get /api/v1/executions/x/logs?after=2 "), "{heads:?}");
}

#[test]
fn following_an_execution_that_has_ended_tells_how_long_it_took() {
    let system = System::start();
    let id = system.prints(&["run", "-d", "sleep 2"]);
    system.prints(&["status", "--wait", id.trim()]);
    let output = system.run(&["logs", "-f", id.trim()]);
    let said = text(&output.stderr);
    assert!(said.contains("SUCCEEDED, exit code 0, after ") && !said.contains("after 0 s"), "{said}");
}
