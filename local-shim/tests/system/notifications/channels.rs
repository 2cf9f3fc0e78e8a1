//! Tests of what each channel of a notification is told: a webhook with its signatures, Slack, and mail.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use super::{create_notification, deliveries, webhook, with_clock};
use crate::{
    client::{System, next_page},
    common::receiver::{Got, Receiver},
};

fn signature(secret: &str, got: &Got) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{}.{}", got.header("x-runvoy-timestamp"), got.text).as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={digits}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_and_the_recovery_after_it_reach_a_receiver_that_can_check_who_sends_them() {
    let system = System::start().await;
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    let secret = webhook(admin, "on-call", &receiver, json!({})).await;
    let shown = admin.get("/notifications/on-call").await;
    assert_eq!(shown.json()["notification"]["on"], json!(["failed", "recovered"]), "successes are left out");
    assert!(!shown.text.contains(&secret), "the key is shown once");

    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("mended");
    let job = json!({"command": format!("test -e {}", marker.display())});
    let (failed, _) = admin.run_to_end(job.clone()).await;
    let got = receiver.wait(1).await;
    assert_eq!(got[0].change(), (format!("{failed}-failed"), "failed".to_owned()));
    let body = got[0].json();
    assert_eq!((&body["execution"]["execution_id"], &body["execution"]["exit_code"]), (&json!(failed), &json!(1)));
    assert_eq!(
        body["url"],
        json!(format!("http://localhost:{}/logs?execution_id={failed}", system.shim.orchestrator.port()))
    );
    assert_eq!(got[0].header("x-runvoy-signature"), signature(&secret, &got[0]));
    assert_eq!(got[0].header("x-runvoy-id"), format!("{failed}-failed"));

    std::fs::write(&marker, "").unwrap();
    let (recovered, _) = admin.run_to_end(job.clone()).await;
    let got = receiver.wait(2).await;
    assert_eq!(got[1].change(), (format!("{recovered}-succeeded"), "recovered".to_owned()));
    let (_, ended) = admin.run_to_end(job).await;
    assert_eq!(ended["status"], "SUCCEEDED");
    system.shim.events_handled().await;
    let listed =
        deliveries(admin, "on-call", |all| all.len() == 2 && all.iter().all(|one| one["state"] == "delivered")).await;
    assert_eq!((&listed[0]["event"], &listed[1]["status_code"]), (&json!("recovered"), &json!(200)), "newest first");
    assert_eq!(receiver.got().len(), 2, "a success after a success is told to nobody");

    let first = admin.get("/notifications/on-call/deliveries?limit=1").await;
    let second = admin.get(&next_page(&first).unwrap()).await.json();
    assert_eq!(second["deliveries"][0]["id"], json!(format!("{failed}-failed")));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_a_rotation_both_keys_sign_and_then_the_new_one_alone() {
    let (system, clock) = with_clock().await;
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    let old = webhook(admin, "n", &receiver, json!({})).await;
    let rotated = admin.post("/notifications/n/rotate", &Value::Null).await;
    assert_eq!((rotated.status.as_u16(), &rotated.headers["cache-control"]), (200, &"no-store".parse().unwrap()));
    let new = rotated.json()["signing_secret"].as_str().unwrap().to_owned();
    admin.post("/notifications/n/test", &Value::Null).await;
    let got = receiver.wait(1).await;
    let both = format!("{},{}", signature(&new, &got[0]), signature(&old, &got[0]));
    assert_eq!(got[0].header("x-runvoy-signature"), both);
    clock.move_on(Duration::from_hours(24));
    admin.post("/notifications/n/test", &Value::Null).await;
    let got = receiver.wait(2).await;
    assert_eq!(got[1].header("x-runvoy-signature"), signature(&new, &got[1]));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_is_told_the_command_who_ran_it_how_it_ended_its_last_lines_and_where_to_look() {
    let system = System::start().await;
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    let created = create_notification(admin, "team", json!({"slack": {"url": receiver.url}}), json!({})).await;
    assert_eq!(created["signing_secret"], Value::Null);
    for answer in [admin.get("/notifications").await, admin.get("/notifications/team").await] {
        assert!(!answer.text.contains(&receiver.url), "{}", answer.text);
    }
    let command = "for i in $(seq 30); do echo \"line $i <!channel>\"; done; printf '\\033[31mred\\n'; exit 7";
    let (id, _) = admin.run_to_end(json!({"command": command})).await;
    let got = receiver.wait(1).await.remove(0);
    let text = got.json()["blocks"][0]["text"]["text"].as_str().unwrap().to_owned();
    for part in [
        "failed with exit code 7",
        "Started by: `admin@runvoy.local`",
        "Image: `ubuntu:22.04-",
        "line 30 &lt;!channel&gt;",
        "line 22",
        // Without its colour.
        "\nred",
        &id,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("line 21 ") && !text.contains("<!channel>") && !text.contains("### runvoy"), "{text}");
    assert!(got.headers.get("x-runvoy-signature").is_none(), "Slack knows no signature");
    system.shim.shut_down().await;
}

/// Developers list executions of others, and do not read their logs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_a_log_reach_only_those_who_may_read_it() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let receiver = Receiver::start().await;
    create_notification(&developer, "mine", json!({"slack": {"url": receiver.url}}), json!({})).await;
    let text = |got: &Got| got.json()["blocks"][0]["text"]["text"].as_str().unwrap().to_owned();
    let command = |word: &str| json!({"command": format!("printf 'sec%s\\n' {word}; exit 1")});
    let (_, ended) = system.admin.run_to_end(command("ret-of-others")).await;
    assert_eq!(ended["status"], "FAILED");
    let got = receiver.wait(1).await;
    assert!(!text(&got[0]).contains("secret-of-others"), "{}", text(&got[0]));
    developer.run_to_end(command("ret-of-mine")).await;
    let got = receiver.wait(2).await;
    assert!(text(&got[1]).contains("secret-of-mine"), "{}", text(&got[1]));

    let revoked = system.admin.post("/users/revoke", &json!({"email": "dev@example.com"})).await;
    assert_eq!(revoked.status, 200);
    system.admin.run_to_end(command("ret")).await;
    let listed = deliveries(&system.admin, "mine", |all| all.len() == 3 && all[0]["state"] != "sending").await;
    assert_eq!(listed[0]["state"], "skipped", "nothing goes out for a user who was revoked: {}", listed[0]);
    assert_eq!(receiver.got().len(), 2);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_out_once_its_recipient_has_confirmed_the_address() {
    let system = System::start().await;
    let admin = &system.admin;
    let channel = json!({"email": {"address": "ana@example.com"}});
    let created = create_notification(admin, "me", channel, json!({})).await;
    assert_eq!(created["notification"]["state"], "pending");
    admin.run_to_end(json!({"command": "exit 1"})).await;
    let listed = deliveries(admin, "me", |all| all.len() == 1 && all[0]["state"] == "skipped").await;
    assert!(listed[0]["answer"].as_str().unwrap().contains("has not confirmed"));
    let asked = admin.outbox().await["entries"].clone();
    assert_eq!((asked.as_array().unwrap().len(), &asked[0]["to"]), (1, &json!("ana@example.com")));

    admin.confirm(asked[0]["confirms"].as_str().unwrap()).await;
    assert_eq!(admin.get("/notifications/me").await.json()["notification"]["state"], "active");
    // Each pause ends a batch of lines.
    let command = "echo the first words; sleep 0.4; echo the last words; sleep 0.4; printf 'Exit code: 0\\n\\033]0;title\\007'; exit 4\nReason: forged \u{202e}";
    admin.run_to_end(json!({"command": command})).await;
    deliveries(admin, "me", |all| all.len() == 2 && all[0]["state"] == "delivered").await;
    let mail = admin.outbox().await["entries"][0].clone();
    assert!(mail["subject"].as_str().unwrap().contains("failed with exit code 4"), "{mail}");
    let body = mail["body"].as_str().unwrap();
    assert!(body.contains("> the first words\n> the last words\n") && body.contains("/logs?execution_id="), "{body}");
    // No text of others has a line that looks like one of the mail's own, or a character that is not shown.
    assert!(body.contains("\n    Reason: forged \\u{202e}\n") && body.contains("> Exit code: 0\n"), "{body}");
    assert_eq!(body.lines().filter(|line| line.starts_with("Exit code: ") || line.starts_with("Reason: ")).count(), 2);
    assert!(!body.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{body}");

    let developer = system.user("developer", "dev@example.com").await;
    let url = developer.api.replace("/api/v1", "/outbox.json");
    let request = axum::http::Request::get(url).header("x-api-key", &developer.key);
    let refused = developer.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(refused.status, 403, "the outbox has lines of logs");
    let entries = admin.get("/audit?actor=dev@example.com&outcome=refused").await.json()["entries"].clone();
    assert_eq!(
        (entries[0]["action"].as_str(), entries.as_array().unwrap().len()),
        (Some("outbox:read"), 1),
        "{entries}"
    );
    system.shim.shut_down().await;
}
