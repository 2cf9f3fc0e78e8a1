//! Tests of the events that tell of something other than an end: a run that waits, and one that did not start.

use serde_json::{Value, json};

use super::{deliveries, webhook, with_clock};
use crate::{
    client::{System, id},
    common::receiver::{Got, Receiver},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_approval_is_told_once_with_a_link_to_it() {
    let system = System::start().await;
    let receiver = Receiver::start().await;
    let asker = system.user("developer", "asker@example.com").await;
    for name in ["restart", "other"] {
        let playbook = json!({"commands": ["echo restarted"], "approvals": {"by": ["role:admin"]}});
        assert_eq!(system.admin.put(&format!("/playbooks/{name}"), &playbook).await.status, 200);
    }
    let of_playbook = json!({"on": ["waiting"], "for": {"playbook": "restart"}});
    webhook(&system.admin, "approvers", &receiver, of_playbook).await;
    let ask = async |name: &str| asker.post(&format!("/playbooks/{name}/run"), &json!({})).await.json();
    ask("other").await;
    let asked = ask("restart").await;
    let execution = id(&asked);
    let got = receiver.wait(1).await;
    assert_eq!(got[0].change(), (format!("{execution}-waiting"), "waiting".to_owned()));
    let told = got[0].json();
    assert_eq!(told["execution"]["created_by"], "asker@example.com");
    assert!(told["url"].as_str().unwrap().ends_with(&format!("/logs?execution_id={execution}")), "{told}");

    assert_eq!(
        asker.get(&format!("/executions/{execution}")).await.json()["status"],
        "WAITING",
        "a look starts nothing"
    );
    let approved = system.admin.post(&format!("/executions/{execution}/approve"), &json!({})).await;
    assert_eq!(approved.status, 200, "{}", approved.text);
    asker.wait_for(&execution, "SUCCEEDED").await;
    system.shim.events_handled().await;
    let listed = deliveries(&system.admin, "approvers", |all| all.iter().all(|one| one["state"] == "delivered")).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_run_that_cannot_start_is_told_with_its_reason() {
    let (system, clock) = with_clock().await;
    // The schedule has no time of its own before the one that the test moves to.
    clock.move_to_next_hour();
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    webhook(admin, "starts", &receiver, json!({"on": ["not_started"]})).await;
    webhook(admin, "failures", &receiver, json!({"on": ["failed"]})).await;
    let image = admin.post("/images/register", &json!({"image": "gone:1"})).await.json()["image_id"].clone();
    let schedule = json!({"name": "nightly", "cron": "0 * * * *", "run": {"command": "true", "image": image}});
    let created = admin.post("/schedules", &schedule).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(admin.delete(&format!("/images/{}", image.as_str().unwrap())).await.status, 200);
    clock.move_to_next_hour();
    // A run that starts and fails is told as a failure only.
    let (failed, _) = admin.run_to_end(json!({"command": "exit 3"})).await;
    let got = receiver.wait(3).await;
    system.shim.events_handled().await;
    let of_start: Vec<Value> = got.iter().map(Got::json).filter(|told| told["type"] == "not_started").collect();
    assert_eq!(of_start.len(), 1, "{of_start:?}");
    let execution = of_start[0]["execution"]["execution_id"].as_str().unwrap();
    let reason = of_start[0]["execution"]["reason"].as_str().unwrap();
    assert!(reason.contains("gone:1"), "{reason}");
    let mut failures: Vec<String> =
        got.iter().map(Got::change).filter(|(_, event)| event == "failed").map(|(id, _)| id).collect();
    failures.sort();
    let mut expected = [format!("{execution}-failed"), format!("{failed}-failed")];
    expected.sort();
    assert_eq!(failures, expected);
    system.shim.shut_down().await;
}
