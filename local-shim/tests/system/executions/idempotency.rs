//! Tests of the header `Idempotency-Key` of `POST /run`.

use axum::http::Method;
use serde_json::json;

use crate::{
    client::{System, id},
    program::Program,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_runs_a_command_once() {
    let system = System::start().await;
    let body = json!({"command": "echo once"}).to_string();
    let keyed = |body: String| system.admin.request(Method::POST, "/run", &[("idempotency-key", "k1")], body);
    let answers = futures_util::future::join_all((0..8).map(|_| keyed(body.clone()))).await;
    for answer in &answers {
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(answer.text, answers[0].text);
    }
    let other = keyed(json!({"command": "echo twice"}).to_string()).await;
    assert_eq!((other.status.as_u16(), &other.json()["code"]), (409, &json!("CONFLICT")));
    assert_eq!(system.admin.get("/executions").await.json().as_array().unwrap().len(), 1);
    // The key belongs to the request as it was sent, even after the default image has changed, and to its caller only.
    let image = json!({"image": "other:1", "is_default": true});
    assert_eq!(system.admin.post("/images/register", &image).await.status, 201);
    assert_eq!(keyed(body.clone()).await.text, answers[0].text);
    let other = system.user("admin", "other@example.com").await;
    let theirs = other.request(Method::POST, "/run", &[("idempotency-key", "k1")], body).await;
    assert_eq!(theirs.status, 202, "{}", theirs.text);
    assert_ne!(id(&theirs.json()), id(&answers[0].json()));
    for key in ["", "a b", &"k".repeat(256)] {
        let refused =
            system.admin.request(Method::POST, "/run", &[("idempotency-key", key)], "{\"command\":\"x\"}").await;
        assert_eq!(refused.status, 400, "{key}: {}", refused.text);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_run_that_come_together_are_not_refused_because_of_the_first() {
    let system = System::start().await;
    let set = system.admin.put("/locks/short", &json!({"slots": 1, "max_queue": 1})).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let keyed = async |key: String, body: String| {
        let headers = [("idempotency-key", key.as_str())];
        let copies = (0..6).map(|_| system.admin.request(Method::POST, "/run", &headers, body.clone()));
        let answers = futures_util::future::join_all(copies).await;
        for answer in &answers {
            assert_eq!(answer.status, 202, "{key}: {}", answer.text);
            assert_eq!(id(&answer.json()), id(&answers[0].json()), "{key}");
        }
    };
    for round in 0..6 {
        let lock = format!("lock-{round}");
        keyed(format!("refuse-{round}"), json!({"command": "true", "lock": lock}).to_string()).await;
    }
    let holder = system.admin.post("/run", &json!({"command": "sleep 100", "lock": "short"})).await;
    assert_eq!(holder.status, 202, "{}", holder.text);
    let waits = json!({"command": "true", "lock": "short", "on_conflict": "queue"}).to_string();
    keyed("queue".to_owned(), waits.clone()).await;
    let full = system.admin.request(Method::POST, "/run", &[("idempotency-key", "another")], waits).await;
    assert_eq!(full.status, 409, "the line is full for others: {}", full.text);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_stands_when_ecs_has_forgotten_it() {
    let directory = tempfile::tempdir().unwrap();
    let body = r#"{"command": "echo once"}"#;
    let keyed = async |program: &Program| {
        program.caller.request(Method::POST, "/run", &[("idempotency-key", "nightly")], body).await
    };
    let program = Program::start(directory.path());
    let first = keyed(&program).await;
    program.caller.wait_for(&id(&first.json()), "SUCCEEDED").await;
    program.signal("-INT");
    program.wait();

    for file in ["ecs.sqlite", "ecs.sqlite-wal", "ecs.sqlite-shm"] {
        let _ = std::fs::remove_file(directory.path().join(".runvoy-local").join(file));
    }

    let program = Program::start(directory.path());
    let again = keyed(&program).await;
    assert_eq!((again.status, id(&again.json())), (first.status, id(&first.json())));
}
