//! Tests of locks: who holds one, who waits for it, and in which order they get it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::{Answer, System, id, next_page, show},
    executions::queue::SWEEP,
    gate::{gate, open, run_of},
    program::Program,
};

async fn lock(system: &System, name: &str) -> Value {
    system.admin.get(&format!("/locks/{name}")).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_held_refuses_the_next_run_and_names_its_holder() {
    let system = System::start().await;
    let (command, gate) = gate();
    let (holder, started) = run_of(&system, &command, json!({"lock": "tf-prod"})).await;
    assert_eq!(started["status"], "STARTING");
    system.admin.wait_for(&holder, "RUNNING").await;
    let refused = system.admin.post("/run", &json!({"command": "true", "lock": "tf-prod"})).await;
    let body = refused.json();
    assert_eq!((refused.status.as_u16(), &body["code"], &body["field"]), (409, &json!("CONFLICT"), &json!("lock")));
    let since = lock(&system, "tf-prod").await["holders"][0]["since"].as_str().unwrap().to_owned();
    let told = format!("lock tf-prod is held by execution {holder} of admin@runvoy.local since {since}");
    assert!(body["error"].as_str().unwrap().contains(&told), "{body}");
    let hint = body["hint"].as_str().unwrap();
    assert!(hint.contains("queue") && hint.contains("/api/v1/locks/tf-prod"), "{body}");
    assert_eq!(show(&system, &holder).await["lock"], json!(["tf-prod"]));
    // All or none: a run that needs a free lock too does not take it.
    let both = system.admin.post("/run", &json!({"command": "true", "lock": ["a-free-one", "tf-prod"]})).await;
    assert_eq!(both.status, 409);
    assert_eq!(system.admin.get("/locks/a-free-one").await.status, 404);
    assert_eq!(system.admin.get("/executions?limit=0").await.json().as_array().unwrap().len(), 1);
    open(&gate);
    system.admin.wait_for(&holder, "SUCCEEDED").await;
    let free = lock(&system, "tf-prod").await;
    assert_eq!((&free["held"], &free["waiting"], &free["holders"]), (&json!(0), &json!(0), &json!([])));
    let (next, _) = run_of(&system, "true", json!({"lock": "tf-prod"})).await;
    let of_lock = system.admin.get("/executions?lock=tf-prod").await.json();
    let ids: Vec<&Value> = of_lock.as_array().unwrap().iter().map(|one| &one["execution_id"]).collect();
    assert_eq!(ids, [&json!(next), &json!(holder)]);
    let unreachable = system.admin.post("/run", &json!({"command": "true", "lock": ".."})).await;
    assert_eq!((unreachable.status.as_u16(), &unreachable.json()["field"]), (400, &json!("lock")));
    assert_eq!(system.admin.get(&format!("/locks/{}", "x".repeat(3000))).await.status, 404);
    system.admin.wait_for(&next, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_wait_get_the_lock_in_the_order_in_which_they_came() {
    let system = System::start().await;
    let (command, gate) = gate();
    let order = tempfile::tempdir().unwrap().keep().join("order");
    let (holder, _) = run_of(&system, &command, json!({"lock": "l"})).await;
    let mut waiting = Vec::new();
    for number in 1..=4 {
        let command = format!("echo {number} >> {}", order.display());
        let (id, started) = run_of(&system, &command, json!({"lock": "l", "on_conflict": "queue"})).await;
        assert_eq!((&started["status"], &started["queue_position"]), (&json!("QUEUED"), &json!(number)));
        let shown = show(&system, &id).await;
        assert_eq!((&shown["queue_position"], &shown["waits_for"]), (&json!(number), &json!("lock l")));
        waiting.push(id);
    }
    // The second leaves the line.
    assert_eq!(system.admin.delete(&format!("/executions/{}", waiting[1])).await.status, 200);
    assert_eq!(show(&system, &waiting[1]).await["status"], "STOPPED");
    assert_eq!(show(&system, &waiting[2]).await["queue_position"], 2);
    let shown = lock(&system, "l").await;
    assert_eq!((&shown["held"], &shown["waiting"]), (&json!(1), &json!(3)));
    assert_eq!(shown["holders"][0]["execution_id"], json!(holder));
    assert_eq!(shown["queue"][0]["execution_id"], json!(waiting[0]));
    open(&gate);
    for at in [0, 2, 3] {
        system.admin.wait_for(&waiting[at], "SUCCEEDED").await;
    }
    assert_eq!(std::fs::read_to_string(&order).unwrap(), "1\n3\n4\n");
    let free = lock(&system, "l").await;
    assert_eq!((&free["held"], &free["waiting"]), (&json!(0), &json!(0)));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_pauses_and_limits_are_set_by_the_first_run_or_by_hand() {
    let system = System::start().await;
    let (command, gate) = gate();
    let queue = |slots: u32| json!({"lock": "l", "slots": slots, "on_conflict": "queue"});
    let (first, _) = run_of(&system, &command, queue(2)).await;
    let (second, started) = run_of(&system, &command, queue(2)).await;
    assert_eq!(started["status"], "STARTING");
    let (third, started) = run_of(&system, "true", queue(2)).await;
    assert_eq!(started["status"], "QUEUED");
    let other = system.admin.post("/run", &json!({"command": "true", "lock": "l", "slots": 3})).await;
    assert_eq!((other.status.as_u16(), other.json()["field"].as_str()), (409, Some("slots")), "{}", other.text);

    let paused = system.admin.put("/locks/l", &json!({"paused": true, "max_queue": 1})).await.json();
    assert_eq!((&paused["paused"], &paused["slots"], &paused["waiting"]), (&json!(true), &json!(2), &json!(1)));
    let full = system.admin.post("/run", &json!({"command": "true", "lock": "l", "on_conflict": "queue"})).await;
    assert_eq!(full.status, 409, "{}", full.text);
    open(&gate);
    for id in [&first, &second] {
        system.admin.wait_for(id, "SUCCEEDED").await;
    }
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    assert_eq!(show(&system, &third).await["status"], "QUEUED", "the lock is paused");
    let resumed = system.admin.put("/locks/l", &json!({"paused": false})).await.json();
    assert_eq!(resumed["waiting"], 0);
    system.admin.wait_for(&third, "SUCCEEDED").await;
    for (body, field) in [(json!({"slots": -1}), "slots"), (json!({"slots": 1001}), "slots")] {
        let refused = system.admin.put("/locks/l", &body).await;
        assert_eq!((refused.status.as_u16(), refused.json()["field"].as_str()), (400, Some(field)));
    }
    for name in ["other", "third"] {
        assert_eq!(system.admin.put(&format!("/locks/{name}"), &json!({"slots": 1})).await.status, 200);
    }
    let first = system.admin.get("/locks?limit=2").await;
    let second = system.admin.get(&next_page(&first).unwrap()).await;
    let names = |answer: &Answer| -> Vec<String> {
        answer.json()["locks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|lock| lock["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!((names(&first), names(&second)), (vec!["l".to_owned(), "other".to_owned()], vec!["third".to_owned()]));
    assert_eq!(names(&system.admin.get("/locks?q=THI").await), ["third"]);
    assert_eq!(system.admin.put("/locks/~running", &json!({"slots": 1})).await.status, 400);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_deleted_once_it_is_neither_held_nor_waited_for_and_the_next_run_makes_it_anew() {
    let system = System::start().await;
    let (command, gate) = gate();
    let (holder, _) = run_of(&system, &command, json!({"lock": "l", "slots": 2})).await;
    let held = system.admin.delete("/locks/l").await;
    let problem = held.json()["error"].as_str().unwrap().to_owned();
    assert_eq!(held.status, 409);
    assert!(problem.contains("1 hold it, and 0 wait for it"), "{problem}");
    assert_eq!(system.admin.put("/locks/l", &json!({"paused": true})).await.status, 200);
    let (waiting, started) = run_of(&system, "true", json!({"lock": "l", "on_conflict": "queue"})).await;
    assert_eq!(started["status"], "QUEUED");
    // The refusal says which of the reasons it is.
    let refused = system.admin.post("/run", &json!({"command": "true", "lock": "l"})).await;
    assert!(
        refused.json()["error"].as_str().unwrap().contains(&format!("held by execution {holder}")),
        "{}",
        refused.text
    );
    open(&gate);
    system.admin.wait_for(&holder, "SUCCEEDED").await;
    let refused = system.admin.post("/run", &json!({"command": "true", "lock": "l"})).await;
    assert_eq!(refused.json()["error"], "lock l is paused");
    let waited_for = system.admin.delete("/locks/l").await;
    assert_eq!(waited_for.status, 409, "{}", waited_for.text);
    assert_eq!(system.admin.delete(&format!("/executions/{waiting}")).await.status, 200);

    let developer = system.user("developer", "dev@example.com").await;
    assert_eq!(developer.delete("/locks/l").await.status, 403);
    let deleted = system.admin.delete("/locks/l").await;
    assert_eq!((deleted.status.as_u16(), deleted.json()["name"].as_str()), (200, Some("l")), "{}", deleted.text);
    for path in ["/locks/l", "/locks/~running", "/locks/no%20name"] {
        assert_eq!(system.admin.delete(path).await.status, 404, "{path}");
    }
    assert_eq!(system.admin.get("/locks").await.json()["locks"], json!([]));
    let entries = system.admin.get("/audit?resource=lock:l&action=locks:delete&outcome=done").await.json();
    assert_eq!(entries["entries"].as_array().unwrap().len(), 1, "{entries}");
    let (next, _) = run_of(&system, "true", json!({"lock": "l", "slots": 3})).await;
    let made = lock(&system, "l").await;
    assert_eq!((&made["slots"], &made["paused"]), (&json!(3), &json!(false)));
    system.admin.wait_for(&next, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_deleted_while_runs_take_it_loses_none_of_them() {
    let system = System::start().await;
    let body = json!({"command": "true", "lock": "l", "on_conflict": "queue"});
    let runs = (0..12).map(async |_| system.admin.post("/run", &body).await);
    let deletions = (0..12).map(async |_| system.admin.delete("/locks/l").await.status.as_u16());
    let (answers, deleted) =
        tokio::join!(futures_util::future::join_all(runs), futures_util::future::join_all(deletions));
    assert!(deleted.iter().all(|status| [200, 404, 409].contains(status)), "{deleted:?}");
    for answer in answers {
        assert_eq!(answer.status, 202, "{}", answer.text);
        system.admin.wait_for(&id(&answer.json()), "SUCCEEDED").await;
    }
    assert!([200, 404].contains(&system.admin.delete("/locks/l").await.status.as_u16()));
    assert_eq!(system.admin.get("/locks/l").await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_gets_no_longer_than_it_may_however_many_come_at_the_same_time() {
    let system = System::start().await;
    assert_eq!(system.admin.put("/locks/l", &json!({"max_queue": 3})).await.status, 200);
    let (command, gate) = gate();
    let (holder, _) = run_of(&system, &command, json!({"lock": "l"})).await;
    let body = json!({"command": "true", "lock": ["a-free-one", "l"], "on_conflict": "queue"});
    let (first, _) = run_of(&system, "true", body).await;
    // The first in line holds the other lock, for whose line there is no limit.
    let body = json!({"command": "true", "lock": "l", "on_conflict": "queue"});
    let answers = futures_util::future::join_all((0..10).map(|_| system.admin.post("/run", &body))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!(accepted.len(), 2, "{:?}", refused.iter().map(|one| &one.text).collect::<Vec<_>>());
    for answer in &refused {
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), &body["field"]), (409, &json!("lock")), "{body}");
        assert!(body["error"].as_str().unwrap().contains("3 executions wait for lock l"), "{body}");
    }
    let shown = lock(&system, "l").await;
    assert_eq!((&shown["held"], &shown["waiting"]), (&json!(1), &json!(3)));
    let other = lock(&system, "a-free-one").await;
    assert_eq!((&other["held"], &other["holders"][0]["execution_id"]), (&json!(1), &json!(first)));
    open(&gate);
    system.admin.wait_for(&holder, "SUCCEEDED").await;
    system.admin.wait_for(&first, "SUCCEEDED").await;
    for answer in &accepted {
        system.admin.wait_for(&id(&answer.json()), "SUCCEEDED").await;
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_keeps_the_locks_that_it_has_while_it_waits_for_the_next_and_the_others_cannot_block_each_other() {
    let system = System::start().await;
    let (command, gate) = gate();
    let (holder, _) = run_of(&system, &command, json!({"lock": "b"})).await;
    let both = json!({"lock": ["b", "a"], "on_conflict": "queue"});
    let (one, _) = run_of(&system, "true", both.clone()).await;
    let (other, _) = run_of(&system, "true", both).await;
    assert_eq!(show(&system, &one).await["waits_for"], "lock b");
    assert_eq!(show(&system, &other).await["waits_for"], "lock a");
    open(&gate);
    for id in [&holder, &one, &other] {
        system.admin.wait_for(id, "SUCCEEDED").await;
    }
    for name in ["a", "b"] {
        let free = lock(&system, name).await;
        assert_eq!((&free["held"], &free["waiting"]), (&json!(0), &json!(0)), "{name}");
    }
    system.shim.shut_down().await;
}

const CROWD: usize = 200;
const SLOTS: usize = 3;

/// The numbers of the runs that a log says have started, in order, and the most that ran at the same time.
fn started(log: &str) -> (Vec<usize>, usize) {
    let (mut order, mut running, mut most) = (Vec::new(), 0_usize, 0);
    for line in log.lines() {
        match line.split_once(' ') {
            Some(("begins", number)) => {
                order.push(number.parse().unwrap());
                running += 1;
            }
            _ => running -= 1,
        }
        most = most.max(running);
    }
    (order, most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_runs_on_one_lock_all_end_in_order_although_the_system_is_killed_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let log = |part: usize| directory.path().join(format!("log-{part}"));
    let current = directory.path().join("current");
    let program = Program::start(directory.path());
    std::os::unix::fs::symlink(log(1), &current).unwrap();
    // All are in line before the first begins.
    let paused = program.caller.put("/locks/l", &json!({"slots": SLOTS, "paused": true})).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    let mut ids = Vec::new();
    for number in 0..CROWD {
        // The commands of a system that was killed may end late, and write where they began.
        let command = format!(
            "log=$(readlink {}); echo begins {number} >> $log; sleep 0.03; echo ends {number} >> $log",
            current.display()
        );
        let body = json!({"command": command, "lock": "l", "slots": SLOTS, "on_conflict": "queue"});
        let answer = program.caller.post("/run", &body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        ids.push(id(&answer.json()));
    }
    assert_eq!(program.caller.put("/locks/l", &json!({"paused": false})).await.status, 200);
    while started(&std::fs::read_to_string(log(1)).unwrap_or_default()).0.len() < 40 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    program.signal("-KILL");
    program.wait();
    std::fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink(log(2), &current).unwrap();
    let mut program = Program::start(directory.path());
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
    let (mut all, mut before) = (Vec::new(), 0);
    for part in 1..=2 {
        let (order, most) = started(&std::fs::read_to_string(log(part)).unwrap());
        assert!(most <= SLOTS, "{most} at the same time in part {part}");
        before = all.len();
        all.extend(order);
    }
    // A run that was killed has begun, or was about to. Runs that hold the lock at the same time may begin in any order.
    assert!((CROWD - SLOTS..=CROWD).contains(&all.len()), "{} runs have begun", all.len());
    let strays: Vec<_> = all.iter().enumerate().filter(|(at, number)| number.abs_diff(*at) > 2 * SLOTS).collect();
    // What held the lock and had no task when the system was killed is started by the sweep, up to a minute later.
    let held = |number: usize| number.abs_diff(before) <= 2 * SLOTS;
    assert!(strays.len() <= SLOTS && strays.iter().all(|(_, number)| held(**number)), "out of order: {strays:?}");
    let free = program.caller.get("/locks/l").await.json();
    assert_eq!((&free["held"], &free["waiting"]), (&json!(0), &json!(0)));
    program.signal("-TERM");
}
