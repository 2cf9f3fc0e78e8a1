//! Runs of playbooks that wait until people approve them.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::time::SharedTimeSource;
use axum::http::Method;
use local_shim::Settings;
use serde_json::{Value, json};

use crate::client::{Answer, Caller, MovedClock, System, id};

async fn publish(caller: &Caller, command: &str, approvals: Value) {
    let playbook =
        json!({"commands": [command], "approvals": approvals, "parameters": [{"name": "SERVICE", "required": false}]});
    let published = caller.put("/playbooks/p", &playbook).await;
    assert_eq!(published.status, 200, "{}", published.text);
}

async fn ask(caller: &Caller) -> String {
    let asked = caller.post("/playbooks/p/run", &json!({"parameters": {"SERVICE": "web"}})).await;
    assert_eq!((asked.status.as_u16(), &asked.json()["status"]), (202, &json!("WAITING")), "{}", asked.text);
    id(&asked.json())
}

async fn approve(caller: &Caller, execution: &str) -> Answer {
    caller.post(&format!("/executions/{execution}/approve"), &json!({"comment": "go"})).await
}

async fn deny(caller: &Caller, execution: &str) -> Answer {
    caller.post(&format!("/executions/{execution}/deny"), &json!({"comment": "not today"})).await
}

async fn waiting_for(caller: &Caller) -> Vec<String> {
    let list = caller.get("/executions?waiting_for=me").await.json();
    list.as_array().unwrap().iter().map(id).collect()
}

