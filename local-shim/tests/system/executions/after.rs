//! Tests of runs that wait for the ends of others, and of deadlines.

use std::{path::Path, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use super::queue::{SWEEP, run_without_capacity};
use crate::client::{MovedClock, System, id, show};

/// A command that ends with this exit code once the file is there.
fn until(go: &Path, exit_code: i32) -> String {
    format!("until [ -e {} ]; do sleep 0.05; done; exit {exit_code}", go.display())
}

async fn start(system: &System, body: Value) -> (String, Value) {
    let started = system.admin.run_with(body).await;
    (id(&started), started["status"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_starts_when_all_that_it_waits_for_have_succeeded() {
    let system = System::start().await;
    let folder = tempfile::tempdir().unwrap();
    let go = |number: u8| folder.path().join(number.to_string());
    let (first, _) = start(&system, json!({"command": until(&go(1), 0)})).await;
    let (second, _) = start(&system, json!({"command": until(&go(2), 0)})).await;
    let (last, status) =
        start(&system, json!({"command": "echo $NAME", "env": {"NAME": "value"}, "after": [first, second, first]}))
            .await;
    assert_eq!(status, "QUEUED");
    let shown = show(&system, &last).await;
    assert_eq!((&shown["after"], shown.get("if")), (&json!([first, second]), None));
    assert_eq!(shown["waits_for"], format!("execution {first} and 1 more"));
    std::fs::write(go(1), "").unwrap();
    system.admin.wait_for(&first, "SUCCEEDED").await;
    // The sweep looks at it too, and one of the two has not ended.
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    assert_eq!(show(&system, &last).await["status"], "QUEUED");
    std::fs::write(go(2), "").unwrap();
    let ended = system.admin.wait_for(&last, "SUCCEEDED").await;
    assert!(ended.get("waits_for").is_none(), "{ended}");
    assert!(system.admin.log(&last).await.iter().any(|line| line == "value"));
    // Those that have ended are waited for no more.
    let (at_once, status) = start(&system, json!({"command": "true", "after": [first, last]})).await;
    assert_eq!(status, "STARTING");
    system.admin.wait_for(&at_once, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_condition_can_no_longer_come_true_has_failed_and_says_why() {
    let system = System::start().await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let (fails, _) = start(&system, json!({"command": until(&go, 3)})).await;
    let (killed, _) = start(&system, json!({"command": "sleep 60"})).await;
    let (never, _) = start(&system, json!({"command": "true", "after": [fails]})).await;
    let (nor_this, _) = start(&system, json!({"command": "true", "after": [never]})).await;
    let (after_any, _) =
        start(&system, json!({"command": "true", "after": [fails, killed, never], "if": "ended"})).await;
    std::fs::write(&go, "").unwrap();
    let ended = system.admin.wait_for(&never, "FAILED").await;
    assert_eq!(ended["reason"], format!("execution {fails}, which had to succeed first, ended as FAILED"));
    let ended = system.admin.wait_for(&nor_this, "FAILED").await;
    assert_eq!(ended["reason"], format!("execution {never}, which had to succeed first, ended as FAILED"));
    assert!(system.admin.log(&nor_this).await[0].contains("had to succeed first"));
    assert_eq!(show(&system, &after_any).await["status"], "QUEUED");
    assert_eq!(system.admin.delete(&format!("/executions/{killed}")).await.status, 200);
    system.admin.wait_for(&after_any, "SUCCEEDED").await;
    // One that is too late to wait has failed at once.
    let (late, status) = start(&system, json!({"command": "true", "after": [killed]})).await;
    assert_eq!(status, "FAILED");
    assert_eq!(
        show(&system, &late).await["reason"],
        format!("execution {killed}, which had to succeed first, ended as STOPPED")
    );
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_followers_starts_once_however_often_the_end_is_told() {
    let system = System::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (go, order) = (folder.path().join("go"), folder.path().join("order"));
    let (first, _) = start(&system, json!({"command": until(&go, 0)})).await;
    let mut followers = Vec::new();
    for number in 0..20 {
        let command = format!("echo {number} >> {}", order.display());
        let body = json!({"command": command, "after": [first], "lock": "one", "slots": 2});
        followers.push(start(&system, body).await.0);
    }
    std::fs::write(&go, "").unwrap();
    let sweeps = (0..4).map(|_| system.admin.process(SWEEP));
    futures_util::future::join_all(sweeps).await;
    for follower in &followers {
        system.admin.wait_for(follower, "SUCCEEDED").await;
        let shown = show(&system, follower).await;
        assert_eq!(shown["attempt"], 1, "{shown}");
    }
    let mut ran: Vec<u8> = std::fs::read_to_string(&order).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..20).collect::<Vec<_>>());
    let lock = system.admin.get("/locks/one").await.json();
    assert_eq!((&lock["slots"], &lock["held"], &lock["waiting"]), (&json!(2), &json!(0), &json!(0)));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_moves_on_a_run_whose_event_was_lost() {
    let system = System::start().await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let (first, _) = start(&system, json!({"command": until(&go, 0)})).await;
    let (last, _) = start(&system, json!({"command": "true", "after": [first]})).await;
    let lose = aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .update_item()
        .table_name("runvoy-local-executions")
        .key("execution_id", AttributeValue::S(first.clone()))
        .update_expression("REMOVE followers");
    lose.send().await.unwrap();
    std::fs::write(&go, "").unwrap();
    system.admin.wait_for(&first, "SUCCEEDED").await;
    assert_eq!(show(&system, &last).await["status"], "QUEUED");
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    system.admin.wait_for(&last, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_waited_for_is_refused_at_its_field() {
    let system = System::start().await;
    let (first, _) = start(&system, json!({"command": "true"})).await;
    let unknown = "0".repeat(32);
    for (more, field) in [
        (json!({"after": [first, unknown]}), "after[1]"),
        (json!({"after": ["no/id"]}), "after[0]"),
        (json!({"after": vec![first.clone(); 3], "if": "failed"}), "if"),
        (json!({"if": "ended"}), "if"),
        (json!({"after": (0..21).map(|at| format!("{at:032x}")).collect::<Vec<_>>()}), "after"),
        (json!({"deadline": 2_592_001}), "deadline"),
        (json!({"after": [first], "env": {"API_TOKEN": "x"}}), "env.API_TOKEN"),
    ] {
        let mut body = more.clone();
        body["command"] = json!("true");
        let refused = system.admin.post("/run", &body).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["field"]),
            (400, &json!(field)),
            "{more}: {}",
            refused.text
        );
    }
    // Whoever may not see an execution is not told that it exists.
    let other = system.user("developer", "d@example.com").await;
    let own = id(&other.run_with(json!({"command": "true"})).await);
    let key = json!({"name": "limited", "scope": {"actions": ["executions:run", "images:use"]}});
    let key = other.post("/keys", &key).await.json()["api_key"].as_str().unwrap().to_owned();
    let limited = other.with_key(&key);
    let refused = limited.post("/run", &json!({"command": "true", "after": [first]})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("after[0]")), "{}", refused.text);
    let accepted = other.post("/run", &json!({"command": "true", "after": [own]})).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_stopped_at_its_deadline_and_the_reason_says_so() {
    let system = System::start().await;
    // The deadline leaves a busy machine the time to start the command. It is seldom a whole second, which is what the runner counts.
    let (late, _) = start(&system, json!({"command": "sleep 60", "deadline": 8, "timeout": 50})).await;
    let ended = system.admin.wait_for(&late, "FAILED").await;
    assert_eq!((&ended["exit_code"], &ended["reason"]), (&json!(124), &json!("its deadline passed")), "{ended}");
    let ended = show(&system, &late).await;
    assert_eq!((&ended["deadline"], &ended["timeout"]), (&json!(8), &json!(50)));
    let log = system.admin.log(&late).await;
    assert!(log.iter().any(|line| line.contains("the deadline of the run has passed")), "{log:?}");
    // A time limit that comes before the deadline is told as such.
    let (limited, _) = start(&system, json!({"command": "sleep 60", "deadline": 600, "timeout": 1})).await;
    assert_eq!(system.admin.wait_for(&limited, "FAILED").await["reason"], "timed out after 1 s");
    let (in_time, _) = start(&system, json!({"command": "echo ${RUNVOY_DEADLINE-none}", "deadline": 600})).await;
    system.admin.wait_for(&in_time, "SUCCEEDED").await;
    assert!(system.admin.log(&in_time).await.iter().any(|line| line == "none"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_until_its_deadline_never_starts() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let (first, _) = start(&system, json!({"command": until(&go, 0)})).await;
    let (waits, _) = start(&system, json!({"command": "true", "after": [first], "deadline": 60})).await;
    let queued = run_without_capacity(&system, json!({"command": "true", "deadline": 60})).await;
    clock.move_on(Duration::from_secs(61));
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    for id in [&waits, &queued] {
        let ended = system.admin.wait_for(id, "FAILED").await;
        assert_eq!(ended["reason"], "its deadline passed before it could start");
    }
    std::fs::write(&go, "").unwrap();
    system.admin.wait_for(&first, "SUCCEEDED").await;
    assert_eq!(show(&system, &waits).await["status"], "FAILED");
    system.shim.shut_down().await;
}
