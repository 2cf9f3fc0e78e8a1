//! Tests of the limit of executions that have a task at the same time.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use futures_util::future::join_all;
use local_shim::{
    Settings,
    aws::faults::{Call, Fault},
};
use serde_json::{Value, json};

use super::queue::SWEEP;
use crate::{
    client::{System, id, show},
    gate::{gate, open, run_of},
    program::{Program, command},
};

const LIMIT: &str = "RUNVOY_MAX_RUNNING";

fn limited(most: u32) -> Settings {
    Settings { overrides: BTreeMap::from([(LIMIT.to_owned(), most.to_string())]), ..Settings::ephemeral() }
}

/// A run that was accepted, and its status then.
async fn run(system: &System, command: &str, more: Value) -> (String, String) {
    let (id, started) = run_of(system, command, more).await;
    (id, started["status"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_runs_have_a_task_as_may_and_one_more_is_refused_or_waits_in_line() {
    let system = System::start_with(limited(2)).await;
    let (command, gate) = gate();
    let mut first = Vec::new();
    for _ in 0..2 {
        let (id, status) = run(&system, &command, json!({})).await;
        assert_eq!(status, "STARTING");
        first.push(id);
    }
    let refused = system.admin.post("/run", &json!({"command": "true"})).await;
    let body = refused.json();
    assert_eq!((refused.status.as_u16(), &body["code"]), (409, &json!("RUNNING_LIMIT_REACHED")), "{body}");
    assert!(body["error"].as_str().unwrap().contains("2 executions run"), "{body}");
    assert!(body["hint"].as_str().unwrap().contains("\"on_conflict\": \"queue\""), "{body}");
    let (waiting, status) = run(&system, "echo at last", json!({"on_conflict": "queue"})).await;
    assert_eq!(status, "QUEUED");
    let shown = show(&system, &waiting).await;
    assert_eq!(shown["queue_position"], 1, "{shown}");
    assert!(shown["waits_for"].as_str().unwrap().starts_with("a place among the executions"), "{shown}");
    // The limit is no lock that people see.
    assert!(shown["lock"].is_null() && show(&system, &first[0]).await["lock"].is_null());
    assert_eq!(system.admin.get("/locks").await.json()["locks"], json!([]));
    assert_eq!(system.admin.get("/locks/~running").await.status, 404);
    assert_eq!(system.admin.put("/locks/~running", &json!({"slots": 9})).await.status, 400);
    assert_eq!(system.admin.post("/run", &json!({"command": "true", "lock": "~running"})).await.status, 400);
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    assert_eq!(show(&system, &waiting).await["status"], "QUEUED");

    open(&gate);
    for id in first.iter().chain([&waiting]) {
        system.admin.wait_for(id, "SUCCEEDED").await;
    }
    assert!(system.admin.log(&waiting).await.contains(&"at last".to_owned()));
    system.admin.run_to_end(json!({"command": "true"})).await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_come_together_take_no_more_places_than_there_are() {
    let system = System::start_with(limited(3)).await;
    let (command, gate) = gate();
    let body = json!({"command": command});
    let answers = join_all((0..10).map(|_| system.admin.post("/run", &body))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!(accepted.len(), 3);
    for answer in refused {
        assert_eq!(answer.json()["code"], "RUNNING_LIMIT_REACHED", "{}", answer.text);
    }
    // One that is killed gives its place back.
    let killed = id(&accepted[0].json());
    system.admin.delete(&format!("/executions/{killed}")).await;
    system.admin.wait_for(&killed, "STOPPED").await;
    let (next, _) = run(&system, &command, json!({})).await;
    open(&gate);
    system.admin.wait_for(&next, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_a_lock_or_for_capacity_keeps_no_other_from_running() {
    let system = System::start_with(limited(2)).await;
    let (command, gate) = gate();
    let (holder, _) = run(&system, &command, json!({"lock": "l"})).await;
    let (for_lock, status) = run(&system, "true", json!({"lock": "l", "on_conflict": "queue"})).await;
    assert_eq!((status.as_str(), &show(&system, &for_lock).await["waits_for"]), ("QUEUED", &json!("lock l")));
    system
        .shim
        .plan_faults(Some(Arc::new(|call: Call<'_>| (call.operation == "ecs:RunTask").then_some(Fault::NoCapacity))));
    let (for_capacity, status) = run(&system, "true", json!({"on_conflict": "queue"})).await;
    assert_eq!((status.as_str(), &show(&system, &for_capacity).await["waits_for"]), ("QUEUED", &json!("capacity")));
    let (not_asked, status) = run(&system, "true", json!({})).await;
    assert_eq!(status, "FAILED", "a caller who knows no QUEUED is told nothing of it");
    assert!(show(&system, &not_asked).await["reason"].as_str().unwrap().contains("AWS Fargate has no capacity"));
    system.shim.plan_faults(None);

    let (other, status) = run(&system, &command, json!({})).await;
    assert_eq!(status, "STARTING", "the second place is free");
    system.admin.wait_for(&other, "RUNNING").await;
    assert_eq!(system.admin.post("/run", &json!({"command": "true"})).await.status, 409);
    // There is capacity again, and no place.
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    let shown = show(&system, &for_capacity).await;
    assert_eq!((&shown["status"], &shown["queue_position"]), (&json!("QUEUED"), &json!(1)), "{shown}");
    open(&gate);
    for id in [&holder, &other, &for_lock, &for_capacity] {
        system.admin.wait_for(id, "SUCCEEDED").await;
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_limit_counts_for_runs_that_wait_and_for_those_that_come() {
    let directory = tempfile::tempdir().unwrap();
    let start = |most: u32| start(directory.path(), most);
    let (command, gate) = gate();
    let body = json!({"command": command, "on_conflict": "queue"});
    let program = start(1);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(id(&program.caller.post("/run", &body).await.json()));
    }
    program.caller.wait_for(&ids[0], "RUNNING").await;
    kill(program);

    let program = start(2);
    program.caller.wait_for(&ids[0], "FAILED").await;
    assert_eq!(program.caller.process(SWEEP).await.status, 200);
    for id in &ids[1..3] {
        program.caller.wait_for(id, "RUNNING").await;
    }
    let shown = program.caller.get(&format!("/executions/{}", ids[3])).await.json();
    assert_eq!((&shown["status"], &shown["queue_position"]), (&json!("QUEUED"), &json!(1)), "{shown}");
    let refused = program.caller.post("/run", &json!({"command": "true"})).await;
    assert!(refused.text.contains("2 executions run"), "{}", refused.text);
    kill(program);

    // Without a limit, none waits for a place, and those that come later need none.
    let program = start(0);
    assert_eq!(program.caller.process(SWEEP).await.status, 200);
    program.caller.wait_for(&ids[3], "RUNNING").await;
    program.caller.run_to_end(json!({"command": "true"})).await;
    open(&gate);
    program.caller.wait_for(&ids[3], "SUCCEEDED").await;
    kill(program);

    // A lower limit than the last one counts at once. All places are free.
    let program = start(1);
    let body = json!({"command": "sleep 60"});
    assert_eq!(program.caller.post("/run", &body).await.status, 202);
    assert_eq!(program.caller.post("/run", &body).await.status, 409);
    program.signal("-TERM");
}

/// The program, with this limit.
fn start(directory: &Path, most: u32) -> Program {
    let mut command = command(directory);
    command.env(LIMIT, most.to_string());
    Program::run(directory, command)
}

fn kill(program: Program) {
    program.signal("-KILL");
    program.wait();
}

const CROWD: u32 = 60;
const MOST: u32 = 3;

/// The numbers of begins in a log, and the most that ran at the same time.
fn ran(log: &str) -> (u32, u32) {
    let (mut begun, mut running, mut most) = (0, 0_u32, 0);
    for line in log.lines() {
        if line == "begins" {
            begun += 1;
            running += 1;
        } else {
            running -= 1;
        }
        most = most.max(running);
    }
    (begun, most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_runs_no_more_than_may_run_at_once_and_all_end_although_the_system_is_killed_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let log = |part: usize| directory.path().join(format!("log-{part}"));
    let current = directory.path().join("current");
    std::os::unix::fs::symlink(log(1), &current).unwrap();
    let start = || start(directory.path(), MOST);
    let (wait, gate) = gate();
    let program = start();
    // A process that outlives the system for a moment writes into the log that was there when it began.
    let script =
        format!("{wait}; log=$(readlink {}); echo begins >> $log; sleep 0.03; echo ends >> $log", current.display());
    let mut ids = Vec::new();
    for _ in 0..CROWD {
        let answer = program.caller.post("/run", &json!({"command": script, "on_conflict": "queue"})).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        ids.push(id(&answer.json()));
    }
    open(&gate);
    while ran(&std::fs::read_to_string(log(1)).unwrap_or_default()).0 < CROWD / 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill(program);
    std::fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink(log(2), &current).unwrap();
    let mut program = start();
    program.caller.patience = Duration::from_mins(3);
    for id in &ids {
        let deadline = std::time::Instant::now() + Duration::from_mins(3);
        loop {
            let status = program.caller.get(&format!("/executions/{id}/status")).await.json();
            if ["SUCCEEDED", "FAILED"].contains(&status["status"].as_str().unwrap()) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let mut all = 0;
    for part in 1..=2 {
        let (begun, most) = ran(&std::fs::read_to_string(log(part)).unwrap());
        assert!(most <= MOST, "{most} at the same time in part {part}");
        all += begun;
    }
    // A run that was killed has begun, or was about to.
    assert!((CROWD - MOST..=CROWD).contains(&all), "{all} runs have begun");
    // All places are free.
    for _ in 0..MOST {
        assert_eq!(program.caller.post("/run", &json!({"command": "sleep 60"})).await.status, 202);
    }
    assert_eq!(program.caller.post("/run", &json!({"command": "true"})).await.status, 409);
    program.signal("-TERM");
}