fn status_of(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["status"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_for_two_people_who_are_not_the_one_who_asked() {
    let system = System::start().await;
    let asker = system.user("operator", "asker@example.com").await;
    let ana = system.user("runner", "ana@example.com").await;
    let other = system.user("developer", "other@example.com").await;
    publish(
        &system.admin,
        "echo \"$SERVICE as approved\"",
        json!({"count": 2, "by": ["role:operator", "Ana@example.com"], "expires": "2h"}),
    )
    .await;
    let execution = ask(&asker).await;
    assert_eq!(waiting_for(&ana).await, std::slice::from_ref(&execution));
    assert!(waiting_for(&asker).await.is_empty() && waiting_for(&other).await.is_empty());

    for caller in [&asker, &other] {
        assert_eq!(approve(caller, &execution).await.status, 403);
        assert_eq!(deny(caller, &execution).await.status, 403);
    }
    // Who approves sees what will run, and with which values.
    let seen = ana.get(&format!("/executions/{execution}")).await.json();
    assert_eq!(
        (&seen["command"], &seen["request"]["env"]["SERVICE"]),
        (&json!("echo \"$SERVICE as approved\""), &json!("web"))
    );
    assert_eq!(status_of(&approve(&ana, &execution).await), (200, "WAITING".to_owned()));
    let again = approve(&ana, &execution).await;
    assert_eq!((again.status.as_u16(), &again.json()["code"]), (409, &json!("CONFLICT")));
    assert!(waiting_for(&ana).await.is_empty());

    // A change of the playbook changes nothing about what was approved.
    publish(&system.admin, "echo something else", json!({"count": 1})).await;
    assert_eq!(approve(&system.admin, &execution).await.status, 200);
    asker.wait_for(&execution, "SUCCEEDED").await;
    let log = asker.log(&execution).await;
    assert!(log.contains(&"web as approved".to_owned()), "{log:?}");
    let shown = asker.get(&format!("/executions/{execution}")).await.json();
    assert_eq!(shown["source"], "playbook:p@1");
    let given: Vec<&str> =
        shown["approval"]["given"].as_array().unwrap().iter().map(|one| one["by"].as_str().unwrap()).collect();
    assert_eq!(given, ["ana@example.com", "admin@runvoy.local"]);
    assert_eq!(shown["approval"]["given"][0]["comment"], "go");
    assert_eq!(approve(&system.admin, &execution).await.status, 409);
    let entries = system.admin.get("/audit?action=executions:approve&outcome=done").await.json()["entries"].clone();
    assert_eq!(entries.as_array().unwrap().len(), 2, "{entries}");
    // Who sees a run that needs no approval is told so, an admin too.
    let plain = system.admin.run("true").await["execution_id"].as_str().unwrap().to_owned();
    for answer in [approve(&system.admin, &plain).await, deny(&system.admin, &plain).await] {
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (409, Some("CONFLICT")),
            "{}",
            answer.text
        );
        assert!(answer.text.contains("needs no approval"), "{}", answer.text);
    }
    assert_eq!(approve(&other, &plain).await.status, 403);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_counts_only_while_its_user_could_give_it() {
    let system = System::start().await;
    let asker = system.user("developer", "asker@example.com").await;
    publish(&system.admin, "echo approved", json!({"count": 2, "by": ["role:operator"]})).await;
    for (name, lost) in [("revoked", json!({"revoked": true})), ("demoted", json!({"role": "viewer"}))] {
        let address = |who: &str| format!("{who}-{name}@example.com");
        let (leaver, second, third) = (
            system.user("operator", &address("leaver")).await,
            system.user("operator", &address("second")).await,
            system.user("operator", &address("third")).await,
        );
        let execution = ask(&asker).await;
        assert_eq!(status_of(&approve(&leaver, &execution).await), (200, "WAITING".to_owned()));
        let changed = system.admin.put(&format!("/users/{}", address("leaver")), &lost).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        assert_eq!(status_of(&approve(&second, &execution).await), (200, "WAITING".to_owned()), "{name}");
        assert_eq!(approve(&third, &execution).await.status, 200);
        system.admin.wait_for(&execution, "SUCCEEDED").await;
        let shown = system.admin.get(&format!("/executions/{execution}")).await.json();
        let by: Vec<&str> = shown["approval"]["given"]
            .as_array()
            .unwrap_or_else(|| panic!("{shown:#}"))
            .iter()
            .map(|decision| decision["by"].as_str().unwrap())
            .collect();
        assert_eq!(by, [address("second"), address("third")]);
        let entries = system.admin.get(&format!("/audit?resource=execution:{execution}")).await.json();
        assert!(
            entries.to_string().contains(&format!("\"no_longer_counted\":[\"{}\"]", address("leaver"))),
            "{entries:#}"
        );
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_run_is_stopped_with_its_reason() {
    let system = System::start().await;
    let asker = system.user("developer", "asker@example.com").await;
    let ana = system.user("viewer", "ana@example.com").await;
    publish(&system.admin, "echo never", json!({"by": ["ana@example.com"]})).await;
    let execution = ask(&asker).await;
    assert_eq!(status_of(&deny(&ana, &execution).await), (200, "STOPPED".to_owned()));
    let shown = asker.get(&format!("/executions/{execution}")).await.json();
    assert!(shown["reason"].as_str().unwrap().contains("denied by ana@example.com: not today"), "{shown}");
    assert_eq!(approve(&ana, &execution).await.status, 409);
    assert_eq!(deny(&ana, &execution).await.status, 409);
    let path = format!("/audit?resource=execution:{execution}&actor=ana@example.com");
    let entries = system.admin.get(&path).await.json()["entries"].clone();
    let actions: Vec<&Value> = entries.as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["executions:deny"], "{entries:#}");
    // The one who asked may take it back.
    let execution = ask(&asker).await;
    assert_eq!(asker.delete(&format!("/executions/{execution}")).await.status, 200);
    asker.wait_for(&execution, "STOPPED").await;
    assert_eq!(approve(&ana, &execution).await.status, 409);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_which_everything_is_optional_needs_no_body() {
    let system = System::start().await;
    let asker = system.user("developer", "asker@example.com").await;
    publish(&system.admin, "true", json!({})).await;
    let post = async |caller: &Caller, path: &str| caller.request(Method::POST, path, &[], "").await;
    let [approved, denied] = [post(&asker, "/playbooks/p/run").await, post(&asker, "/playbooks/p/run").await];
    assert_eq!((approved.status.as_u16(), denied.status.as_u16()), (202, 202), "{}", approved.text);
    let approved = id(&approved.json());
    assert_eq!(post(&system.admin, &format!("/executions/{approved}/approve")).await.status, 200);
    let denied = post(&system.admin, &format!("/executions/{}/deny", id(&denied.json()))).await;
    assert_eq!(status_of(&denied), (200, "STOPPED".to_owned()));
    system.admin.wait_for(&approved, "SUCCEEDED").await;
    // A change without a body would say nothing about what it changes.
    assert_eq!(system.admin.request(Method::PUT, "/playbooks/p/sharing", &[], "").await.status, 400);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_approve_at_once_start_one_task() {
    let system = System::start().await;
    let asker = system.user("developer", "asker@example.com").await;
    publish(&system.admin, "echo once", json!({"count": 2, "by": ["role:operator"]})).await;
    let mut operators = Vec::new();
    for n in 0..6 {
        operators.push(system.user("operator", &format!("operator-{n}@example.com")).await);
    }
    let execution = ask(&asker).await;
    let attempts = operators.iter().map(async |operator| approve(operator, &execution).await.status.as_u16());
    let statuses = futures_util::future::join_all(attempts).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 2, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    asker.wait_for(&execution, "SUCCEEDED").await;
    let shown = asker.get(&format!("/executions/{execution}")).await.json();
    assert_eq!((shown["approval"]["given"].as_array().unwrap().len(), &shown["attempt"]), (2, &json!(1)));
    let lines = asker.log(&execution).await.into_iter().filter(|line| line == "once").count();
    assert_eq!(lines, 1);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_too_long_has_failed_whoever_looks_first() {
    let clock = MovedClock::default();
    let system =
        System::start_with(Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() })
            .await;
    let asker = system.user("developer", "asker@example.com").await;
    let playbook = json!({"commands": ["true"], "approvals": {"by": ["role:operator"]}, "deadline": "1h"});
    assert_eq!(system.admin.put("/playbooks/soon", &playbook).await.status, 200);
    let late = id(&asker.post("/playbooks/soon/run", &json!({})).await.json());
    publish(&system.admin, "echo never", json!({"by": ["role:operator"], "expires": "2h"})).await;
    let (read, approved, swept) = (ask(&asker).await, ask(&asker).await, ask(&asker).await);
    clock.move_on(Duration::from_secs(2 * 3600 + 1));
    assert_eq!(asker.get(&format!("/executions/{read}")).await.json()["status"], "FAILED");
    assert_eq!(approve(&system.admin, &approved).await.status, 409);
    let sweep = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {"runvoy_event": "sweep"}});
    let processed = system.admin.process_with_key(sweep.to_string()).await;
    assert_eq!(processed.status, 200, "{}", processed.text);
    for execution in [&read, &approved, &swept] {
        let shown = asker.get(&format!("/executions/{execution}")).await.json();
        let reason = shown["reason"].as_str().unwrap_or_default();
        assert!(shown["status"] == "FAILED" && reason.contains("approved it until"), "{shown}");
    }
    let shown = asker.get(&format!("/executions/{late}")).await.json();
    let reason = shown["reason"].as_str().unwrap_or_default();
    assert!(shown["status"] == "FAILED" && reason.contains("deadline"), "it has 24 hours to be approved: {shown}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_was_lost_after_the_last_approval_is_made_up_for() {
    let system = System::start().await;
    let asker = system.user("developer", "asker@example.com").await;
    publish(&system.admin, "echo late", json!({})).await;
    let execution = ask(&asker).await;
    // As when the invocation ends between the approval and the start.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let decision = [("by".to_owned(), text("admin@runvoy.local")), ("at".to_owned(), text("2026-01-01T00:00:00.000Z"))];
    let given = AttributeValue::L(vec![AttributeValue::M(decision.into())]);
    aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .update_item()
        .table_name("runvoy-local-executions")
        .key("execution_id", text(&execution))
        .update_expression("SET approval.given = :given")
        .expression_attribute_values(":given", given)
        .send()
        .await
        .unwrap();
    let sweep = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {"runvoy_event": "sweep"}});
    // Twice: each event may come twice.
    for _ in 0..2 {
        assert_eq!(system.admin.process_with_key(sweep.to_string()).await.status, 200);
    }
    asker.wait_for(&execution, "SUCCEEDED").await;
    assert_eq!(asker.log(&execution).await.into_iter().filter(|line| line == "late").count(), 1);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_approves_is_told_that_it_did_not_start_and_why() {
    let system = System::start().await;
    let asker = system.user("developer", "asker@example.com").await;
    publish(&system.admin, "echo never", json!({"by": ["role:operator"]})).await;
    let execution = ask(&asker).await;
    let revoked = system.admin.post("/users/revoke", &json!({"email": "asker@example.com"})).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    let answer = approve(&system.admin, &execution).await;
    assert_eq!(status_of(&answer), (200, "FAILED".to_owned()));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("Approved, but it did not start: ") && message.contains("revoked"), "{message}");
    system.shim.shut_down().await;
}
