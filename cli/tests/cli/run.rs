//! Tests of running commands.

use crate::prelude::*;

#[test]
fn a_run_prints_the_lines_of_the_command_and_ends_with_its_exit_code() {
    let system = System::start();
    let output = system.run(&["run", "echo out; echo err >&2; exit 3"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), "out\nerr\n"));
    let own = text(&output.stderr);
    assert!(own.contains("### runvoy runner: command ended, exit code => 3"), "{own}");
    assert!(own.contains("FAILED, exit code 3"), "{own}");

    for (arguments, expected) in [
        (&["run", "echo", "a   b", "$HOME"][..], "a b /"),
        (&["run", "echo 'a   b'"], "a   b"),
        (&["run", "--", "printf", "<%s>", "a   b", "it's", "$HOME", ""], "<a   b><it's><$HOME><>"),
        (&["run", "-e", "STAGE=a=b", "echo $STAGE"], "a=b"),
        (&["run", "--", "true && echo 'a   b'"], "a   b"),
        (&["run", "printf", "%s-%s-%s", "-d", "-o", "--timeout"], "-d--o---timeout"),
        (&["run", "-i", "ubuntu:22.04", "--timeout", "1m", "-p", "", "echo ok"], "ok"),
    ] {
        let printed = system.prints(arguments);
        assert!(printed.starts_with(expected), "{arguments:?}: {printed}");
    }
    assert_eq!(system.run(&["run", "--timeout", "1s", "sleep 60"]).status.code(), Some(124));
    let variable = system
        .command(&["run", "-e", "OTHER=given", "echo $MINE $OTHER"])
        .env("RUNVOY_USER_MINE", "mine")
        .env("RUNVOY_USER_OTHER", "lost")
        .output()
        .unwrap();
    assert_eq!(text(&variable.stdout), "mine given\n");

    std::fs::write(system.home.path().join("script.sh"), "echo of a file\nexit 4\n").unwrap();
    let output = system.run(&["run", "-f", "script.sh"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(4), "of a file\n"));
    let mut child = system.command(&["run", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo of standard input\n").unwrap();
    assert_eq!(text(&end_of(child).stdout), "of standard input\n");
}

#[test]
fn a_run_ends_with_its_command_and_not_with_its_task() {
    for seed in 1..=3 {
        let system = System::start_with(Settings { chaos: Some(seed), ..Settings::ephemeral() });
        system.hold_task_ends(true);
        let output = system.run(&["run", "-o", "json", "for i in $(seq 20); do echo $i; sleep 0.02; done; exit 3"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "seed {seed}: {said}");
        assert!(said.contains("FAILED, exit code 3") && !said.contains("ended with exit code 3"), "{said}");
        let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut printed: Vec<u32> = lines.iter().filter_map(|line| line["message"].as_str()?.parse().ok()).collect();
        printed.sort_unstable();
        assert_eq!(printed, (1..=20).collect::<Vec<u32>>(), "seed {seed}");
        let last = lines.last().unwrap();
        assert_eq!((&last["status"], &last["exit_code"]), (&json!("FAILED"), &json!(3)));
        let id = last["execution_id"].as_str().unwrap();
        let status = system.json(&["status", id, "-o", "json"]);
        // Under chaos, the event that the task runs may come later.
        assert!(["STARTING", "RUNNING"].contains(&status["status"].as_str().unwrap()), "seed {seed}: {status}");
        assert_eq!(status["ending"]["exit_code"], 3, "seed {seed}: {status}");
        assert!(system.prints(&["status", id]).contains("the command ended with exit code 3"));
        system.hold_task_ends(false);
        assert_eq!(system.run(&["status", "--wait", id]).status.code(), Some(3));
    }
}

#[test]
fn an_execution_is_started_found_watched_and_stopped() {
    let system = System::start();
    let id = system.prints(&["run", "--detach", "echo first; sleep 600"]);
    let id = id.strip_suffix('\n').unwrap();
    assert_eq!(id.len(), 32, "nothing but the id: {id:?}");
    let list = system.prints(&["list"]);
    assert!(list.lines().nth(1).unwrap().contains(id), "{list}");
    assert_eq!(system.prints(&["list", "--status", "failed"]), "");
    let mut following = system.command(&["logs", "-f", id]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(following.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "first\n");
    assert_eq!(system.prints(&["logs", id]), "first\n");
    let stamped = system.prints(&["logs", "--timestamps", id]);
    assert!(stamped.starts_with("20") && stamped.ends_with("Z first\n"), "{stamped}");
    assert!(system.run(&["kill", id]).status.success());
    assert_eq!(end_of(following).status.code(), Some(130));
    assert_eq!(system.run(&["status", "--wait", id]).status.code(), Some(130));
    let status = system.json(&["status", id, "-o", "json"]);
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("STOPPED"), &json!(130)));
    assert!(system.run(&["kill", id]).status.success(), "to stop it again changes nothing");
    assert_eq!(system.run(&["kill", "0123456789abcdef0123456789abcdef"]).status.code(), Some(125));
}

#[test]
fn a_run_is_sent_again_as_the_same_run() {
    let started = json!({"execution_id": "abc", "log_url": "", "command": "true", "image_id": "", "websocket_url": "", "status": "STARTING"});
    // 0 closes the connection without an answer.
    let answers = [503, 429, 0, 502, 504].map(|status| (status, "{}".to_owned()));
    let answers = answers.into_iter().chain([(202, started.to_string())]).collect();
    let (endpoint, heads) = canned(answers);
    let home = tempfile::tempdir().unwrap();
    let output = bare(home.path(), &["run", "-d", "true"])
        .env("RUNVOY_ENDPOINT", endpoint)
        .env("RUNVOY_API_KEY", "k")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "abc\n", "{}", text(&output.stderr));
    let keys: Vec<String> = heads
        .lock()
        .unwrap()
        .iter()
        .map(|head| head.lines().find(|line| line.starts_with("idempotency-key: ")).unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 6);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn programs_read_each_line_as_json() {
    let system = System::start();
    let output = system.run(&["run", "-o", "json", "echo \"a b\"; exit 2"]);
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "a b" && line["event_id"].is_string()), "{lines:?}");
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    assert!(first["status"] == "STARTING" && first["execution_id"] == last["execution_id"], "{first}");
    assert_eq!((&last["status"], &last["exit_code"]), (&json!("FAILED"), &json!(2)));
    for _ in 0..12 {
        system.prints(&["run", "-d", "true"]);
    }
    assert_eq!(system.json(&["list", "--limit", "0", "-o", "json"]).as_array().unwrap().len(), 13);
    let dry = system.json(&["run", "--dry-run", "-e", "A=1", "true"]);
    assert_eq!(dry, json!({"command": "true", "env": {"A": "1"}}));
}

