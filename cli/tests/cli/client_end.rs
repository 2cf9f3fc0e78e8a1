//! Tests of what becomes of an execution when the program ends before it.

use crate::prelude::*;

#[test]
fn ctrl_c_stops_the_execution_and_waits_for_its_last_lines() {
    let system = System::start();
    for name in ["-INT", "-QUIT", "-TERM", "-HUP"] {
        let mut child =
            system.command(&["run", "trap 'echo bye; exit' TERM; echo up; sleep 600 & wait"]).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        signal(&child, name);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "bye\n", "{name}");
        assert_eq!(end_of(child).status.code(), Some(130), "{name}");
    }
    let list = system.json(&["list", "-o", "json"]);
    assert!(list.as_array().unwrap().iter().all(|execution| execution["status"] == "STOPPED"), "{list}");

    let mut child = system.command(&["run", "--on-interrupt", "detach", "echo up; sleep 600"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    signal(&child, "-INT");
    let output = end_of(child);
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stderr).contains("runvoy logs -f"), "{}", text(&output.stderr));
    assert_eq!(system.json(&["list", "-o", "json", "--limit", "1"])[0]["status"], "RUNNING");
}

#[test]
fn a_second_ctrl_c_leaves_at_once_and_says_how_to_come_back() {
    let system = System::start();
    let mut child = system.command(&["run", "trap '' TERM; echo up; sleep 5; sleep 5"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    signal(&child, "-INT");
    let mut own = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("stopping the execution") {
        assert!(own.read_line(&mut said).unwrap() > 0, "{said}");
    }
    signal(&child, "-INT");
    let interrupted = Instant::now();
    own.read_to_string(&mut said).unwrap();
    assert_eq!(end_of(child).status.code(), Some(130));
    assert!(interrupted.elapsed() < Duration::from_secs(3), "{:?}", interrupted.elapsed());
    assert!(said.contains("runvoy logs -f") || said.contains("runvoy kill"), "{said}");
}

/// Waits until the newest execution has a status.
fn wait_for_status(system: &System, status: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let now = system.json(&["list", "-o", "json", "--limit", "1"])[0]["status"].clone();
        if now == status {
            return;
        }
        assert!(Instant::now() < deadline, "{now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_reader_that_leaves_ends_the_execution_as_a_signal_does() {
    let system = System::start();
    for (option, status, words) in [
        ("--on-interrupt=stop", "STOPPED", "the execution is being stopped; see how it ends: runvoy logs -f "),
        ("--on-interrupt=detach", "RUNNING", "the execution goes on; come back to it: runvoy logs -f "),
    ] {
        let mut child = system.command(&["run", option, "while echo line; do sleep 0.1; done"]).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        drop(out);
        let output = end_of(child);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(141), "{said}");
        assert!(said.contains(words) && !said.contains("panicked"), "{said}");
        assert_eq!(said.matches("runvoy logs -f").count(), 1, "it is said once: {said}");
        wait_for_status(&system, status);
    }
}

#[test]
fn a_reader_of_standard_error_that_leaves_is_no_panic() {
    let system = System::start();
    let mut child = system.command(&["run", "while echo line; do sleep 0.1; done"]).spawn().unwrap();
    let mut own = BufReader::new(child.stderr.take().unwrap());
    own.read_line(&mut String::new()).unwrap();
    drop(own);
    // The next message is one about the signal.
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    signal(&child, "-INT");
    std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    let code = end_of(child).status.code();
    assert!(matches!(code, Some(130 | 141)), "{code:?}");
    wait_for_status(&system, "STOPPED");

    let status = system.command(&["list"]).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_full_disk_ends_the_execution_and_is_told() {
    let system = System::start();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let child = system.command(&["run", "while echo line; do sleep 0.1; done"]).stdout(full()).spawn().unwrap();
    let output = end_of(child);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("standard output cannot be written") && said.contains("is being stopped"), "{said}");
    wait_for_status(&system, "STOPPED");

    let child = system.command(&["run", "while echo line; do sleep 0.1; done"]).stderr(full()).spawn().unwrap();
    assert_eq!(end_of(child).status.code(), Some(125));
    wait_for_status(&system, "STOPPED");

    for arguments in [&["--help"][..], &["list"], &["completions", "bash"]] {
        let output = system.command(arguments).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        assert!(text(&output.stderr).contains("standard output cannot be written"), "{arguments:?}");
    }

    let output = system.command(&["run", "-d", "sleep 600"]).stdout(full()).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("the execution goes on; come back to it: runvoy logs -f "), "{said}");
}

#[test]
fn a_signal_while_a_server_hangs_ends_the_program_soon() {
    for name in ["-INT", "-QUIT", "-TERM", "-HUP"] {
        let (endpoint, requests) = hanging();
        let home = tempfile::tempdir().unwrap();
        let mut command = bare(home.path(), &["run", "true"]);
        let child = command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k").spawn().unwrap();
        requests.recv_timeout(Duration::from_secs(20)).unwrap();
        signal(&child, name);
        let begun = Instant::now();
        let output = end_of(child);
        assert!(begun.elapsed() < Duration::from_secs(15), "{name}: {:?}", begun.elapsed());
        assert_eq!(output.status.code(), Some(130), "{name}");
        assert!(text(&output.stderr).contains("may have been started"), "{name}: {}", text(&output.stderr));
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_server_that_hangs() {
    let (endpoint, requests) = hanging();
    let home = tempfile::tempdir().unwrap();
    let mut command = bare(home.path(), &["run", "true"]);
    let mut child = command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k").spawn().unwrap();
    requests.recv_timeout(Duration::from_secs(20)).unwrap();
    signal(&child, "-INT");
    let mut own = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    own.read_line(&mut said).unwrap();
    assert!(said.contains("again to leave at once"), "{said}");
    signal(&child, "-INT");
    let begun = Instant::now();
    own.read_to_string(&mut said).unwrap();
    assert_eq!(end_of(child).status.code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}: {said}", begun.elapsed());
}

#[test]
fn a_local_system_that_stops_ends_its_run_and_not_the_program() {
    let mut system = System::start();
    let mut child = system.command(&["run", "echo up; sleep 600"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    let shim = system.shim.take().unwrap();
    system.runtime.block_on(shim.shut_down());
    let output = end_of(child);
    let said = text(&output.stderr);
    assert!(said.contains("STOPPED") || said.contains("FAILED"), "{said}");
    assert_ne!(output.status.code(), Some(125), "{said}");
}

#[test]
#[cfg(unix)]
fn a_signal_at_a_hidden_question_leaves_the_terminal_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = "http://127.0.0.1:9";
    for arguments in [&["secrets", "create", "x", "X"][..], &["configure", "--endpoint", endpoint]] {
        let (program, person) = terminal(80);
        let mut command = bare(home.path(), arguments);
        if arguments[0] == "secrets" {
            command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k");
        }
        command.stdin(program.try_clone().unwrap()).stdout(Stdio::null()).stderr(program.try_clone().unwrap());
        let child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_hidden(&person) {
            assert!(Instant::now() < deadline, "{arguments:?} asks nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(&child, "-INT");
        assert_eq!(end_of(child).status.code(), Some(130), "{arguments:?}");
        assert!(!is_hidden(&program), "{arguments:?}: what is typed is not shown any more");
    }
}
