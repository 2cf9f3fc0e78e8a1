//! Tests of attempts whose events come twice, late and in another order, and of a system that is killed between them.

use std::{collections::BTreeMap, time::Duration};

use local_shim::Settings;
use serde_json::json;

use super::{begun, succeeds_at, wait_for_attempt};
use crate::{
    client::{System, connect_at_last, id, show, watch},
    common::events::{task_running, task_stopped},
    gate::{gate, open, run_of},
    program::{Program, command},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_an_earlier_attempt_changes_nothing_however_often_and_late_it_comes() {
    let system = System::start().await;
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let (wait, gate) = gate();
    let script = format!("{}; {wait}", succeeds_at(2, &count));
    let (id, _) = run_of(&system, &script, json!({"lock": "l", "retry": {"attempts": 5, "backoff": 0}})).await;
    let running = wait_for_attempt(&system, &id, 2, "RUNNING").await;
    let first = running["attempts"][0]["task_id"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        for mut event in [
            task_stopped(&first, "EssentialContainerExited", Some(3)),
            task_stopped(&first, "UserInitiated", Some(143)),
            task_stopped(&first, "EssentialContainerExited", Some(0)),
            task_running(&first),
        ] {
            event["detail"]["startedBy"] = json!(format!("{id}-1"));
            let processed = system.admin.process(event.to_string()).await;
            assert_eq!(processed.status, 200, "{}", processed.text);
        }
    }
    let shown = show(&system, &id).await;
    assert_eq!(shown, running);
    open(&gate);
    system.admin.wait_for(&id, "SUCCEEDED").await;
    assert_eq!(begun(&count), 2);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_attempts_are_as_many_as_asked_under_chaos() {
    let stories = (1..=4).map(|seed| async move {
        let system = System::start_with(Settings { chaos: Some(seed), ..Settings::ephemeral() }).await;
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let body = json!({"command": succeeds_at(3, &count), "lock": "l", "on_conflict": "queue", "retry": {"attempts": 4, "backoff": 0}});
        let started = system.admin.run_with(body).await;
        let id = id(&started);
        let url = format!("{}&batch=true", started["websocket_url"].as_str().unwrap());
        let viewer = tokio::spawn(async move { watch(connect_at_last(&url).await).await });
        system.admin.wait_for(&id, "SUCCEEDED").await;
        let shown = show(&system, &id).await;
        assert_eq!((&shown["attempt"], begun(&count)), (&json!(3), 3), "seed {seed}: {shown}");
        let seen = viewer.await.unwrap();
        // In the log's order: a batch of lines may be late.
        let lines: BTreeMap<String, String> =
            seen.lines().into_iter().filter(|(_, line)| line.ends_with(" here")).collect();
        let here: Vec<String> = lines.into_values().collect();
        assert_eq!(here, ["attempt 1 here", "attempt 2 here", "attempt 3 here"], "seed {seed}");
        assert_eq!(seen.frames.last().unwrap()["type"], "disconnect", "seed {seed}");
        system.shim.shut_down().await;
    });
    futures_util::future::join_all(stories).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_go_on_after_the_system_was_killed_between_two_of_them_and_during_one() {
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let (wait, gate) = gate();
    let start = || Program::run(directory.path(), command(directory.path()));
    let kill = |program: Program| {
        program.signal("-KILL");
        program.wait();
    };
    let program = start();
    // The first attempt fails, the second one is lost with the system, and the third one succeeds.
    let c = count.display();
    let script = format!(
        "echo x >> {c}; n=$(wc -l < {c}); [ $n -ge 2 ] || exit 3; [ $n -ge 3 ] || {{ {wait}; exit 4; }}; echo done"
    );
    let body = json!({"command": script, "lock": "l", "retry": {"attempts": 9, "backoff": "15s"}});
    let id = id(&program.caller.run_with(body).await);
    program.caller.wait_for(&id, "QUEUED").await;
    kill(program);

    let program = start();
    let between = program.caller.get(&format!("/executions/{id}")).await.json();
    assert_eq!((&between["attempts"][0]["on"], begun(&count)), (&json!("exit"), 1), "{between}");
    program.caller.wait_for(&id, "RUNNING").await;
    while begun(&count) < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill(program);
    open(&gate);

    let program = start();
    program.caller.wait_for(&id, "SUCCEEDED").await;
    let shown = program.caller.get(&format!("/executions/{id}")).await.json();
    assert_eq!((&shown["attempt"], begun(&count)), (&json!(3), 3), "{shown}");
    let lock = program.caller.get("/locks/l").await.json();
    assert_eq!((&lock["held"], &lock["waiting"]), (&json!(0), &json!(0)));
    program.signal("-TERM");
}
