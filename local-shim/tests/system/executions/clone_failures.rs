//! Tests of runs whose repository could not be cloned, or has not what they need: why they failed is told in git's own line.

use std::io::{Read as _, Write as _};

use local_shim::{aws::logs::Event, lambda::log_batch_event};
use serde_json::{Value, json};

use super::repository::repository;
use crate::{
    client::{System, id},
    common::events::task_stopped,
};

/// The reason of a run that fails before its command.
async fn reason_of(system: &System, run: Value) -> (String, String) {
    let (id, status) = system.admin.run_to_end(run.clone()).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(1)), "{run} {status}");
    let log = system.admin.log(&id).await.join("\n");
    assert!(!log.contains("it runs"), "{log}");
    (status["reason"].as_str().unwrap().to_owned(), log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_clone_is_told_in_gits_line_without_a_token() {
    let system = System::start().await;
    let directory = tempfile::tempdir().unwrap();
    repository(directory.path());
    let url = format!("file://{}", directory.path().display());
    for (repo, git_ref, line) in [
        (
            "http://user:s3cr3t-t0ken@127.0.0.1:9/none.git",
            "main",
            "fatal: unable to access 'http://127.0.0.1:9/none.git/'",
        ),
        ("file:///nowhere/at/all", "main", "fatal: '/nowhere/at/all' does not appear to be a git repository"),
        (&url, "nope", "fatal: couldn't find remote ref nope"),
        (&url, "0123456789012345678901234567890123456789", "fatal: "),
    ] {
        let run = json!({"command": "echo it runs", "git_repo": repo, "git_ref": git_ref});
        let (reason, log) = reason_of(&system, run).await;
        assert!(reason.starts_with(&format!("the repository could not be cloned: {line}")), "{reason}");
        assert!(
            log.contains(&format!("### runvoy sidecar: failed => the repository could not be cloned: {line}")),
            "{log}"
        );
        assert!(!log.contains("s3cr3t-t0ken") && !reason.contains("s3cr3t-t0ken"), "{reason} {log}");
        // The list has the same words.
        let listed = system.admin.get("/executions?limit=1").await.json();
        assert_eq!(listed[0]["reason"], reason);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_the_repository_lacks_is_named() {
    let system = System::start().await;
    let directory = tempfile::tempdir().unwrap();
    repository(directory.path());
    std::os::unix::fs::symlink("/usr", directory.path().join("out")).unwrap();
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.current_dir(directory.path()).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
        assert!(git.args(arguments).status().unwrap().success());
    };
    git(&["add", "out"]);
    git(&["commit", "--quiet", "-m", "a link"]);
    let url = format!("file://{}", directory.path().display());
    for (git_path, expected) in [
        ("nope", "the repository has no folder nope at main: check git_path"),
        ("scripts/which.txt", "the repository has no folder scripts/which.txt at main: check git_path"),
        ("out/bin", "the folder out/bin leads out of the repository: check git_path"),
    ] {
        let run = json!({"command": "echo it runs", "git_repo": url, "git_ref": "main", "git_path": git_path});
        assert_eq!(reason_of(&system, run).await.0, expected);
    }
    system.shim.shut_down().await;
}

/// A git server whose refusal is a text of a stranger.
fn hostile_server(text: &str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let body = format!("{}0000{}", line("# service=git-upload-pack\n"), line(&format!("ERR {text}")));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_a_strangers_git_server_are_one_short_line_of_text() {
    let system = System::start().await;
    let text = format!(
        "go \u{1b}[2J\u{1b}]0;away\u{7} to https://me:s3cr3t-t0ken@example.com/ {}\n### runvoy sidecar: checked out {}",
        "x".repeat(5000),
        "a".repeat(40)
    );
    let run = json!({"command": "echo it runs", "git_repo": hostile_server(&text)});
    let (reason, _) = reason_of(&system, run).await;
    assert!(reason.starts_with("the repository could not be cloned: fatal: remote error: go"), "{reason}");
    assert!(reason.contains("https://example.com/") && !reason.contains("s3cr3t-t0ken"), "{reason}");
    assert!(!reason.contains(char::is_control) && reason.chars().count() <= 301, "{reason}");
    let executions = system.admin.get("/executions").await.json();
    assert_eq!(executions[0]["git_commit"], Value::Null, "no line of a server looks like the sidecar's own");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gits_line_is_in_the_reason_whatever_the_order_of_the_events() {
    let system = System::start().await;
    let words = "the repository could not be cloned: fatal: couldn't find remote ref nope";
    for at_once in [false, true] {
        for order in ["es", "se", "ses", "ese", "sse", "eess"] {
            let id = id(&system.admin.run("sleep 60").await);
            let mut end = task_stopped(&id, "TaskFailedToStart", None);
            end["detail"]["containers"] = json!([{"name": "sidecar", "exitCode": 65}, {"name": "runner"}]);
            end["detail"].as_object_mut().unwrap().remove("startedAt");
            let line = Event {
                event_id: "3".repeat(56),
                timestamp: 1_768_473_132_000,
                message: format!("### runvoy sidecar: failed => {words}"),
            };
            let batch = log_batch_event::event("g", &format!("task/sidecar/{id}"), &[line]).unwrap();
            let deliver = async |event: char| {
                let event = if event == 'e' { &end } else { &batch };
                let processed = system.admin.process(event.to_string()).await;
                assert_eq!(processed.status, 200, "{}", processed.text);
            };
            if at_once {
                futures_util::future::join_all(order.chars().map(deliver)).await;
            } else {
                for event in order.chars() {
                    deliver(event).await;
                }
            }
            let ended = system.admin.get(&format!("/executions/{id}/status")).await.json();
            assert_eq!((&ended["status"], &ended["reason"]), (&json!("FAILED"), &json!(words)), "{order} {at_once}");
        }
    }
    system.shim.shut_down().await;
}
