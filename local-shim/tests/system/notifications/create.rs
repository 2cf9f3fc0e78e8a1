//! Tests of `POST /notifications`, and of the changes that a notification names.

use std::time::Duration;

use local_shim::aws::faults::{Call, Fault};
use serde_json::{Value, json};

use super::{create_notification, webhook, with_clock};
use crate::{
    cases::Cases,
    client::System,
    common::receiver::{Got, Receiver},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_notification_is_refused_at_its_field() {
    let system = System::start().await;
    let admin = &system.admin;
    let url = |url: &str| json!({"name": "n", "channel": {"webhook": {"url": url}}});
    let ok = json!({"webhook": {"url": "https://example.com/hook"}});
    let mut checked = Cases::default();
    for (body, field) in [
        (url("ftp://example.com"), "channel.webhook.url"),
        (url("example.com"), "channel.webhook.url"),
        (url("https://user:password@example.com/"), "channel.webhook.url"),
        (url("https://example.com:99999/"), "channel.webhook.url"),
        (json!({"name": "n", "channel": ok, "for": []}), "for"),
        (url("https://10.0.0.1/"), "channel.webhook.url"),
        (url("https://169.254.169.254/latest/meta-data"), "channel.webhook.url"),
        (url("https://[::ffff:10.0.0.1]/"), "channel.webhook.url"),
        (url("https://[fd00:ec2::254]/"), "channel.webhook.url"),
        (json!({"name": "n", "channel": {"slack": {}}}), "channel.slack.url"),
        (json!({"name": "n", "channel": {"email": {"address": "nobody"}}}), "channel.email.address"),
        (json!({"name": "a/b", "channel": ok}), "name"),
        (json!({"name": "n", "channel": ok, "on": ["test"]}), "on"),
        (json!({"name": "n", "channel": ok, "for": {"user": "nobody"}}), "for.user"),
        (json!({"name": "n", "channel": ok, "slow_after": 700_000}), "slow_after"),
    ] {
        let refused = admin.post("/notifications", &body).await;
        checked.equal(&body, (refused.status.as_u16(), refused.json()["field"].as_str()), (400, Some(field)));
    }
    checked.all_hold();
    create_notification(admin, "n", ok.clone(), json!({})).await;
    let again = admin.post("/notifications", &json!({"name": "n", "channel": ok})).await;
    assert_eq!((again.status.as_u16(), &again.json()["code"]), (409, &json!("CONFLICT")));
    let other = admin.put("/notifications/n", &json!({"channel": {"email": {"address": "a@example.com"}}})).await;
    assert_eq!((other.status.as_u16(), &other.json()["field"]), (400, &json!("channel")));
    assert_eq!(admin.delete("/notifications/n").await.status, 200);
    assert_eq!(admin.get("/notifications/n").await.status, 404);
    assert_eq!(admin.delete("/notifications/n").await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_names_what_its_maker_can_see_and_keeps_what_is_gone() {
    let system = System::start().await;
    let admin = &system.admin;
    let developer = system.user("developer", "dev@example.com").await;
    assert_eq!(admin.put("/playbooks/deploy", &json!({"commands": ["true"]})).await.status, 200);
    let schedule = json!({"name": "nightly", "cron": "0 0 1 1 *", "run": {"command": "true"}});
    assert_eq!(admin.post("/schedules", &schedule).await.status, 201);
    let channel = json!({"webhook": {"url": "https://example.com/hook"}});
    for (caller, target, field) in [
        (admin, json!({"playbook": "deplyo"}), "for.playbook"),
        (admin, json!({"schedule": "nigthly"}), "for.schedule"),
        // A developer sees schedules of others as little as those that there are not.
        (&developer, json!({"schedule": "nightly"}), "for.schedule"),
    ] {
        let new = json!({"name": "n", "channel": channel, "for": target});
        let refused = caller.post("/notifications", &new).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!(field)), "{}", refused.text);
    }
    let target = json!({"playbook": "deploy", "schedule": "nightly"});
    create_notification(admin, "n", channel, json!({"for": target})).await;
    assert_eq!(admin.delete("/playbooks/deploy").await.status, 200);
    assert_eq!(admin.delete("/schedules/nightly").await.status, 200);
    let change = json!({"for": {"playbook": "deploy", "schedule": "nightly", "user": "dev@example.com"}});
    let changed = admin.put("/notifications/n", &change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let refused = admin.put("/notifications/n", &json!({"for": {"playbook": "other"}})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("for.playbook")));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_about_what_it_names() {
    let system = System::start().await;
    let admin = &system.admin;
    let developer = system.user("developer", "dev@example.com").await;
    let receiver = Receiver::start().await;
    assert_eq!(admin.put("/playbooks/deploy", &json!({"commands": ["true"]})).await.status, 200);
    for (name, target) in [
        ("user", json!({"user": "Dev@example.com"})),
        ("image", json!({"image": "ubuntu"})),
        ("other-image", json!({"image": "alpine"})),
        ("both", json!({"image": "ubuntu:22.04", "user": "admin@runvoy.local"})),
        ("playbook", json!({"playbook": "deploy"})),
    ] {
        webhook(admin, name, &receiver, json!({"for": target})).await;
    }
    let told = |got: &[Got]| {
        let mut names: Vec<String> =
            got.iter().map(|one| one.json()["notification"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    developer.run_to_end(json!({"command": "exit 1"})).await;
    assert_eq!(told(&receiver.wait(2).await), ["image", "user"]);
    admin.run_to_end(json!({"command": "exit 1"})).await;
    let got = receiver.wait(4).await;
    assert_eq!(told(&got[2..]), ["both", "image"]);
    assert_eq!(got[2].change().0, got[3].change().0, "a change has one id, whoever is told");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_deletes_keys_that_belong_to_no_notification_and_tells_of_notifications_that_lack_theirs() {
    let (system, clock) = with_clock().await;
    let admin = &system.admin;
    let issues = async || {
        let report = admin.post("/health/reconcile", &Value::Null).await.json();
        let issues = report["report"]["issues"].as_array().unwrap().clone();
        let its = issues.into_iter().filter(|issue| issue["resource_type"] == "notification");
        its.map(|issue| (issue["severity"].as_str().unwrap().to_owned(), issue["message"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let ssm = runvoy_core::aws::ssm::Client::new(system.shim.sdk());
    let keys = async || {
        let listed = ssm.below("/runvoy-local/notifications").await.unwrap();
        listed.into_iter().map(|parameter| parameter.name).collect::<Vec<_>>()
    };
    let hook = |name: &str| json!({"name": name, "channel": {"webhook": {"url": "https://example.com"}}});
    assert_eq!(admin.post("/notifications", &hook("kept")).await.status, 201);
    // The invocation ends after it has written the key.
    let fails = |operation: &'static str| {
        system.shim.plan_faults(Some(std::sync::Arc::new(move |call: Call<'_>| {
            (call.operation == operation).then_some(Fault::Fails)
        })));
    };
    fails("dynamodb:TransactWriteItems");
    assert_eq!(admin.post("/notifications", &hook("lost")).await.status, 503);
    system.shim.plan_faults(None);
    assert_eq!((admin.get("/notifications/lost").await.status.as_u16(), keys().await.len()), (404, 2));
    assert_eq!(issues().await, [], "it may be on its way");
    clock.move_on(Duration::from_secs(3700));
    let told = issues().await;
    assert_eq!((told.len(), told[0].0.as_str()), (1, "info"), "{told:?}");
    assert_eq!(keys().await.len(), 1);
    assert_eq!(issues().await, []);
    assert_eq!(admin.post("/notifications", &hook("lost")).await.status, 201);

    // A mail whose recipient could not be asked is no notification, and leaves no topic.
    fails("sns:CreateTopic");
    let mail = json!({"name": "mail", "channel": {"email": {"address": "ana@example.com"}}});
    assert_eq!(admin.post("/notifications", &mail).await.status, 503);
    system.shim.plan_faults(None);
    assert_eq!(admin.get("/notifications/mail").await.status, 404);
    assert_eq!(admin.post("/notifications", &mail).await.status, 201);
    let kept = keys().await.into_iter().next().unwrap();
    ssm.delete(kept).await.unwrap();
    let told = issues().await;
    assert_eq!((told.len(), told[0].0.as_str()), (1, "error"), "{told:?}");
    assert!(told[0].1.contains("its key is gone"), "{told:?}");
    system.shim.shut_down().await;
}
