//! One instance of the deployed program, with many events at the same time, as Lambda Managed Instances hand them over.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use futures_util::future::join_all;
use local_shim::{
    Settings, Shim,
    aws::logs::Event,
    lambda::{instance::Instance, log_subscription},
};
use runvoy_core::{
    App,
    config::Config,
    email::Email,
    execution::{self, ExecutionId, NewExecution},
    logs::store,
};
use serde_json::Value;

const AT_ONCE: usize = 50;
const EXECUTIONS: usize = 10;
/// In each batch.
const LINES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_at_the_same_time_are_each_stored_once() {
    let shim = Shim::start(Settings { aws_port: Some(0), ..Settings::ephemeral() }).await.unwrap();
    let app = App::new(Config::from_lookup(|name| shim.elsewhere.get(name).cloned()).unwrap(), shim.sdk());
    for execution in 0..EXECUTIONS {
        let new = NewExecution {
            execution_id: id(execution),
            created_by: Email::parse("somebody@example.com").unwrap(),
            command: "true".to_owned(),
            image_id: "image".to_owned(),
            started_at: app.now(),
            request_id: "test".to_owned(),
            idempotency: None,
        };
        execution::record(&app, &new).await.unwrap();
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_event-processor"));
    let instance = Instance::start(binary, &shim.elsewhere, AT_ONCE).await.unwrap();
    instance.polls(AT_ONCE).await;

    let instance = &instance;
    join_all((0..AT_ONCE).map(|number| async move {
        let batch = batch(&id(number % EXECUTIONS), number / EXECUTIONS).to_string();
        instance.invoke(&format!("batch-{number}"), batch.into_bytes()).await.unwrap();
    }))
    .await;

    for execution in 0..EXECUTIONS {
        let stored = store::after(&app, &id(execution), 0).await.unwrap();
        let mut lines: Vec<String> =
            stored.into_iter().flat_map(|batch| batch.events).map(|event| event.message).collect();
        lines.sort();
        let mut printed: Vec<String> =
            (0..AT_ONCE / EXECUTIONS).flat_map(|batch| (0..LINES).map(move |line| message(batch, line))).collect();
        printed.sort();
        assert_eq!(lines, printed, "execution {execution}");
    }
    shim.shut_down().await;
}

fn id(execution: usize) -> ExecutionId {
    format!("execution-{execution}").parse().unwrap()
}

fn message(batch: usize, line: usize) -> String {
    format!("line {line} of batch {batch}")
}

fn batch(id: &ExecutionId, batch: usize) -> Value {
    let events: Vec<Event> = (0..LINES)
        .map(|line| Event {
            event_id: format!("{:056}", batch * LINES + line),
            timestamp: 1_768_473_132_000,
            message: message(batch, line),
        })
        .collect();
    log_subscription::event("g", &format!("task/runner/{id}"), &events).unwrap()
}
