//! The world in which a command runs: its shell, its variables, its signals, and the files of its repository.

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::System;

/// Runs a command to its end. Returns its status, its exit code, and its own lines.
async fn run(system: &System, body: Value) -> (String, i64, Vec<String>) {
    let (id, status) = system.admin.run_to_end(body).await;
    let log = system.admin.log(&id).await;
    let is_own = |line: &String| !line.starts_with("### ") && !line.is_empty();
    let own = log.into_iter().filter(is_own).collect();
    (status["status"].as_str().unwrap().to_owned(), status["exit_code"].as_i64().unwrap(), own)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_as_sh_with_e_runs_it() {
    let system = System::start().await;
    for (command, status, code, own) in [
        ("echo one\nfalse\necho never", "FAILED", 1, vec!["one"]),
        ("set +e\nfalse\necho after", "SUCCEEDED", 0, vec!["after"]),
        ("if false; then echo never; fi; false || echo else", "SUCCEEDED", 0, vec!["else"]),
        ("echo one\r\necho two\r\n", "SUCCEEDED", 0, vec!["one", "two"]),
        ("exit 300", "FAILED", 44, vec![]),
        ("echo \"$0\" \"$#\"", "SUCCEEDED", 0, vec!["/bin/sh 0"]),
        ("echo 'no line end at the end'", "SUCCEEDED", 0, vec!["no line end at the end"]),
        ("read line || echo closed", "SUCCEEDED", 0, vec!["closed"]),
    ] {
        let (found, exit_code, lines) = run(&system, json!({"command": command})).await;
        assert_eq!((found.as_str(), exit_code), (status, code), "{command:?}: {lines:?}");
        assert_eq!(lines, own, "{command:?}");
    }
    for command in ["-x", "+x", "--version", "-c 'echo never'"] {
        let (status, code, lines) = run(&system, json!({"command": command})).await;
        assert_eq!((status.as_str(), code), ("FAILED", 127), "{command:?}: {lines:?}");
        assert!(lines.iter().any(|line| line.contains("not found")), "{command:?}: {lines:?}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_has_its_variables_whatever_their_names() {
    let system = System::start().await;
    let names =
        ["timeout", "workspace", "command", "name", "value", "status", "child", "code", "i", "line", "dir", "repo"];
    let env: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!("mine"))).collect();
    let command = names.iter().map(|name| format!("echo \"{name}=${name}\"")).collect::<Vec<_>>().join("\n");
    let (_, _, lines) = run(&system, json!({"command": command, "env": env, "timeout": 60})).await;
    assert_eq!(lines, names.map(|name| format!("{name}=mine")));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_can_catch_every_signal() {
    // The program listens to these, so that its commands have their default disposition even where it does not, as under `nohup`.
    let _listening =
        [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()].map(|kind| signal(kind).unwrap());
    let system = System::start().await;
    for signal in ["INT", "QUIT", "HUP", "TERM", "USR1", "PIPE"] {
        let command = format!("trap 'echo caught {signal}; exit 7' {signal}; kill -{signal} $$; sleep 5; echo never");
        let (_, code, lines) = run(&system, json!({"command": command})).await;
        assert_eq!((code, lines), (7, vec![format!("caught {signal}")]), "{signal}");
    }
    system.shim.shut_down().await;
}

fn repository(directory: &Path, files: &[(&str, &str)]) -> String {
    for (name, text) in files {
        std::fs::write(directory.join(name), text).unwrap();
    }
    for arguments in [&["init", "--quiet"][..], &["add", "."], &["commit", "--quiet", "-m", "one"]] {
        let done = Command::new("git")
            .current_dir(directory)
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .status();
        assert!(done.unwrap().success(), "{arguments:?}");
    }
    format!("file://{}", directory.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_are_in_a_file_that_shells_and_dotenv_libraries_read_alike() {
    let system = System::start().await;
    let env = json!({"MY_VAR": "1234567890", "BLANK": "a b", "DOLLAR": "$HOME", "QUOTE": "it's", "EMPTY": ""});
    let (_, _, lines) = run(&system, json!({"command": "sort .env", "env": env})).await;
    assert_eq!(lines, ["BLANK='a b'", "DOLLAR='$HOME'", "EMPTY=", "MY_VAR=1234567890", "QUOTE=\"it's\""]);

    let directory = tempfile::tempdir().unwrap();
    let url = repository(directory.path(), &[(".env", "OWN=1\nMY_VAR=of the repository")]);
    let body = json!({"command": "cat .env", "env": {"MY_VAR": "1234567890"}, "git_repo": url});
    let (id, _) = system.admin.run_to_end(body).await;
    let log = system.admin.log(&id).await;
    let at = log.iter().position(|line| line == "OWN=1").unwrap_or_else(|| panic!("{log:#?}"));
    assert_eq!(log[at..at + 3], ["OWN=1", "MY_VAR=of the repository", "MY_VAR=1234567890"]);
    assert!(log.iter().any(|line| line.contains("the repository has a file .env")), "{log:#?}");
    system.shim.shut_down().await;
}

/// What a repository's links lead to is the user's who runs it, and not the repository's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_links_of_a_repository_lead_no_write_and_no_command_out_of_it() {
    let system = System::start().await;
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("authorized_keys");
    std::fs::write(&target, "before").unwrap();
    for name in [".env", ".env.runvoy"] {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&target, directory.path().join(name)).unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("out")).unwrap();
        let url = repository(directory.path(), &[("file", "of the repository")]);
        let body = json!({"command": "cat .env; ls -l .env", "env": {"A": "1"}, "git_repo": url});
        let (id, status) = system.admin.run_to_end(body).await;
        let log = system.admin.log(&id).await.join("\n");
        assert_eq!((status["exit_code"].clone(), log.contains("A=1")), (json!(0), true), "{name}: {log}");
        assert!(!log.contains("before") && !log.contains("->"), "{name}: {log}");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "before", "{name}");
        let body = json!({"command": "pwd", "git_repo": url, "git_path": "out"});
        let (id, status) = system.admin.run_to_end(body).await;
        assert_eq!(status["exit_code"], 1);
        assert!(system.admin.log(&id).await.join("\n").contains("leads out of the repository"));
    }
    system.shim.shut_down().await;
}
