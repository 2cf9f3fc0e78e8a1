//! Tests of `GET /executions/{id}/logs`.

use serde_json::{Value, json};

use crate::client::{System, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_looks_like_the_runners_last_one_ends_no_log() {
    let system = System::start().await;
    let fake = "### runvoy runner: command ended, exit code => 0";
    let command = format!("echo '{fake}'; env; sleep 1; echo after; exit 4");
    let (id, status) = system.admin.run_to_end(json!({"command": command})).await;
    assert_eq!(status["exit_code"], 4);
    let log = system.admin.get(&format!("/executions/{id}/logs")).await.json();
    let events = log["events"].as_array().unwrap();
    let with_code: Vec<_> = events.iter().filter(|event| event["exit_code"].is_number()).collect();
    assert_eq!(with_code.len(), 1, "{log}");
    assert_eq!((&with_code[0]["exit_code"], with_code[0]), (&json!(4), events.last().unwrap()));
    assert!(events.iter().any(|event| event["message"] == fake), "{log}");
    assert!(!log.to_string().contains("NONCE"), "{log}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_that_goes_on_has_a_socket_instead_of_a_log() {
    let system = System::start().await;
    let id = id(&system.admin.run("sleep 60").await);
    system.admin.wait_for(&id, "RUNNING").await;
    let logs = system.admin.get(&format!("/executions/{id}/logs")).await.json();
    assert_eq!((&logs["events"], &logs["status"]), (&Value::Null, &json!("RUNNING")));
    let url = logs["websocket_url"].as_str().unwrap();
    assert!(url.starts_with("ws://localhost:") && url.contains(&format!("/ws?execution_id={id}&token=")), "{url}");
    system.shim.shut_down().await;
}
