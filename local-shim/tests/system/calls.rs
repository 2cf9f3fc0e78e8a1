//! What each request costs: the calls of AWS that the functions make for it.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::json;

use crate::client::{Caller, System, connect, id, watch};

/// The calls that were made meanwhile, those in the background included.
async fn calls<T>(system: &System, work: impl Future<Output = T>) -> (T, BTreeMap<String, u64>) {
    let before = system.shim.aws_calls();
    let done = work.await;
    let after = system.shim.aws_calls();
    let made = after
        .into_iter()
        .map(|(operation, count)| (operation.clone(), count - before.get(&operation).copied().unwrap_or(0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    (done, made)
}

fn expected(operations: &[(&str, u64)]) -> BTreeMap<String, u64> {
    operations.iter().map(|(operation, count)| ((*operation).to_owned(), *count)).collect()
}

/// Lets what goes on beside requests (noting when a key was last used) come to its end.
async fn quiet(system: &System) {
    let mut before = system.shim.aws_calls();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        let after = system.shim.aws_calls();
        if after == before {
            return;
        }
        before = after;
    }
}

async fn get(caller: &Caller, path: &str) {
    let answer = caller.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_makes_the_calls_it_must_and_no_more() {
    let system = System::start().await;
    let (id, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    system.admin.run_to_end(json!({"command": "true", "secrets": ["s"]})).await;
    quiet(&system).await;

    let key = ("dynamodb:GetItem", 1);
    let (_, made) = calls(&system, get(&system.admin, "/health")).await;
    assert_eq!(made, expected(&[]), "health");
    let (_, made) = calls(&system, get(&system.admin, &format!("/executions/{id}/status"))).await;
    assert_eq!(made, expected(&[("dynamodb:GetItem", 2)]), "status");
    let (_, made) = calls(&system, get(&system.admin, "/executions")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Query", 1)]), "list");
    let (_, made) = calls(&system, get(&system.admin, "/executions?status=FAILED,SUCCEEDED")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Query", 2)]), "list by status");
    let (_, made) = calls(&system, get(&system.admin, &format!("/executions/{id}/logs"))).await;
    assert!(made["dynamodb:GetItem"] <= 5 && made["dynamodb:Query"] == 1 && made.len() == 2, "logs {made:?}");
    let (_, made) = calls(&system, get(&system.admin, "/users")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Scan", 1)]), "users");
    let (_, made) = calls(&system, get(&system.admin, "/images")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Scan", 1)]), "images");
    let (_, made) = calls(&system, get(&system.admin, "/images/ubuntu:22.04")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:BatchGetItem", 1)]), "image");
    let (_, made) = calls(&system, get(&system.admin, "/secrets")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Scan", 1)]), "secrets: nothing of SSM");
    let (_, made) = calls(&system, get(&system.admin, "/secrets/s")).await;
    assert_eq!(made, expected(&[("dynamodb:GetItem", 2), ("ssm:GetParameter", 1)]), "secret");

    // A key, an image, the task, its record, a token: five.
    let started = calls(&system, system.admin.run("sleep 60")).await;
    let run = expected(&[
        key,
        ("dynamodb:BatchGetItem", 1),
        ("ecs:RunTask", 1),
        ("dynamodb:UpdateItem", 1),
        ("dynamodb:PutItem", 1),
    ]);
    assert!(contains(&started.1, &run), "run {:?}", started.1);
    let id = crate::client::id(&started.0);
    system.admin.wait_for(&id, "RUNNING").await;
    quiet(&system).await;
    let with_secrets = calls(&system, system.admin.run_with(json!({"command": "sleep 60", "secrets": ["s"]}))).await;
    let run = expected(&[
        key,
        ("dynamodb:BatchGetItem", 2),
        ("ecs:RunTask", 1),
        ("dynamodb:UpdateItem", 1),
        ("dynamodb:PutItem", 1),
    ]);
    assert!(contains(&with_secrets.1, &run), "run with a secret {:?}", with_secrets.1);
    assert!(!with_secrets.1.keys().any(|operation| operation.starts_with("ssm:")), "a run reads no secret");
    quiet(&system).await;
    // Whether the key is known; and for one that is, its execution and the token once more.
    let keyed =
        || system.admin.request(Method::POST, "/run", &[("idempotency-key", "k")], r#"{"command": "sleep 60"}"#);
    let (first, made) = calls(&system, keyed()).await;
    assert!(contains(&made, &expected(&[("dynamodb:Query", 1), ("ecs:RunTask", 1)])), "run with a key {made:?}");
    system.admin.wait_for(&crate::client::id(&first.json()), "RUNNING").await;
    quiet(&system).await;
    let (again, made) = calls(&system, keyed()).await;
    assert_eq!(again.text, first.text);
    let repeat = expected(&[("dynamodb:GetItem", 2), ("dynamodb:Query", 1), ("dynamodb:PutItem", 1)]);
    assert_eq!(made, repeat, "the same run again");
    let (_, made) = calls(&system, system.admin.delete(&format!("/executions/{id}"))).await;
    let kill = expected(&[("dynamodb:GetItem", 2), ("ecs:StopTask", 1), ("dynamodb:UpdateItem", 1)]);
    assert!(contains(&made, &kill), "kill {made:?}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_makes_the_calls_it_must_and_no_more() {
    let system = System::start().await;
    let admin = &system.admin;
    admin.get("/users").await;
    quiet(&system).await;
    let key = ("dynamodb:GetItem", 1);
    let write = ("dynamodb:TransactWriteItems", 1);

    let user = json!({"email": "new@example.com", "role": "viewer"});
    let (created, made) = calls(&system, admin.post("/users/create", &user)).await;
    assert_eq!(made, expected(&[key, write]), "create a user");
    let claim = format!("/claim/{}", created.json()["claim_token"].as_str().unwrap());
    let (_, made) = calls(&system, get(admin, &claim)).await;
    assert_eq!(made, expected(&[key, write]), "claim a key");
    let (_, made) = calls(&system, admin.post("/users/revoke", &json!({"email": "new@example.com"}))).await;
    assert_eq!(made, expected(&[("dynamodb:GetItem", 2), write]), "revoke a user");

    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    let (_, made) = calls(&system, admin.post("/secrets", &secret)).await;
    let create = [key, ("dynamodb:PutItem", 1), ("ssm:PutParameter", 1), ("dynamodb:UpdateItem", 1)];
    assert_eq!(made, expected(&create), "create a secret");
    let (_, made) = calls(&system, admin.put("/secrets/s", &json!({"description": "d"}))).await;
    assert_eq!(made, expected(&[("dynamodb:GetItem", 2), ("dynamodb:UpdateItem", 1)]), "change a secret's description");
    let (_, made) = calls(&system, admin.put("/secrets/s", &json!({"value": "w"}))).await;
    let change = [("dynamodb:GetItem", 2), ("ssm:PutParameter", 1), ("dynamodb:UpdateItem", 1)];
    assert_eq!(made, expected(&change), "change a secret's value");
    let (_, made) = calls(&system, admin.delete("/secrets/s")).await;
    let delete =
        [("dynamodb:GetItem", 2), ("dynamodb:UpdateItem", 1), ("ssm:DeleteParameter", 1), ("dynamodb:DeleteItem", 1)];
    assert_eq!(made, expected(&delete), "delete a secret");

    let image = json!({"image": "tool:1"});
    let (_, made) = calls(&system, admin.post("/images/register", &image)).await;
    let register = [key, ("dynamodb:BatchGetItem", 1), ("ecs:RegisterTaskDefinition", 1), write];
    assert_eq!(made, expected(&register), "register an image");
    let id = admin.get("/images/tool:1").await.json()["image_id"].as_str().unwrap().to_owned();
    let (_, made) = calls(&system, admin.delete(&format!("/images/{id}"))).await;
    let delete = [
        key,
        ("dynamodb:BatchGetItem", 2),
        ("dynamodb:Scan", 1),
        ("ecs:ListTaskDefinitionFamilies", 1),
        ("ecs:ListTaskDefinitions", 1),
        ("ecs:DeregisterTaskDefinition", 1),
        write,
    ];
    assert_eq!(made, expected(&delete), "delete an image");
    system.shim.shut_down().await;
}

/// Whether these calls were made; the task's events may have caused others meanwhile.
fn contains(made: &BTreeMap<String, u64>, wanted: &BTreeMap<String, u64>) -> bool {
    wanted.iter().all(|(operation, count)| made.get(operation).is_some_and(|made| made >= count))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_lines_costs_two_calls_and_a_viewer_a_few_however_long_the_log_is() {
    let system = System::start().await;
    let pipe = tempfile::tempdir().unwrap().keep().join("pipe");
    let path = pipe.to_str().unwrap().to_owned();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let started = system.admin.run(&format!("while :; do read line < {path} && echo $line && seq 50; done")).await;
    system.admin.wait_for(&id(&started), "RUNNING").await;
    quiet(&system).await;
    let say = async || {
        let path = pipe.clone();
        tokio::task::spawn_blocking(move || std::fs::write(path, "line\n").unwrap()).await.unwrap();
        quiet(&system).await;
    };
    let (_, made) = calls(&system, say()).await;
    let batches = made["dynamodb:TransactWriteItems"];
    assert_eq!(made, expected(&[("dynamodb:GetItem", batches), ("dynamodb:TransactWriteItems", batches)]));
    let viewer = tokio::spawn(watch(
        connect(&format!("{}&batch=true", started["websocket_url"].as_str().unwrap())).await.unwrap(),
    ));
    quiet(&system).await;
    for _ in 0..3 {
        let (_, made) = calls(&system, say()).await;
        let batches = made["dynamodb:TransactWriteItems"];
        // The record and the batch; who is watching; the lease taken and given back; the look again; one frame.
        let cost = expected(&[
            ("dynamodb:GetItem", 2 * batches),
            ("dynamodb:TransactWriteItems", batches),
            ("dynamodb:Query", batches),
            ("dynamodb:UpdateItem", 2 * batches),
            ("execute-api:PostToConnection", batches),
        ]);
        assert_eq!(made, cost);
    }
    system.admin.delete(&format!("/executions/{}", id(&started))).await;
    viewer.await.unwrap();
    system.shim.shut_down().await;
}
