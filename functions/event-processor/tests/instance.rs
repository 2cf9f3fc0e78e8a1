//! One instance of the deployed program, with many events at the same time, as Lambda Managed Instances hand them over.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{io::Write, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use local_shim::{Settings, Shim, lambda::instance::Instance};
use runvoy_core::{
    App,
    config::Config,
    email::Email,
    execution::{self, ExecutionId, NewExecution},
    logs::store,
};
use serde_json::{Value, json};

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
            request_hash: None,
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

/// As CloudWatch Logs hands it over.
fn batch(id: &ExecutionId, batch: usize) -> Value {
    let lines: Vec<Value> = (0..LINES)
        .map(|line| {
            let number = batch * LINES + line;
            json!({"id": format!("{number:056}"), "timestamp": 1_768_473_132_000_u64, "message": message(batch, line)})
        })
        .collect();
    let data = json!({
        "messageType": "DATA_MESSAGE", "owner": "0", "logGroup": "g", "logStream": format!("task/runner/{id}"),
        "subscriptionFilters": ["f"], "logEvents": lines,
    });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(data.to_string().as_bytes()).unwrap();
    json!({"awslogs": {"data": STANDARD.encode(gzip.finish().unwrap())}})
}
