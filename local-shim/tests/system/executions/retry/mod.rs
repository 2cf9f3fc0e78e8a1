//! Tests of runs that are attempted again.

mod faults;

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use local_shim::{
    Settings,
    aws::faults::{Call, Fault},
};
use serde_json::{Value, json};

use super::queue::SWEEP;
use crate::{
    client::{MovedClock, System, connect_at_last, id, show, watch},
    gate::run_of,
};

/// A command that counts its attempts in a file and fails with exit code 3, but for the attempt with this number.
fn succeeds_at(attempt: u32, count: &Path) -> String {
    let count = count.display();
    format!("echo x >> {count}; n=$(wc -l < {count}); echo attempt $((n)) here; [ $n -ge {attempt} ] || exit 3")
}

/// The number of attempts that have begun.
fn begun(count: &Path) -> usize {
    std::fs::read_to_string(count).unwrap_or_default().lines().count()
}

/// Waits until the execution has this status and this number of the present attempt.
async fn wait_for_attempt(system: &System, id: &str, attempt: u32, status: &str) -> Value {
    loop {
        system.admin.wait_for(id, status).await;
        let shown = show(system, id).await;
        if (&shown["attempt"], &shown["status"]) == (&json!(attempt), &json!(status)) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All lines of a log that fits one page, with the marks of attempts.
async fn log(system: &System, id: &str) -> Vec<String> {
    let page = system.admin.get(&format!("/executions/{id}/logs")).await.json();
    assert_eq!(page["complete"], json!(true), "{page}");
    page["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_is_a_task_of_one_execution_and_the_last_one_decides() {
    let system = System::start().await;
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let body =
        json!({"command": succeeds_at(3, &count), "env": {"NAME": "value"}, "retry": {"attempts": 3, "backoff": "1s"}});
    let started = system.admin.run_with(body).await;
    let id = id(&started);
    let url = started["websocket_url"].as_str().unwrap();
    let viewers = ["", "&batch=true", "&status=true"].map(|wishes| {
        let url = format!("{url}{wishes}");
        tokio::spawn(async move { watch(connect_at_last(&url).await).await })
    });
    let ended = system.admin.wait_for(&id, "SUCCEEDED").await;
    assert_eq!(ended["exit_code"], 0);
    assert_eq!(begun(&count), 3);

    let shown = show(&system, &id).await;
    assert_eq!(shown["attempt"], 3);
    assert_eq!(shown["retry"], json!({"attempts": 3, "on": ["capacity", "spot", "start", "exit"], "backoff": 1}));
    assert_eq!(shown["request"]["retry"], shown["retry"]);
    assert!(shown.get("next_attempt_at").is_none() && shown.get("waits_for").is_none(), "{shown}");
    let earlier = shown["attempts"].as_array().unwrap();
    let mut tasks = HashSet::new();
    for (attempt, number) in earlier.iter().zip(1..) {
        assert_eq!((&attempt["number"], &attempt["on"]), (&json!(number), &json!("exit")));
        assert_eq!(
            (&attempt["exit_code"], &attempt["reason"]),
            (&json!(3), &json!("the command ended with exit code 3"))
        );
        assert!(attempt["started_at"].as_str() < attempt["ended_at"].as_str(), "{attempt}");
        tasks.insert(attempt["task_id"].as_str().unwrap().to_owned());
    }
    assert_eq!((earlier.len(), tasks.len()), (2, 2));
    // The cost is that of all tasks.
    let costs: f64 = earlier.iter().map(|attempt| attempt["cost_estimate_usd"].as_f64().unwrap()).sum();
    assert!(shown["cost_estimate_usd"].as_f64().unwrap() > costs, "{shown}");

    let log = log(&system, &id).await;
    let at = |line: &str| {
        let at: Vec<usize> = (0..log.len()).filter(|at| log[*at].starts_with(line)).collect();
        assert_eq!(at.len(), 1, "{line}: {log:#?}");
        at[0]
    };
    let order = [
        at("attempt 1 here"),
        at("### runvoy attempt: 2 of 3 begins after attempt 1 failed: the command ended with exit code 3"),
        at("attempt 2 here"),
        at("### runvoy attempt: 3 of 3 begins after attempt 2 failed"),
        at("attempt 3 here"),
        at("### runvoy runner: command ended, exit code => 0"),
    ];
    assert!(order.is_sorted(), "{log:#?}");
    assert!(log.iter().all(|line| !line.contains("nonce")), "{log:#?}");
    for viewer in viewers {
        let seen = viewer.await.unwrap();
        assert_eq!(seen.log(), log);
        assert_eq!(seen.lines().into_iter().map(|(id, _)| id).collect::<HashSet<_>>().len(), log.len());
        assert_eq!(seen.frames.last().unwrap()["type"], "disconnect");
        // No viewer takes the end of an attempt for the end of the execution.
        let told_of_end = |frame: &&Value| frame["type"] == "status" && frame["ending"]["exit_code"] == 3;
        assert_eq!(seen.frames.iter().find(told_of_end), None);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_whose_attempts_all_fail_has_failed_as_the_last_one_did() {
    let system = System::start().await;
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let (id, ended) = system
        .admin
        .run_to_end(json!({"command": succeeds_at(9, &count), "retry": {"attempts": 2, "on": ["exit"], "backoff": 0}}))
        .await;
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("FAILED"), &json!(3)));
    assert_eq!((begun(&count), show(&system, &id).await["attempts"].as_array().unwrap().len()), (2, 1));
    // Other ends than those that are named are followed by none.
    let (id, ended) = system
        .admin
        .run_to_end(json!({"command": "exit 4", "retry": {"attempts": 5, "on": ["start", "spot"], "backoff": 0}}))
        .await;
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("FAILED"), &json!(4)));
    let shown = show(&system, &id).await;
    assert_eq!((&shown["attempt"], shown.get("attempts")), (&json!(1), None));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_end_is_followed_by_an_attempt_if_the_run_says_so() {
    let system = System::start().await;
    // The time limit is that of each attempt.
    let (id, ended) = system
        .admin
        .run_to_end(
            json!({"command": "sleep 60", "timeout": 1, "retry": {"attempts": 2, "on": ["exit"], "backoff": 0}}),
        )
        .await;
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("FAILED"), &json!("timed out after 1 s")));
    assert_eq!(show(&system, &id).await["attempts"][0]["reason"], "timed out after 1 s");
    // A repository that cannot be cloned.
    let repository = json!({"command": "true", "git_repo": "file:///nowhere/at/all", "retry": {"attempts": 2, "on": ["start"], "backoff": 0}});
    let (id, ended) = system.admin.run_to_end(repository).await;
    assert_eq!(ended["status"], "FAILED");
    let shown = show(&system, &id).await;
    assert_eq!((&shown["attempt"], &shown["attempts"][0]["on"]), (&json!(2), &json!("start")), "{shown}");
    // Each attempt has git's line of its own task.
    for reason in [&shown["attempts"][0]["reason"], &shown["reason"]] {
        let reason = reason.as_str().unwrap();
        assert!(reason.starts_with("the repository could not be cloned: fatal: '/nowhere/at/all'"), "{shown}");
    }
    let lines = log(&system, &id).await;
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.starts_with("### runvoy sidecar: failed => the repository could not be cloned"))
            .count(),
        2,
        "{lines:#?}"
    );
    // No room for the first two attempts.
    let tried = AtomicUsize::new(0);
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        let fails = call.operation == "ecs:RunTask" && tried.fetch_add(1, Ordering::Relaxed) < 2;
        fails.then_some(Fault::NoCapacity)
    })));
    let (id, ended) =
        system.admin.run_to_end(json!({"command": "echo at last", "retry": {"attempts": 3, "backoff": 0}})).await;
    assert_eq!(ended["status"], "SUCCEEDED");
    let shown = show(&system, &id).await;
    let earlier = shown["attempts"].as_array().unwrap();
    assert_eq!(earlier.len(), 2);
    assert!(earlier.iter().all(|one| one["on"] == "capacity" && one.get("task_id").is_none()), "{shown}");
    assert!(log(&system, &id).await.contains(&"at last".to_owned()));
    system
        .shim
        .plan_faults(Some(Arc::new(|call: Call<'_>| (call.operation == "ecs:RunTask").then_some(Fault::NoCapacity))));
    let (_, ended) = system.admin.run_to_end(json!({"command": "true", "retry": {"attempts": 2, "backoff": 0}})).await;
    assert_eq!(ended["status"], "FAILED");
    assert!(ended["reason"].as_str().unwrap().contains("AWS Fargate has no capacity"), "{ended}");
    system.shim.plan_faults(None);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_spot_capacity_is_reclaimed_is_attempted_again() {
    let overrides = BTreeMap::from([("RUNVOY_SPOT".to_owned(), "true".to_owned())]);
    let system = System::start_with(Settings { chaos: Some(5), overrides, ..Settings::ephemeral() }).await;
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    // The first attempt ends well after SIGTERM, and has not done its work.
    let script = format!(
        "trap 'exit 0' TERM; echo x >> {0}; [ $(wc -l < {0}) -ge 2 ] || {{ sleep 60 & wait; }}; echo done",
        count.display()
    );
    let (id, ended) = system
        .admin
        .run_to_end(json!({"command": script, "spot": true, "retry": {"attempts": 4, "on": ["spot"], "backoff": 0}}))
        .await;
    assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
    let first = &show(&system, &id).await["attempts"][0];
    assert_eq!((&first["on"], &first["reason"]), (&json!("spot"), &json!("Spot capacity was reclaimed")));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_two_attempts_a_run_keeps_its_lock_and_gives_its_place_among_those_that_run() {
    let clock = MovedClock::default();
    let overrides = BTreeMap::from([("RUNVOY_MAX_RUNNING".to_owned(), "1".to_owned())]);
    let system = System::start_with(Settings { overrides, ..clock.settings() }).await;
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let retry = json!({"attempts": 2, "on": ["exit"], "backoff": "1h"});
    let (id, _) = run_of(&system, &succeeds_at(2, &count), json!({"lock": "l", "retry": retry})).await;
    let shown = wait_for_attempt(&system, &id, 2, "QUEUED").await;
    assert_eq!(shown["waits_for"], "attempt 2 of 2");
    assert!(shown["next_attempt_at"].is_string() && shown["exit_code"].is_null(), "{shown}");
    let refused = system.admin.post("/run", &json!({"command": "true", "lock": "l"})).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains(&id), "{}", refused.text);
    // The only place is free, and the sweep does not begin the attempt too early.
    let (other, ended) = system.admin.run_to_end(json!({"command": "true"})).await;
    assert_eq!(ended["status"], "SUCCEEDED", "{other}");
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    assert_eq!((show(&system, &id).await["status"].clone(), begun(&count)), (json!("QUEUED"), 1));
    clock.move_on(Duration::from_secs(3601));
    // The message of the next attempt may have been lost.
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    system.admin.wait_for(&id, "SUCCEEDED").await;
    assert_eq!(begun(&count), 2);
    let lock = system.admin.get("/locks/l").await.json();
    assert_eq!((&lock["held"], &lock["waiting"]), (&json!(0), &json!(0)));
    system.admin.run_to_end(json!({"command": "true", "lock": "l"})).await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_ends_the_execution_between_two_attempts_and_during_one() {
    let system = System::start().await;
    let (id, started) = run_of(&system, "echo once; exit 1", json!({"retry": {"attempts": 3, "backoff": "1d"}})).await;
    let url = started["websocket_url"].as_str().unwrap().to_owned();
    let viewer = tokio::spawn(async move { watch(connect_at_last(&url).await).await });
    wait_for_attempt(&system, &id, 2, "QUEUED").await;
    assert_eq!(system.admin.delete(&format!("/executions/{id}")).await.status, 200);
    let shown = show(&system, &id).await;
    assert_eq!((&shown["status"], &shown["exit_code"]), (&json!("STOPPED"), &json!(130)), "{shown}");
    assert!(shown["reason"].as_str().unwrap().starts_with("stopped by "), "{shown}");
    assert!(shown.get("next_attempt_at").is_none(), "{shown}");
    let lines = log(&system, &id).await;
    assert!(lines.contains(&"once".to_owned()) && lines.last().unwrap().contains("stopped by"), "{lines:#?}");
    let seen = viewer.await.unwrap();
    assert_eq!(seen.log(), lines);
    assert_eq!(seen.frames.last().unwrap()["type"], "disconnect");

    let (id, _) = run_of(&system, "sleep 60", json!({"retry": {"attempts": 3, "backoff": 0}})).await;
    system.admin.wait_for(&id, "RUNNING").await;
    assert_eq!(system.admin.delete(&format!("/executions/{id}")).await.status, 200);
    system.admin.wait_for(&id, "STOPPED").await;
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    let shown = show(&system, &id).await;
    assert_eq!((&shown["status"], &shown["attempt"]), (&json!("STOPPED"), &json!(1)), "{shown}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_attempt_follows_that_could_begin_only_after_the_deadline() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    let (id, ended) = system
        .admin
        .run_to_end(json!({"command": "exit 3", "deadline": 600, "retry": {"attempts": 3, "backoff": "20m"}}))
        .await;
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("FAILED"), &json!(3)));
    assert_eq!(show(&system, &id).await["attempt"], 1);
    // One that is late all the same does not begin.
    let body = json!({"deadline": 3600, "retry": {"attempts": 3, "backoff": "30m"}});
    let (id, _) = run_of(&system, "exit 3", body).await;
    wait_for_attempt(&system, &id, 2, "QUEUED").await;
    clock.move_on(Duration::from_secs(3601));
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    let ended = system.admin.wait_for(&id, "FAILED").await;
    assert_eq!(ended["reason"], "its deadline passed before attempt 2 could start");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_repeated_is_refused_at_its_field() {
    let system = System::start().await;
    for (more, field) in [
        (json!({"retry": {"attempts": 0}}), "retry.attempts"),
        (json!({"retry": {"attempts": 11}}), "retry.attempts"),
        (json!({"retry": {"attempts": 2, "backoff": "25h"}}), "retry.backoff"),
        (json!({"retry": {"attempts": 2, "backoff": "soon"}}), "retry.backoff"),
        (json!({"retry": {"attempts": 2, "on": ["failure"]}}), "retry.on[0]"),
        (json!({"retry": {"attempts": 2}, "env": {"API_TOKEN": "x"}}), "env.API_TOKEN"),
        (json!({"retry": {"attempts": 2}, "git_repo": "https://token@example.com/a"}), "git_repo"),
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
    // One attempt is what each run has.
    let (id, _) = system.admin.run_to_end(json!({"command": "false", "retry": {"attempts": 1}})).await;
    let shown = show(&system, &id).await;
    assert_eq!((shown.get("retry"), shown.get("attempt")), (None, None), "{shown}");
    // A run that waits for capacity uses up no attempt for it, unless it says so.
    let (id, _) =
        system.admin.run_to_end(json!({"command": "true", "on_conflict": "queue", "retry": {"attempts": 2}})).await;
    assert_eq!(show(&system, &id).await["retry"]["on"], json!(["spot", "start", "exit"]));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_a_schedule_and_one_of_a_playbook_are_attempted_again() {
    let system = System::start().await;
    let retry = json!({"attempts": 2, "on": ["exit"], "backoff": 0});
    let run = json!({"command": "exit 3", "retry": retry});
    let created = system.admin.post("/schedules", &json!({"name": "often", "rate": "1 day", "run": run})).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let published = system.admin.put("/playbooks/fails", &json!({"commands": ["exit 4"], "retry": retry})).await;
    assert!(published.status.is_success(), "{}", published.text);
    let started = system.admin.post("/playbooks/fails/run", &json!({})).await;
    let playbook = id(&started.json());
    let schedule = loop {
        let shown = system.admin.get("/schedules/often").await.json()["schedule"].clone();
        if let Some(id) = shown["last_execution_id"].as_str() {
            break id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for (id, code) in [(playbook, 4), (schedule, 3)] {
        let ended = system.admin.wait_for(&id, "FAILED").await;
        assert_eq!(ended["exit_code"], code);
        let shown = show(&system, &id).await;
        assert_eq!((&shown["attempt"], &shown["attempts"][0]["exit_code"]), (&json!(2), &json!(code)), "{shown}");
    }
    system.shim.shut_down().await;
}
