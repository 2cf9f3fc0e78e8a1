//! One instance of the event processor's program with many events at the same time, as under Lambda Managed Instances.

use futures_util::future::join_all;
use local_shim::{AwsPort, Settings, Shim};
use runvoy_core::{
    App, Email, RequestId,
    config::Config,
    execution::{self, Asked, ExecutionId, NewExecution},
    image::ImageId,
    logs::store,
};

use crate::{
    binary,
    common::{events::log_batch, instance::Instance},
};

const AT_ONCE: usize = 50;
const EXECUTIONS: usize = 10;
/// The lines in each batch.
const LINES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_at_the_same_time_are_each_stored_once() {
    let shim = Shim::start(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await.unwrap();
    let app = App::new(Config::from_lookup(|name| shim.function_environment.get(name).cloned()).unwrap(), shim.sdk());
    for execution in 0..EXECUTIONS {
        let new = NewExecution {
            execution_id: id(execution),
            created_by: Email::parse("somebody@example.com").unwrap(),
            command: "true".to_owned(),
            image_id: ImageId::new("image"),
            started_at: app.now(),
            request_id: RequestId::new("test"),
            idempotency: None,
            asked: Asked::default(),
            nonce: None,
        };
        execution::create(&app, &new, None, &[]).await.unwrap();
    }
    let instance = Instance::start(&binary("event-processor"), &shim.function_environment, AT_ONCE).await;
    instance.polls(AT_ONCE).await;

    let instance = &instance;
    join_all((0..AT_ONCE).map(|number| async move {
        let first = number / EXECUTIONS * LINES;
        let lines: Vec<_> = (first..first + LINES).map(|line| (line, message(line))).collect();
        let batch = log_batch(id(number % EXECUTIONS).as_str(), &lines).to_string();
        instance.invoke(&format!("batch-{number}"), batch.into_bytes()).await.unwrap();
    }))
    .await;

    for execution in 0..EXECUTIONS {
        let stored = store::after(&app, &id(execution), 0).await.unwrap();
        let mut lines: Vec<String> =
            stored.into_iter().flat_map(|batch| batch.events).map(|event| event.message).collect();
        lines.sort();
        let mut printed: Vec<String> = (0..AT_ONCE / EXECUTIONS * LINES).map(message).collect();
        printed.sort();
        assert_eq!(lines, printed, "execution {execution}");
    }
    shim.shut_down().await;
}

fn id(execution: usize) -> ExecutionId {
    format!("execution-{execution}").parse().unwrap()
}

fn message(line: usize) -> String {
    format!("line {line}")
}