#[test]
fn a_redirection_carries_neither_key_nor_secret_to_another_place() {
    let (elsewhere, seen) = canned(vec![(200, "{}".to_owned())]);
    let home = tempfile::tempdir().unwrap();
    for status in [301, 302, 303, 307, 308] {
        for arguments in [&["secrets", "create", "db", "DB", "hush"][..], &["list"], &["run", "true"]] {
            let location = format!("Location: {elsewhere}/login?next=1\r\n");
            let (endpoint, _) = canned_with_headers(vec![(status, location, String::new())]);
            let mut command = bare(home.path(), arguments);
            let output = command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k").output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(125), "{status} {arguments:?}: {said}");
            assert!(said.contains(&format!("leads to {elsewhere}/login")), "{said}");
            assert!(output.stdout.is_empty());
        }
    }
    assert!(seen.lock().unwrap().is_empty(), "{seen:?}");
}

#[test]
fn a_redirection_on_the_same_origin_is_followed_for_reading_only() {
    let home = tempfile::tempdir().unwrap();
    let moved = || (308, "Location: /v2/api/v1/x\r\n".to_owned(), String::new());
    let ask = |arguments: &[&str]| {
        let (endpoint, heads) = canned_with_headers(vec![moved(), (200, String::new(), "[]".to_owned())]);
        let mut command = bare(home.path(), arguments);
        let output = command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k").output().unwrap();
        (output.status.code(), heads.lock().unwrap().len())
    };
    assert_eq!(ask(&["list"]), (Some(0), 2));
    assert_eq!(ask(&["kill", "x"]), (Some(125), 1));
}

