//! Tests of reading and following logs.

use crate::prelude::*;

#[test]
fn every_line_comes_once_and_in_order_over_a_connection_that_is_cut_again_and_again() {
    let port = free_port();
    // A frame has 128 KB at most, so each connection brings one at least.
    let (proxy, cuts) = cutting_proxy(port, 200 * 1024);
    let overrides = [("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), format!("http://localhost:{proxy}/ws"))].into();
    let system = System::start_with(Settings { orchestrator_port: port, overrides, ..Settings::ephemeral() });
    let output =
        system.run(&["run", "for i in $(seq 60); do seq $((i * 500 - 499)) $((i * 500)); sleep 0.03; done; exit 5"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let wrong = printed.lines().zip(1..).find(|(line, number)| *line != number.to_string());
    let said = text(&output.stderr);
    assert!(printed == numbers(30_000), "{} lines, the first wrong one is {wrong:?}: {said}", printed.lines().count());
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
fn lines_that_are_too_long_for_a_frame_are_asked_for_at_the_api() {
    let system = System::start();
    system.shim.as_ref().unwrap().close_on_frames_over(32 * 1024);
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let long = "head -c 100000 /dev/zero | tr '\\0' x; echo";
    let command =
        format!("{long}; echo one; {long}; until [ -e '{}' ]; do sleep 0.05; done; echo two; {long}", go.display());
    let mut child = system.command(&["run", &command]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    // The execution goes on until both lines have come.
    for _ in 0..3 {
        out.read_line(&mut printed).unwrap();
    }
    std::fs::write(&go, "").unwrap();
    out.read_to_string(&mut printed).unwrap();
    let output = end_of(child);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let long = "x".repeat(100_000);
    assert!(
        printed == format!("{long}\none\n{long}\ntwo\n{long}\n"),
        "{} bytes: {}",
        printed.len(),
        text(&output.stderr)
    );
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
fn a_log_on_a_terminal_ends_though_runvoys_own_lines_are_among_those_of_the_command() {
    let system = System::start();
    let run = system.run(&["run", "echo first; echo second"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    for arguments in [&["logs"][..], &["logs", "--tail", "1"], &["logs", "-f"], &["logs", "-o", "json"]] {
        let (code, seen) = on_terminal(system.command(arguments), 80, None);
        assert_eq!(code, Some(0), "{arguments:?}: {seen}");
        assert!(seen.contains("second"), "{arguments:?}: {seen}");
        assert!(!seen.contains("1 lines"), "{seen}");
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

#[test]
fn lines_are_chosen_by_number_time_and_pattern() {
    let system = System::start();
    let ended = system.prints(&["run", "-d", "seq 20"]).trim().to_owned();
    system.prints(&["status", "--wait", &ended]);
    assert_eq!(system.prints(&["logs", &ended, "--tail", "2"]), "19\n20\n");
    assert_eq!(system.prints(&["logs", &ended, "--grep", "^1.$", "-n", "2"]), "18\n19\n");
    assert_eq!(system.prints(&["logs", &ended, "--since", "2999-01-01T00:00:00Z"]), "");
    assert_eq!(system.prints(&["logs", &ended, "--since", "1h"]), numbers(20));
    assert_eq!(system.prints(&["logs", "-f", &ended, "--tail", "1"]), "20\n");

    let running = system.prints(&["run", "-d", "seq 20; sleep 4; echo more; echo end"]).trim().to_owned();
    let followed = system.prints(&["logs", "-f", &running, "--grep", "1$|e$"]);
    assert_eq!(followed, "1\n11\nmore\n");
}

/// Passes connections on to a port. Those that exist when the flag is set carry nothing any more, and stay open.
fn dropping_proxy(to: u16) -> (u16, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let drops = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = drops.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = std::net::TcpStream::connect(("127.0.0.1", to)).unwrap();
            let is_old = !flag.load(Ordering::Relaxed);
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server.try_clone().unwrap(), client.try_clone().unwrap()),
            ] {
                let flag = flag.clone();
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        if !(is_old && flag.load(Ordering::Relaxed)) {
                            let _ = to.write_all(&buffer[..length]);
                        }
                    }
                });
            }
        }
    });
    (port, drops)
}

#[test]
fn a_connection_that_is_kept_while_its_data_is_dropped_is_noticed() {
    let port = free_port();
    let (proxy, drops) = dropping_proxy(port);
    let overrides = [("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), format!("http://localhost:{proxy}/ws"))].into();
    let system = System::start_with(Settings { orchestrator_port: port, overrides, ..Settings::ephemeral() });
    let mut child = system.command(&["run", "echo up; sleep 2; echo down"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    out.read_line(&mut printed).unwrap();
    drops.store(true, Ordering::Relaxed);
    out.read_to_string(&mut printed).unwrap();
    let output = end_of(child);
    assert_eq!(printed, "up\ndown\n");
    assert!(text(&output.stderr).contains("it is silent"), "{}", text(&output.stderr));
}

#[test]
fn the_websocket_is_reached_through_a_tunnel_on_another_port() {
    // The server names an address at which nothing listens here, as at this end of a tunnel.
    let unreachable = format!("http://localhost:{}/ws", free_port());
    let overrides = [("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), unreachable)].into();
    let behind = System::start_with(Settings { overrides, ..Settings::ephemeral() });
    let output = behind.run(&["run", "echo through; sleep 1; echo the tunnel"]);
    assert_eq!(text(&output.stdout), "through\nthe tunnel\n", "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("connection is lost"), "{}", text(&output.stderr));
}

/// Under chaos, batches of lines are stored late, twice and in another order.
#[test]
fn lines_that_the_server_sends_late_are_put_into_order_or_told() {
    for seed in [3, 11] {
        let system = System::start_with(Settings { chaos: Some(seed), ..Settings::ephemeral() });
        let mut command = system.command(&["run", "for i in $(seq 100 160); do echo $i; sleep 0.05; done"]);
        let output = end_of(command.spawn().unwrap());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let printed: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
        let mut sorted = printed.clone();
        sorted.sort();
        let expected: Vec<String> = (100..=160).map(|number: u32| number.to_string()).collect();
        assert_eq!(sorted, expected, "each line once: {said}");
        let mut newest = String::new();
        let mut late = 0;
        for line in &printed {
            late += usize::from(*line < newest);
            newest = newest.max(line.clone());
        }
        let is_told = said.contains("lines came late");
        assert!(late == 0 || is_told, "{late} lines are out of order, and it says: {said}: {printed:?}");
    }
}

#[test]
fn colours_of_a_command_end_with_its_log() {
    let system = System::start();
    system.prints(&["run", "printf '\\033[31mred\\n'"]);
    let seen = on_terminal(system.command(&["logs", "@last", "--grep", "31mred$"]), 80, None).1;
    let after = seen.rsplit("red\r\n").next().unwrap();
    assert!(seen.contains("\x1b[31mred") && after.contains("\x1b[0m"), "{seen:?}");
}
