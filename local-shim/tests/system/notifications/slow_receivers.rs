//! Tests of notifications whose receivers are slow.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::time::SharedTimeSource;
use local_shim::Settings;
use serde_json::json;

use crate::{
    client::{MovedClock, System, TIMEOUT},
    common::receiver::Receiver,
};

/// Waits until something holds.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = std::time::Instant::now() + 2 * TIMEOUT;
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Tells whether the record of a notification says that its receiver is slow.
async fn is_slow(system: &System, name: &str) -> bool {
    let found = aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .get_item()
        .table_name("runvoy-local-notifications")
        .key("name", AttributeValue::S(name.to_owned()))
        .send()
        .await
        .unwrap();
    found.item.unwrap().contains_key("slow")
}

fn changes(receiver: &Receiver) -> BTreeSet<String> {
    receiver.got().iter().map(|got| got.change().0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_that_do_not_answer_get_one_message_at_a_time_and_delay_no_other() {
    let clock = MovedClock::default();
    let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let admin = &system.admin;
    let good = Receiver::start().await;
    let silent = [Receiver::start().await, Receiver::start().await];
    let names = ["silent-1", "silent-2"];
    for (name, receiver) in [("good", &good), (names[0], &silent[0]), (names[1], &silent[1])] {
        let body = json!({"name": name, "channel": {"webhook": {"url": receiver.url}}, "on": ["succeeded"]});
        assert_eq!(admin.post("/notifications", &body).await.status, 201);
    }
    silent.iter().for_each(Receiver::fall_silent);
    let run = async |count: usize| {
        futures_util::future::join_all((0..count).map(|_| admin.run_to_end(json!({"command": "true"})))).await;
    };
    run(3).await;
    good.wait(3).await;
    for (name, receiver) in names.iter().zip(&silent) {
        until("its record says that a receiver is slow, and it has one request at most", async || {
            is_slow(&system, name).await && receiver.open() <= 1
        })
        .await;
        receiver.most_open();
    }
    run(12).await;
    good.wait(15).await;
    for receiver in &silent {
        assert!(receiver.most_open() <= 1, "a slow receiver takes one place of the sender");
        receiver.answer(200);
    }
    // Those that were put off lose nothing.
    for (name, receiver) in names.iter().zip(&silent) {
        until("each message arrives", async || {
            clock.move_on(Duration::from_secs(10));
            changes(receiver).len() == 15
        })
        .await;
        until("a quick answer ends it", async || !is_slow(&system, name).await).await;
    }
    system.shim.shut_down().await;
}
