//! Tests of the delivery of notifications: tries, pauses, one id for each change, and `/notifications/{name}/deliveries`.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::time::SharedTimeSource;
use local_shim::Settings;
use serde_json::{Value, json};

use super::{deliveries, webhook, with_clock};
use crate::{
    client::{Caller, MovedClock, System, TIMEOUT, next_page},
    common::receiver::Receiver,
};

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
        // The queue is told the pause after the delivery, and counts it from then on.
        system.shim.events_handled().await;
        clock.move_on(Duration::from_secs(passed));
        let is_next = |one: &Value| one["state"] == "retrying" && one["attempts"] == attempts;
        deliveries(admin, "on-call", |all| all.iter().all(is_next)).await;
    }
    receiver.answer(204);
    system.shim.events_handled().await;
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
    clock.move_on(Duration::from_hours(1));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(receiver.got().is_empty(), "it is not slow yet");
    clock.move_on(Duration::from_mins(61));
    let got = receiver.wait(1).await;
    assert_eq!(got[0].change(), (format!("{id}-slow"), "slow".to_owned()));
    assert_eq!(got[0].json()["execution"]["status"], "RUNNING");
    assert_eq!(admin.delete(&format!("/executions/{id}")).await.status, 200);
    admin.wait_for(&id, "STOPPED").await;
    clock.move_on(Duration::from_hours(24));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(receiver.got().len(), 1, "{quick} had ended when it would have been slow");
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

/// The deliveries of a notification, of all pages.
async fn all_deliveries(admin: &Caller, name: &str) -> Vec<Value> {
    let mut path = format!("/notifications/{name}/deliveries?limit=100");
    let mut all = Vec::new();
    loop {
        let page = admin.get(&path).await;
        all.extend(page.json()["deliveries"].as_array().unwrap().iter().cloned());
        match next_page(&page) {
            Some(next) => path = next,
            None => return all,
        }
    }
}

/// Executions that have failed come by the stream, and a second time by a copy of its records in reverse order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_that_are_told_twice_and_in_any_order_reach_the_receiver_with_one_id_each() {
    const CHANGES: usize = 1000;
    let system = System::start().await;
    let admin = &system.admin;
    let (model, _) = admin.run_to_end(json!({"command": "exit 1"})).await;
    // Its own failure is told before the notification is there.
    system.shim.events_handled().await;
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
    for batch in records.chunks(25) {
        let told = admin.process_with_key(json!({"Records": batch}).to_string()).await;
        assert_eq!((told.status.as_u16(), told.json()), (200, json!({"batchItemFailures": []})));
    }
    let expected: BTreeSet<String> = ids.iter().map(|id| format!("{id}-failed")).collect();
    let deadline = Instant::now() + 3 * TIMEOUT;
    let delivered = loop {
        // A delivery that begins behind a page that was read already is in none of the pages.
        let delivered = all_deliveries(admin, "all").await;
        if delivered.len() >= CHANGES && delivered.iter().all(|one| one["state"] == "delivered") {
            break delivered;
        }
        assert!(Instant::now() < deadline, "{} of {CHANGES} are delivered", delivered.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(delivered.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), expected);
    assert_eq!(delivered.len(), CHANGES);
    assert_eq!(receiver.got().iter().map(|one| one.change().0).collect::<BTreeSet<_>>(), expected);
    // On a machine that is too slow, a receiver's answer comes too late, and the message is sent again.
    let attempts: u64 = delivered.iter().map(|one| one["attempts"].as_u64().unwrap()).sum();
    assert!(receiver.got().len() as u64 <= attempts, "each is sent once for each attempt");
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