#[test]
fn an_answer_that_is_not_runvoys_is_no_success() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["secrets", "create", "db", "DB", "v"][..],
        &["secrets", "get", "db"],
        &["users", "create", "a@b.c", "--role", "viewer"],
        &["users", "revoke", "a@b.c"],
    ] {
        let (endpoint, _) = canned(vec![(200, "{}".to_owned())]);
        let mut command = bare(home.path(), arguments);
        let output = command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k").output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {}", text(&output.stdout));
    }
}

#[test]
fn a_refused_connection_has_started_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut command = bare(home.path(), &["run", "true"]);
    command.env("RUNVOY_ENDPOINT", format!("http://127.0.0.1:{}", free_port())).env("RUNVOY_API_KEY", "k");
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(125));
    assert!(said.contains("cannot be reached") && !said.contains("may have been started"), "{said}");
}

#[test]
fn an_execution_is_named_by_the_beginning_of_its_id_or_as_the_last() {
    let system = System::start();
    let first = system.prints(&["run", "-d", "echo first"]).trim().to_owned();
    let last = system.prints(&["run", "-d", "echo last"]).trim().to_owned();
    for id in [&first, &last] {
        system.prints(&["status", "--wait", &id[..12]]);
    }
    assert_eq!(system.prints(&["logs", &first[..12]]), "first\n");
    assert_eq!(system.prints(&["logs", "@last"]), "last\n");
    assert_eq!(system.prints(&["logs"]), "last\n");
    assert!(system.prints(&["status"]).contains(&last));
    assert_eq!(system.json(&["kill", &last, "-o", "json"])["execution_id"], last);
    let negative = text(&system.run(&["list", "--limit", "-1"]).stderr);
    assert!(negative.contains("it wants a number"), "{negative}");
    assert_eq!(system.json(&["status", "@last", "-o", "json"])["execution_id"], last);
    let unknown = system.run(&["status", "0000"]);
    assert!(text(&unknown.stderr).contains("begins with 0000"), "{}", text(&unknown.stderr));
    let described = system.prints(&["describe", &first[..12]]);
    for words in ["id ", "command echo first", "took ", "/logs?execution_id="] {
        assert!(described.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{words}: {described}");
    }
    assert!(!described.contains('{'), "no JSON: {described}");
    assert!(described.lines().all(|line| line.split_whitespace().count() > 1), "no empty fields: {described}");
    assert!(text(&system.run(&["open", "nope"]).stderr).contains("there is no execution"));
    let opened = system.command(&["open"]).env("BROWSER", "true").output().unwrap();
    assert_eq!(text(&opened.stdout), format!("{}/logs?execution_id={last}\n", system.endpoint));
}

#[test]
fn a_list_has_what_is_asked_for() {
    let system = System::start();
    system.prints(&["images", "register", "tool:1"]);
    let plain = system.prints(&["run", "-d", "true"]);
    let tool = system.prints(&["run", "-d", "-i", "tool:1", "true"]);
    for (arguments, expected) in [
        (&["ps", "-q", "--mine"][..], format!("{tool}{plain}")),
        (&["ls", "-q", "--image", "tool:1"], tool.clone()),
        (&["list", "-q", "--image", "tool", "--limit", "0"], tool.clone()),
        (&["list", "-q", "--limit", "1"], tool.clone()),
        (&["list", "-q", "--since", "1h"], format!("{tool}{plain}")),
        (&["list", "-q", "--since", "2999-01-01T00:00:00Z"], String::new()),
        (&["list", "-q", "--user", "nobody@example.com"], String::new()),
    ] {
        assert_eq!(system.prints(arguments), expected, "{arguments:?}");
    }
    assert!(system.prints(&["list"]).lines().next().unwrap().contains("TOOK"));
}

#[test]
fn an_execution_runs_once_more_from_its_record() {
    let system = System::start();
    system.prints(&["images", "register", "tool:1"]);
    system.prints(&["run", "-i", "tool:1", "echo again"]);
    let output = system.run(&["rerun"]);
    assert_eq!(text(&output.stdout), "again\n", "{}", text(&output.stderr));
    let list = system.json(&["list", "-o", "json"]);
    assert_eq!(list[0]["image_id"], list[1]["image_id"]);
    let editor = system.home.path().join("editor.sh");
    std::fs::write(&editor, "#!/bin/sh\necho 'echo edited' >\"$2\"\n").unwrap();
    let edited =
        system.command(&["rerun", "--edit"]).env("EDITOR", format!("sh {} --wait", editor.display())).output().unwrap();
    assert_eq!(text(&edited.stdout), "edited\n", "{}", text(&edited.stderr));
    // Values are kept, except those of variables whose names say that they are secrets.
    system.prints(&["run", "-i", "tool:1", "-e", "STAGE=test", "-e", "API_TOKEN=hush", "echo $STAGE $API_TOKEN"]);
    let refused = system.run(&["rerun"]);
    assert!(
        text(&refused.stderr).contains("API_TOKEN") && !text(&refused.stderr).contains("STAGE"),
        "{}",
        text(&refused.stderr)
    );
    let again = system.run(&["rerun", "-e", "API_TOKEN=given"]);
    assert_eq!(text(&again.stdout), "test given\n", "{}", text(&again.stderr));
    system.prints(&["run", "-i", "tool:1", "--lock", "two", "--slots", "2", "--queue", "true"]);
    let again = system.json(&["rerun", "--dry-run"]);
    // The lock has its slots, which may have been changed since.
    assert_eq!((&again["lock"], again.get("slots")), (&json!(["two"]), None), "{again}");
    assert_eq!(again["on_conflict"], "queue", "{again}");
}

#[test]
fn variables_come_from_files_and_from_the_environment() {
    let system = System::start();
    let file = system.home.path().join("job.env");
    std::fs::write(&file, "\u{feff}# a comment\nA=\"of the file\"\nB=\"two\nlines\"\nC=file\nD=a$MINE\n").unwrap();
    let arguments = ["run", "--dry-run", "--env-file", "job.env", "-e", "C=given", "-e", "MINE", "true"];
    let output = system.command(&arguments).env("MINE", "of here").output().unwrap();
    let body: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        body["env"],
        json!({"A": "of the file", "B": "two\nlines", "C": "given", "D": "a$MINE", "MINE": "of here"})
    );
    assert_eq!(system.run(&["run", "-e", "NOT_SET_HERE", "true"]).status.code(), Some(125));
    std::fs::write(&file, "hush hush\n").unwrap();
    let wrong = system.run(&arguments[..4].iter().chain(&["true"]).copied().collect::<Vec<_>>());
    assert!(
        text(&wrong.stderr).contains("job.env") && !text(&wrong.stderr).contains("hush"),
        "{}",
        text(&wrong.stderr)
    );
}

