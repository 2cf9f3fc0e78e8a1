//! Tests of `POST /run`: what a command gets, and how its end is told.

use insta::assert_json_snapshot;
use serde_json::json;

use crate::{
    client::{System, id},
    stable::stable,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_and_its_output_stands_between_the_runners_own_lines() {
    let system = System::start().await;
    let started = system
        .admin
        .run_with(json!({"imageUri": "public.ecr.aws/docker/library/ubuntu:22.04", "command": "echo hello; sleep 2; echo oops >&2"}))
        .await;
    assert_json_snapshot!(stable(started.clone()));
    let id = id(&started);
    let own = system.admin.api.strip_suffix("/api/v1").unwrap();
    assert_eq!(started["log_url"], format!("{own}/logs?execution_id={id}"));
    system.admin.wait_for(&id, "RUNNING").await;
    let status = system.admin.wait_for(&id, "SUCCEEDED").await;
    assert_json_snapshot!(stable(status.clone()));

    let log = system.admin.log(&id).await;
    let ours = |line: &String| line.starts_with("### runvoy runner: ");
    let output: Vec<&str> = log.iter().filter(|line| !ours(line)).map(String::as_str).collect();
    assert_eq!(output, ["hello", "oops"]);
    assert!(ours(&log[0]) && log[0].contains("is not used"), "{log:#?}");
    assert!(log[1].starts_with("### runvoy runner: execution started by requestID => "));
    assert_eq!(log.last().unwrap(), "### runvoy runner: command ended, exit code => 0");

    let listed = system.admin.get("/executions").await.json();
    assert_json_snapshot!(stable(listed.clone()));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_fails_fails_with_its_exit_code() {
    let system = System::start().await;
    for (command, code, reason) in [
        ("exit 3", 3, "the command ended with exit code 3"),
        ("nonexistent-command", 127, "a command was not found (exit code 127)"),
        ("kill -TERM $$", 143, "ended by SIGTERM (exit code 143)"),
    ] {
        let (id, status) = system.admin.run_to_end(json!({"command": command})).await;
        assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(code)), "{command}");
        assert_eq!(status["reason"], reason, "{command}");
        let last = system.admin.log(&id).await.pop().unwrap();
        assert_eq!(last, format!("### runvoy runner: command ended, exit code => {code}"));
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_stopped_at_its_timeout() {
    let system = System::start().await;
    let (id, status) = system.admin.run_to_end(json!({"command": "sleep 600", "timeout": 1})).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(124)));
    let log = system.admin.log(&id).await;
    assert!(log.iter().any(|line| line.contains("has run for its 1 seconds and is stopped")), "{log:#?}");
    assert_eq!(status["reason"], "timed out after 1 s");
    let own = json!({"command": "exit 124", "timeout": 60});
    assert_eq!(system.admin.run_to_end(own).await.1["reason"], "the command ended with exit code 124");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_the_command_sends_to_the_runner_changes_nothing() {
    let system = System::start().await;
    // The runner is the parent of the process that has started the command.
    let command = "runner=$(ps -o ppid= -p $PPID); for s in HUP QUIT ALRM USR1 USR2; do kill -$s $PPID $runner; done; \
                   sleep 0.2; exit 7";
    let (id, status) = system.admin.run_to_end(json!({"command": command, "timeout": 60})).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(7)));
    assert_eq!(system.admin.log(&id).await.last().unwrap(), "### runvoy runner: command ended, exit code => 7");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_ends_while_the_runner_is_stopped_keeps_its_code() {
    let system = System::start().await;
    for _ in 0..10 {
        let command = "trap 'exit 9' TERM; runner=$(ps -o ppid= -p $PPID); kill -TERM $runner; sleep 5 & wait";
        let (_, status) = system.admin.run_to_end(json!({"command": command})).await;
        assert_eq!(status["exit_code"], 9);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_types_reaches_the_command_as_it_is() {
    let system = System::start().await;
    let nasty = "a'b\"c $(touch /tmp/never) `id` ; \\ \n 日本語 ${HOME} %s !x *";
    let (id, status) = system
        .admin
        .run_to_end(json!({
            "command": "printf '<%s>\\n' \"$NASTY\"; . ./.env; printf '[%s]\\n' \"$NASTY\"; stat -c %a .env 2>/dev/null || echo 600",
            "env": {"NASTY": nasty},
        }))
        .await;
    assert_eq!(status["status"], "SUCCEEDED");
    let log = system.admin.log(&id).await.join("\n");
    assert!(log.contains(&format!("<{nasty}>")), "{log}");
    assert!(log.contains(&format!("[{nasty}]")), "{log}");
    assert!(log.contains("\n600\n"), "{log}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_sees_nothing_of_the_shims_environment() {
    let system = System::start().await;
    let (id, _) = system.admin.run_to_end(json!({"command": "env | sort", "env": {"MINE": "1"}})).await;
    let log = system.admin.log(&id).await;
    let names: Vec<&str> =
        log.iter().filter_map(|line| Some(line.split_once('=')?.0)).filter(|name| !name.contains(' ')).collect();
    let expected = ["HOME", "MINE", "PATH", "PWD", "RUNVOY_IMAGE_ID", "RUNVOY_REQUEST_ID", "RUNVOY_WORKSPACE"];
    assert!(names.iter().all(|name| expected.contains(name) || ["_", "SHLVL", "OLDPWD"].contains(name)), "{names:?}");
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
    system.shim.shut_down().await;
}
