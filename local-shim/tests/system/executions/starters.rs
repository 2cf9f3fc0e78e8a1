//! Starts whose invocation dies, that ECS refuses, or that many runs wait for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::Method;
use local_shim::{
    EVENT_PROCESSOR,
    aws::faults::{Call, Fault},
};
use serde_json::{Value, json};

use super::queue::{SWEEP, fail_run_task, run_without_capacity};
use crate::client::{MovedClock, System, id, show};

async fn sweep(system: &System) {
    let swept = system.admin.process_with_key(SWEEP.to_owned()).await;
    assert_eq!(swept.status, 200, "{}", swept.text);
}

/// A run that waits in the line of the lock `l`.
async fn next_in_line(system: &System) -> String {
    let answer = system.admin.post("/run", &json!({"command": "true", "lock": "l", "on_conflict": "queue"})).await;
    assert_eq!(answer.json()["status"], "QUEUED", "{}", answer.text);
    id(&answer.json())
}

/// The only open execution that holds the lock `l`.
async fn holder(system: &System) -> String {
    let lock = system.admin.get("/locks/l").await.json();
    lock["holders"][0]["execution_id"].as_str().unwrap_or_else(|| panic!("{lock}")).to_owned()
}

/// The invocation dies after ECS has started the task, and no event of the task comes before the deadline has passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_may_have_a_task_keeps_its_lock_although_its_deadline_has_passed() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    system.shim.plan_faults(Some(Arc::new(|call: Call<'_>| match call.operation {
        "ecs:RunTask" => Some(Fault::KillsAfter),
        _ => (call.caller == Some(EVENT_PROCESSOR)).then_some(Fault::Fails),
    })));
    let body = json!({"command": "sleep 60", "lock": "l", "deadline": 40});
    assert!(system.admin.post("/run", &body).await.status.is_server_error());
    let first = holder(&system).await;
    let second = next_in_line(&system).await;
    system.shim.plan_faults(None);
    clock.move_on(Duration::from_secs(43));
    sweep(&system).await;
    assert_eq!(holder(&system).await, first, "the task of the first may run");
    assert_eq!(show(&system, &second).await["status"], "QUEUED");
    let adopted = show(&system, &first).await;
    assert!(!adopted["completed_at"].is_string(), "{adopted}");
    assert_eq!(system.admin.delete(&format!("/executions/{first}")).await.status, 200);
    system.admin.wait_for(&first, "STOPPED").await;
    system.admin.wait_for(&second, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_before_anybody_starts_its_task_ends_and_gives_its_lock_at_once() {
    let system = System::start().await;
    let first = run_without_capacity(&system, json!({"command": "sleep 60", "lock": "l"})).await;
    let second = next_in_line(&system).await;
    // As when the lock was given to it, and the event of that has not come yet.
    aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .update_item()
        .table_name("runvoy-local-executions")
        .key("execution_id", AttributeValue::S(first.clone()))
        .update_expression("SET #status = :starting REMOVE waits_for")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":starting", AttributeValue::S("STARTING".to_owned()))
        .send()
        .await
        .unwrap();
    let killed = system.admin.delete(&format!("/executions/{first}")).await;
    assert_eq!(killed.status, 200, "{}", killed.text);
    assert_eq!(show(&system, &first).await["status"], "STOPPED");
    system.admin.wait_for(&second, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

/// The starter dies before it calls RunTask, and the run is killed. No sweep comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_whose_starter_has_died_ends_when_the_lease_of_the_start_is_over() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    system
        .shim
        .plan_faults(Some(Arc::new(|call: Call<'_>| (call.operation == "ecs:RunTask").then_some(Fault::KillsBefore))));
    let body = json!({"command": "sleep 60", "lock": "l"});
    assert!(system.admin.post("/run", &body).await.status.is_server_error());
    let first = holder(&system).await;
    let second = next_in_line(&system).await;
    system.shim.plan_faults(None);
    assert_eq!(system.admin.delete(&format!("/executions/{first}")).await.status, 200);
    assert_eq!(show(&system, &first).await["status"], "TERMINATING");
    clock.move_on(Duration::from_secs(45));
    system.admin.wait_for(&first, "STOPPED").await;
    system.admin.wait_for(&second, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ecs_refuses_for_minutes_fails_with_the_reason_and_gives_its_lock() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    fail_run_task(&system, Fault::NoSecurityGroup, usize::MAX);
    let first = id(&system.admin.run_with(json!({"command": "true", "lock": "l"})).await);
    let second = next_in_line(&system).await;
    clock.move_on(Duration::from_secs(100));
    sweep(&system).await;
    assert_eq!(
        show(&system, &first).await["status"],
        "STARTING",
        "what has just been made may be refused for a minute"
    );
    clock.move_on(Duration::from_mins(5));
    sweep(&system).await;
    let failed = system.admin.wait_for(&first, "FAILED").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("The security group 'sg-0' does not exist"), "{failed}");
    system.shim.plan_faults(None);
    clock.move_on(Duration::from_mins(1));
    sweep(&system).await;
    system.admin.wait_for(&second, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

/// ECS keeps no client token of a call for which it has no room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_request_make_one_execution_although_there_was_no_room_for_the_first() {
    let system = System::start().await;
    for round in 0..5 {
        let file = tempfile::tempdir().unwrap().keep().join("count");
        let body = json!({"command": format!("echo once >> {}", file.display()), "on_conflict": "queue"}).to_string();
        fail_run_task(&system, Fault::NoCapacity, 1);
        let key = format!("k{round}");
        let headers = [("idempotency-key", key.as_str())];
        let copies = (0..4).map(|_| system.admin.request(Method::POST, "/run", &headers, body.clone()));
        let answers = futures_util::future::join_all(copies).await;
        let ids: Vec<String> = answers.iter().map(|answer| id(&answer.json())).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        sweep(&system).await;
        system.admin.wait_for(&ids[0], "SUCCEEDED").await;
        assert_eq!(system.admin.get("/executions?limit=0").await.json().as_array().unwrap().len(), round + 1);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "once\n");
    }
    system.shim.shut_down().await;
}

/// Calls of RunTask from now on, all of which find no room.
fn count_without_room(system: &System) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        (call.operation == "ecs:RunTask").then(|| {
            counted.fetch_add(1, Ordering::Relaxed);
            Fault::NoCapacity
        })
    })));
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_asks_for_room_once_for_each_size_and_for_the_oldest_run_first() {
    let system = System::start().await;
    let mut waiting = Vec::new();
    for n in 0..10 {
        let size = if n % 5 == 0 { json!({"cpu": 1024, "memory": 2048}) } else { json!({}) };
        let mut body = size;
        body["command"] = json!("true");
        waiting.push(run_without_capacity(&system, body).await);
    }
    let calls = count_without_room(&system);
    sweep(&system).await;
    assert_eq!(calls.load(Ordering::Relaxed), 2, "one for each size");
    // There is room for one.
    let tried = AtomicUsize::new(0);
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        (call.operation == "ecs:RunTask" && tried.fetch_add(1, Ordering::Relaxed) > 0).then_some(Fault::NoCapacity)
    })));
    sweep(&system).await;
    system.shim.plan_faults(None);
    system.admin.wait_for(&waiting[0], "SUCCEEDED").await;
    for later in &waiting[1..] {
        assert_eq!(show(&system, later).await["status"], "QUEUED");
    }
    sweep(&system).await;
    for later in &waiting[1..] {
        system.admin.wait_for(later, "SUCCEEDED").await;
    }
    let listed: Vec<Value> =
        serde_json::from_value(system.admin.get("/executions?status=QUEUED").await.json()).unwrap();
    assert_eq!(listed, Vec::<Value>::new());
    system.shim.shut_down().await;
}