#[test]
fn waiting_for_an_end_survives_a_server_that_is_away() {
    let port = free_port();
    let data = tempfile::tempdir().unwrap();
    let settings =
        || Settings { orchestrator_port: port, data_dir: Some(data.path().to_owned()), ..Settings::ephemeral() };
    let mut system = System::start_with(settings());
    let id = system.prints(&["run", "-d", "exit 3"]);
    assert_eq!(system.run(&["status", "--wait", id.trim()]).status.code(), Some(3));
    let shim = system.shim.take().unwrap();
    system.runtime.block_on(shim.shut_down());
    let mut waiting = system.command(&["status", "--wait", id.trim()]).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(waiting.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("trying again until the execution ends"), "{said}");
    system.shim = Some(system.runtime.block_on(Shim::start(settings())).unwrap());
    assert_eq!(end_of(waiting).status.code(), Some(3));
}

#[test]
fn input_that_the_command_does_not_get_is_told() {
    let system = System::start();
    let said = |stdin: Stdio| text(&system.command(&["run", "--dry-run", "cat"]).stdin(stdin).output().unwrap().stderr);
    let piped = |stdin: Stdio| {
        let mut child = system.command(&["run", "cat"]).stdin(stdin).spawn().unwrap();
        drop(child.stdin.take());
        text(&end_of(child).stderr)
    };
    assert!(piped(Stdio::piped()).contains("does not get this standard input"));
    assert!(!said(Stdio::null()).contains("standard input"));
}

