//! Tests of `/notifications`.

mod channels;
mod create;
mod delivery;
mod events;
mod slow_receivers;

use std::time::Duration;

use aws_smithy_async::time::SharedTimeSource;
use local_shim::Settings;
use serde_json::{Value, json};

use crate::{
    client::{Caller, MovedClock, System},
    common::receiver::Receiver,
};

async fn create_notification(caller: &Caller, name: &str, channel: Value, more: Value) -> Value {
    let mut body = json!({"name": name, "channel": channel});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let created = caller.post("/notifications", &body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.json()
}

async fn webhook(caller: &Caller, name: &str, receiver: &Receiver, more: Value) -> String {
    let created = create_notification(caller, name, json!({"webhook": {"url": receiver.url}}), more).await;
    created["signing_secret"].as_str().unwrap().to_owned()
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
