//! The write units of DynamoDB that runvoy takes, by table and index. DynamoDB bills them, and takes 1,000 a second for each partition key.

use std::collections::BTreeMap;

use local_shim::{Settings, aws::dynamodb::write_units::Partition};

use crate::{
    client::{Seen, System, connect, id},
    common::events::{log_batch, task_stopped},
};

/// The units that each table and index takes while this runs, by their names without that of the stack.
async fn units<T>(system: &System, work: impl Future<Output = T>) -> (T, BTreeMap<String, u64>) {
    system.shim.events_handled().await;
    let before = system.shim.write_units();
    let done = work.await;
    system.shim.events_handled().await;
    let mut taken = BTreeMap::<String, f64>::new();
    for (partition, units) in system.shim.write_units() {
        let more = units - before.get(&partition).copied().unwrap_or_default();
        if more > 0.0 {
            *taken.entry(name(&partition)).or_default() += more;
        }
    }
    (done, taken.into_iter().map(|(name, units)| (name, units.round() as u64)).collect())
}

fn name(partition: &Partition) -> String {
    let table = partition.table.trim_start_matches("runvoy-local-");
    partition.index.as_ref().map_or_else(|| table.to_owned(), |index| format!("{table}/{index}"))
}

fn expected(units: &[(&str, u64)]) -> BTreeMap<String, u64> {
    units.iter().map(|(name, units)| ((*name).to_owned(), *units)).collect()
}

async fn counted() -> System {
    let system = System::start().await;
    system.shim.count_write_units().unwrap();
    system
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_of_lines_takes_no_unit_of_an_index_of_executions() {
    let system = counted().await;
    let id = id(&system.admin.run("sleep 60").await);
    system.admin.wait_for(&id, "RUNNING").await;
    let batch = |number: usize| log_batch(&id, &[(number, format!("line {number}"))]).to_string();
    assert_eq!(system.admin.process(batch(1)).await.status, 200);
    let (_, taken) = units(&system, system.admin.process(batch(2))).await;
    // A transaction takes two units for an item, and one for an index.
    let cost = [("execution-logs", 2), ("execution-logs/by-last-event", 1), ("log-heads", 2)];
    assert_eq!(taken, expected(&cost));
    let (_, taken) = units(&system, system.admin.process(batch(2))).await;
    assert_eq!(taken, expected(&[]), "the same batch again");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_viewer_who_connects_takes_few_units_and_none_of_the_execution() {
    let system = counted().await;
    let started = system.admin.run("sleep 60").await;
    system.admin.wait_for(&id(&started), "RUNNING").await;
    let url = started["websocket_url"].as_str().unwrap();
    // The stream of the connections brings a viewer's event a moment after it has connected: the viewer has been served once lines come.
    let served = async || {
        let (mut viewer, mut seen) = (connect(url).await.unwrap(), Seen::default());
        seen.read_until(&mut viewer, |seen| !seen.lines().is_empty()).await;
        viewer
    };
    let first = served().await;
    let (viewer, taken) = units(&system, served()).await;
    let of_executions = taken.keys().filter(|name| name.starts_with("executions")).count();
    assert_eq!((of_executions, taken.get("log-heads")), (0, None), "{taken:?}");
    let of_connections: u64 =
        taken.iter().filter(|(name, _)| name.starts_with("websocket-connections")).map(|(_, units)| units).sum();
    // The record with its index, and changes of the record that its index does not have: the lease taken, and released.
    assert!((4..=6).contains(&of_connections), "{taken:?}");
    drop((first, viewer));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_of_status_takes_a_unit_of_each_index_that_lists_it() {
    let system = counted().await;
    let id = id(&system.admin.run("sleep 60").await);
    system.admin.wait_for(&id, "RUNNING").await;
    let stopped = task_stopped(&id, "EssentialContainerExited", Some(0)).to_string();
    let (_, taken) = units(&system, system.admin.process(stopped.clone())).await;
    let of_executions: Vec<(&str, u64)> = taken
        .iter()
        .filter(|(name, _)| name.starts_with("executions"))
        .map(|(name, units)| (name.as_str(), *units))
        .collect();
    // An index by the status deletes an item and puts another.
    let cost = [
        ("executions", 1),
        ("executions/by-created-by", 1),
        ("executions/by-image", 1),
        ("executions/by-started-at", 1),
        ("executions/by-status", 2),
    ];
    assert_eq!(of_executions, cost);
    system.shim.shut_down().await;
}

/// A client that writes one item in a loop meets the limit of its partition, as in AWS.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_busy_partition_is_throttled_after_a_thousand_units_a_second() {
    let system = System::start_with(Settings { chaos: Some(1), ..Settings::ephemeral() }).await;
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(
        aws_sdk_dynamodb::config::Builder::from(system.shim.sdk())
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build(),
    );
    let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
    let mut refusal = None;
    for number in 0..20 {
        let put = dynamodb
            .put_item()
            .table_name("runvoy-local-log-heads")
            .item("execution_id", text("busy".to_owned()))
            .item("filler", text("x".repeat(100 * 1024)));
        if let Err(error) = put.send().await
            && let Some(code) = aws_sdk_dynamodb::error::ProvideErrorMetadata::code(&error)
            && code != "TransactionConflictException"
        {
            refusal = Some((number, code.to_owned()));
            break;
        }
    }
    let (number, code) = refusal.expect("writes of 100 units each are refused");
    assert_eq!(code, "ProvisionedThroughputExceededException");
    assert!((10..=18).contains(&number), "{number}");
    system.shim.shut_down().await;
}