#[test]
fn a_run_waits_for_others_by_the_beginning_of_an_id_and_says_why_it_never_starts() {
    let system = System::start();
    let gate = system.home.path().join("gate");
    let command = format!("until [ -e {} ]; do sleep 0.02; done; exit 3", gate.display());
    let first = system.prints(&["run", "--detach", &command]).trim().to_owned();
    let mut child = system.command(&["run", "--after", &first[..8], "echo never"]).spawn().unwrap();
    let dry = system.prints(&["run", "--dry-run", "--after", &first, "--if", "ended", "--deadline", "2h", "true"]);
    let dry: serde_json::Value = serde_json::from_str(&dry).unwrap();
    assert_eq!(
        (&dry["after"], &dry["if"], &dry["deadline"]),
        (&serde_json::json!([first]), &"ended".into(), &7200.into())
    );
    let mut own = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("queued for") {
        assert!(own.read_line(&mut said).unwrap() > 0, "{said}");
    }
    assert!(said.contains(&format!("queued for execution {first}")), "{said}");
    let after_any =
        system.prints(&["run", "--detach", "--after", &first, "--if", "ended", "echo any"]).trim().to_owned();
    std::fs::write(&gate, "").unwrap();
    own.read_to_string(&mut said).unwrap();
    let ended = end_of(child);
    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(1), ""), "{said}");
    assert!(said.contains("had to succeed first, ended as FAILED"), "{said}");
    assert_eq!(system.prints(&["logs", "-f", &after_any]), "any\n");
    let unknown = system.run(&["run", "--after", &"0".repeat(32), "true"]);
    assert!(text(&unknown.stderr).contains("there is no execution"), "{}", text(&unknown.stderr));
}

#[test]
fn a_run_is_followed_through_all_its_attempts_and_ends_as_the_last_one() {
    let system = System::start();
    let dry =
        system.prints(&["run", "--dry-run", "--retry", "3", "--retry-on", "exit,start", "--retry-backoff", "1m", "x"]);
    let dry: serde_json::Value = serde_json::from_str(&dry).unwrap();
    assert_eq!(dry["retry"], serde_json::json!({"attempts": 3, "on": ["exit", "start"], "backoff": 60}));
    let count = system.home.path().join("count");
    let command = format!("echo x >> {0}; echo attempt $(($(wc -l < {0}))); exit 3", count.display());
    let ended = system.run(&["run", "--retry", "2", "--retry-backoff", "1s", &command]);
    let said = text(&ended.stderr);
    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(3), "attempt 1\nattempt 2\n"), "{said}");
    let mark = "### runvoy attempt: 2 of 2 begins after attempt 1 failed: the command ended with exit code 3";
    assert!(said.contains(mark), "{said}");
    let described = system.prints(&["describe", "@last"]);
    for field in [
        "2 attempts, 1 s apart, after capacity, spot, start, exit",
        "1: the command ended with exit code 3 (exit, after",
    ] {
        assert!(described.contains(field), "{described}");
    }
    let again = system.prints(&["rerun", "--dry-run", "@last"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&again).unwrap()["retry"]["attempts"], 2);
    let refused = system.run(&["run", "--retry", "11", "true"]);
    assert!(text(&refused.stderr).contains("11 is not in 1..=10"), "{}", text(&refused.stderr));
    let playbook = system.home.path().join("sync.yaml");
    std::fs::write(&playbook, "retry: {attempts: 4, on: [start], backoff: 5m}\ncommands: [\"true\"]\n").unwrap();
    let file = playbook.to_str().unwrap();
    for (more, retry) in [
        (&[][..], serde_json::json!({"attempts": 4, "on": ["start"], "backoff": 300})),
        (&["--retry", "2"], serde_json::json!({"attempts": 2, "on": ["start"], "backoff": 300})),
    ] {
        let dry = system.prints(&[&["playbook", "run", "--dry-run", file][..], more].concat());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&dry).unwrap()["retry"], retry, "{more:?}");
    }
}
