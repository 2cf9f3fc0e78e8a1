//! Tests of `/notifications`, and of what reaches receivers.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::time::SharedTimeSource;
use hmac::{Hmac, KeyInit, Mac};
use local_shim::Settings;
use serde_json::{Value, json};

use crate::{
    client::{Caller, MovedClock, System, next_page},
    common::receiver::{Got, Receiver},
};

async fn create(caller: &Caller, name: &str, channel: Value, more: Value) -> Value {
    let mut body = json!({"name": name, "channel": channel});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let created = caller.post("/notifications", &body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.json()
}

async fn webhook(caller: &Caller, name: &str, receiver: &Receiver, more: Value) -> String {
    let created = create(caller, name, json!({"webhook": {"url": receiver.url}}), more).await;
    created["signing_secret"].as_str().unwrap().to_owned()
}

fn signature(secret: &str, got: &Got) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{}.{}", got.header("x-runvoy-timestamp"), got.text).as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={digits}")
}

/// Waits until the deliveries of a notification are as wanted.
async fn deliveries(caller: &Caller, name: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    for _ in 0..1500 {
        let answer = caller.get(&format!("/notifications/{name}/deliveries")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let found = answer.json()["deliveries"].as_array().unwrap().clone();
        if wanted(&found) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the deliveries of {name} are {}", caller.get(&format!("/notifications/{name}/deliveries")).await.text);
}

async fn with_clock() -> (System, MovedClock) {
    let clock = MovedClock::default();
    let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    (System::start_with(settings).await, clock)
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
async fn a_receiver_that_is_down_for_an_hour_gets_everything_with_one_id_each_and_one_that_stays_down_is_paused() {
    let (system, clock) = with_clock().await;
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    receiver.answer(503);
    webhook(admin, "on-call", &receiver, json!({"on": ["failed", "succeeded"]})).await;
    let mut expected = Vec::new();
    for number in 0..6 {
        let (id, _) = admin.run_to_end(json!({"command": format!("exit {}", number % 2)})).await;
        expected.push(format!("{id}-{}", if number % 2 == 1 { "failed" } else { "succeeded" }));
    }
    receiver.wait(6).await;
    let retrying = deliveries(admin, "on-call", |all| {
        all.len() == 6 && all.iter().all(|one| one["state"] == "retrying" && one["attempts"] == 1)
    })
    .await;
    let at = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let first_pause = at(&retrying[0]["next_try_at"]).duration_since(at(&retrying[0]["tried_at"])).as_millis();
    assert!((4_900..8_000).contains(&first_pause), "the first repetition is due after {first_pause} ms");
    assert_eq!(retrying[0]["status_code"], 503);
    // The pauses add up to an hour and more.
    for (attempts, passed) in (2..).zip([10, 20, 40, 80, 160, 320, 640, 1280, 2560]) {
        clock.move_on(Duration::from_secs(passed));
        let is_next = |one: &Value| one["state"] == "retrying" && one["attempts"] == attempts;
        deliveries(admin, "on-call", |all| all.iter().all(is_next)).await;
    }
    receiver.answer(204);
    clock.move_on(Duration::from_secs(3601));
    deliveries(admin, "on-call", |all| all.iter().all(|one| one["state"] == "delivered")).await;
    let got = receiver.got();
    for id in &expected {
        assert!(got.iter().filter(|one| one.change().0 == *id).count() == 11, "{id}");
    }
    assert!(got.iter().all(|one| expected.contains(&one.change().0)), "no change has another id");

    receiver.answer(500);
    let (id, _) = admin.run_to_end(json!({"command": "exit 9"})).await;
    let mut paused = Value::Null;
    for _ in 0..60 {
        let before = receiver.got().len();
        let state = admin.get("/notifications/on-call").await.json()["notification"].clone();
        if state["state"] == "paused" {
            paused = state;
            break;
        }
        clock.move_on(Duration::from_secs(3601));
        for _ in 0..100 {
            if receiver.got().len() > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(paused["paused_reason"].as_str().unwrap().contains("for a day"), "{paused}");
    let listed = deliveries(admin, "on-call", |all| all.iter().all(|one| one["state"] != "retrying")).await;
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&json!(format!("{id}-failed")), &json!("failed")));
    // Nothing more is sent until someone resumes it.
    let before = receiver.got().len();
    admin.run_to_end(json!({"command": "exit 9"})).await;
    system.shim.events_handled().await;
    receiver.answer(200);
    let resumed = admin.put("/notifications/on-call", &json!({"state": "active"})).await.json();
    assert_eq!(
        (&resumed["notification"]["state"], &resumed["notification"]["paused_reason"]),
        (&json!("active"), &Value::Null)
    );
    let (id, _) = admin.run_to_end(json!({"command": "exit 9"})).await;
    let got = receiver.wait(before + 1).await;
    assert_eq!(got.last().unwrap().change().0, format!("{id}-failed"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_sent_once_and_says_what_the_receiver_answered() {
    let system = System::start().await;
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    webhook(admin, "n", &receiver, json!({})).await;
    assert_eq!(admin.put("/notifications/n", &json!({"state": "paused"})).await.status, 200);
    for (status, state) in [(200, "delivered"), (500, "failed"), (302, "failed")] {
        receiver.answer(status);
        let sent = admin.post("/notifications/n/test", &Value::Null).await;
        assert_eq!(sent.status, 202, "{}", sent.text);
        let id = sent.json()["id"].clone();
        let listed = deliveries(admin, "n", |all| all.iter().any(|one| one["id"] == id && one["state"] == state)).await;
        let own = listed.iter().find(|one| one["id"] == id).unwrap();
        assert_eq!((&own["status_code"], &own["attempts"], &own["event"]), (&json!(status), &json!(1), &json!("test")));
    }
    let got = receiver.got();
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|one| one.path == "/hook"), "a redirect is not followed");
    assert_eq!(got[0].json()["execution"], Value::Null);
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
    clock.move_on(Duration::from_secs(24 * 3600));
    admin.post("/notifications/n/test", &Value::Null).await;
    let got = receiver.wait(2).await;
    assert_eq!(got[1].header("x-runvoy-signature"), signature(&new, &got[1]));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_notification_is_refused_at_its_field() {
    let system = System::start().await;
    let admin = &system.admin;
    let url = |url: &str| json!({"name": "n", "channel": {"webhook": {"url": url}}});
    let ok = json!({"webhook": {"url": "https://example.com/hook"}});
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
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["field"]),
            (400, &json!(field)),
            "{body}: {}",
            refused.text
        );
    }
    create(admin, "n", ok.clone(), json!({})).await;
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
async fn slack_is_told_the_command_who_ran_it_how_it_ended_its_last_lines_and_where_to_look() {
    let system = System::start().await;
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    let created = create(admin, "team", json!({"slack": {"url": receiver.url}}), json!({})).await;
    assert_eq!(created["signing_secret"], Value::Null);
    for answer in [admin.get("/notifications").await, admin.get("/notifications/team").await] {
        assert!(!answer.text.contains(&receiver.url), "{}", answer.text);
    }
    let command = "for i in $(seq 30); do echo \"line $i <!channel>\"; done; exit 7";
    let (id, _) = admin.run_to_end(json!({"command": command})).await;
    let got = receiver.wait(1).await.remove(0);
    let text = got.json()["blocks"][0]["text"]["text"].as_str().unwrap().to_owned();
    for part in [
        "failed with exit code 7",
        "Started by: `admin@runvoy.local`",
        "Image: `ubuntu:22.04-",
        "line 30 &lt;!channel&gt;",
        "line 21",
        &id,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("line 20 ") && !text.contains("<!channel>") && !text.contains("### runvoy"), "{text}");
    assert!(got.headers.get("x-runvoy-signature").is_none(), "Slack knows no signature");
    system.shim.shut_down().await;
}

/// Developers list executions of others, and do not read their logs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_a_log_reach_only_those_who_may_read_it() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let receiver = Receiver::start().await;
    create(&developer, "mine", json!({"slack": {"url": receiver.url}}), json!({})).await;
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
    let created = create(admin, "me", channel, json!({})).await;
    assert_eq!(created["notification"]["state"], "pending");
    admin.run_to_end(json!({"command": "exit 1"})).await;
    let listed = deliveries(admin, "me", |all| all.len() == 1 && all[0]["state"] == "skipped").await;
    assert!(listed[0]["answer"].as_str().unwrap().contains("has not confirmed"));
    let asked = admin.outbox().await["entries"].clone();
    assert_eq!((asked.as_array().unwrap().len(), &asked[0]["to"]), (1, &json!("ana@example.com")));

    admin.confirm(asked[0]["confirms"].as_str().unwrap()).await;
    assert_eq!(admin.get("/notifications/me").await.json()["notification"]["state"], "active");
    admin.run_to_end(json!({"command": "echo the last words; exit 4"})).await;
    deliveries(admin, "me", |all| all.len() == 2 && all[0]["state"] == "delivered").await;
    let mail = admin.outbox().await["entries"][0].clone();
    assert!(mail["subject"].as_str().unwrap().contains("failed with exit code 4"), "{mail}");
    let body = mail["body"].as_str().unwrap();
    assert!(body.contains("the last words") && body.contains("/logs?execution_id="), "{body}");

    let developer = system.user("developer", "dev@example.com").await;
    let url = developer.api.replace("/api/v1", "/outbox.json");
    let request = axum::http::Request::get(url).header("x-api-key", &developer.key);
    let refused = developer.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(refused.status, 403, "the outbox has lines of logs");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_that_runs_too_long_is_told_once_while_it_runs() {
    let (system, clock) = with_clock().await;
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    webhook(admin, "slow", &receiver, json!({"on": ["slow"], "slow_after": 7200})).await;
    let quick = admin.run_to_end(json!({"command": "true"})).await.0;
    let started = admin.run("sleep 60").await;
    let id = crate::client::id(&started);
    admin.wait_for(&id, "RUNNING").await;
    system.shim.events_handled().await;
    clock.move_on(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(receiver.got().is_empty(), "it is not slow yet");
    clock.move_on(Duration::from_secs(3660));
    let got = receiver.wait(1).await;
    assert_eq!(got[0].change(), (format!("{id}-slow"), "slow".to_owned()));
    assert_eq!(got[0].json()["execution"]["status"], "RUNNING");
    assert_eq!(admin.delete(&format!("/executions/{id}")).await.status, 200);
    admin.wait_for(&id, "STOPPED").await;
    clock.move_on(Duration::from_secs(24 * 3600));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(receiver.got().len(), 1, "{quick} had ended when it would have been slow");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_about_what_it_names() {
    let system = System::start().await;
    let admin = &system.admin;
    let developer = system.user("developer", "dev@example.com").await;
    let receiver = Receiver::start().await;
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

/// An attribute in the JSON of DynamoDB's streams.
fn as_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Bool(flag) => json!({"BOOL": flag}),
        AttributeValue::L(list) => json!({"L": list.iter().map(as_json).collect::<Vec<_>>()}),
        AttributeValue::M(map) => {
            json!({"M": map.iter().map(|(name, value)| (name.clone(), as_json(value))).collect::<serde_json::Map<_, _>>()})
        }
        other => panic!("{other:?} is in no execution"),
    }
}

/// Executions that have failed come by the stream, and a second time by a copy of its records in reverse order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_that_are_told_twice_and_in_any_order_reach_the_receiver_with_one_id_each() {
    const CHANGES: usize = 1000;
    let system = System::start().await;
    let admin = &system.admin;
    let (model, _) = admin.run_to_end(json!({"command": "exit 1"})).await;
    let receiver = Receiver::start().await;
    webhook(admin, "all", &receiver, json!({"on": ["failed", "recovered"]})).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let table = "runvoy-local-executions";
    let found =
        dynamodb.get_item().table_name(table).key("execution_id", AttributeValue::S(model)).send().await.unwrap();
    let model = found.item.unwrap();
    let ids: Vec<String> = (0..CHANGES).map(|number| format!("{:032x}", number + 1)).collect();
    let mut records = Vec::new();
    for id in &ids {
        let mut item = model.clone();
        item.insert("execution_id".to_owned(), AttributeValue::S(id.clone()));
        item.insert("started_key".to_owned(), AttributeValue::S(format!("2026-01-01T00:00:00.000Z#{id}")));
        let image: serde_json::Map<String, Value> =
            item.iter().map(|(name, value)| (name.clone(), as_json(value))).collect();
        records.push(json!({
            "eventID": id, "eventName": "INSERT", "eventSource": "aws:dynamodb", "eventVersion": "1.1", "awsRegion": "us-east-1",
            "eventSourceARN": format!("arn:aws:dynamodb:us-east-1:000000000000:table/{table}/stream/2026"),
            "dynamodb": {
                "ApproximateCreationDateTime": 1_700_000_000, "Keys": {"execution_id": {"S": id}}, "NewImage": image,
                "SequenceNumber": "1", "SizeBytes": 1, "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }));
        dynamodb.put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
    }
    records.reverse();
    for batch in records.chunks(100) {
        let told = admin.process_with_key(json!({"Records": batch}).to_string()).await;
        assert_eq!((told.status.as_u16(), told.json()), (200, json!({"batchItemFailures": []})));
    }
    receiver.wait(CHANGES).await;
    let mut path = "/notifications/all/deliveries?limit=100".to_owned();
    let mut delivered = std::collections::BTreeSet::new();
    loop {
        let page = admin.get(&path).await;
        for one in page.json()["deliveries"].as_array().unwrap() {
            delivered.insert(one["id"].as_str().unwrap().to_owned());
        }
        match next_page(&page) {
            Some(next) => path = next,
            None => break,
        }
    }
    let expected: std::collections::BTreeSet<String> = ids.iter().map(|id| format!("{id}-failed")).collect();
    assert_eq!(delivered, expected);
    let got: Vec<String> = receiver.got().iter().map(|one| one.change().0).collect();
    assert_eq!(got.len(), CHANGES, "each is sent once");
    assert_eq!(got.into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
    system.shim.shut_down().await;
}

/// Events come late, twice and out of order, and functions fail before and after they have done their work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_chaos_every_change_is_delivered_at_least_once_and_has_one_id() {
    let clock = MovedClock::default();
    let settings =
        Settings { chaos: Some(11), clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let admin = &system.admin;
    let receiver = Receiver::start().await;
    webhook(admin, "all", &receiver, json!({"on": ["failed", "succeeded", "recovered"]})).await;
    let runs = (0..8).map(|number| admin.run_to_end(json!({"command": format!("exit {}", number % 2)})));
    let ended = futures_util::future::join_all(runs).await;
    let mut expected: Vec<String> = ended
        .into_iter()
        .map(|(id, status)| format!("{id}-{}", status["status"].as_str().unwrap().to_lowercase()))
        .collect();
    expected.sort();
    let mut all = Vec::new();
    for _ in 0..100 {
        all = admin.get("/notifications/all/deliveries").await.json()["deliveries"].as_array().unwrap().clone();
        if all.len() == expected.len() && all.iter().all(|one| one["state"] == "delivered") {
            break;
        }
        // Messages of an invocation that failed come again when the queue's time is over.
        tokio::time::sleep(Duration::from_millis(500)).await;
        clock.move_on(Duration::from_secs(250));
    }
    let mut ids: Vec<String> = all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(ids, expected);
    let got: std::collections::BTreeSet<String> = receiver.got().iter().map(|one| one.change().0).collect();
    assert_eq!(got.into_iter().collect::<Vec<_>>(), expected);
    system.shim.shut_down().await;
}
