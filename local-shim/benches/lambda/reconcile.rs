//! Measures the memory that the event processor needs to reconcile a busy account.

use std::{collections::HashMap, path::Path, time::Instant};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use jiff::{SignedDuration, Timestamp};
use local_shim::{AwsPort, Settings};
use serde_json::json;

use crate::{
    client::System,
    common::instance::Instance,
    peak,
    share::{Group, answered},
};

/// Makes the item with the number of the first argument. The second is the number of all items.
type Item = fn(usize, usize) -> HashMap<String, AttributeValue>;

/// Items of one call, at most ("BatchWriteItem", DynamoDB API Reference).
const AT_ONCE: usize = 25;

/// Reconciles an account in which this many executions have ended within a day, with the part of a processor that 256 MB of memory give.
pub async fn measure(programs: &Path, executions: usize) {
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let numbers: Vec<usize> = (0..executions).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        for (table, item) in [("runvoy-local-executions", execution as Item), ("runvoy-local-log-heads", head)] {
            let writes = numbers.iter().map(|number| put(item(*number, executions))).collect();
            dynamodb.batch_write_item().request_items(table, writes).send().await.unwrap();
        }
    }
    let group = Group::new(256.0 / 1769.0).unwrap();
    let environment = system.shim.function_environment.clone();
    let events = Instance::start(&group.program(&programs.join("event-processor")), &environment, 1).await;
    answered(&events, json!({"source": "x", "detail-type": "y"})).await;
    let (before, started) = (peak(events.id().unwrap()), Instant::now());
    let event = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {"runvoy_event": "health_reconcile"}});
    answered(&events, event).await;
    let (after, took) = (peak(events.id().unwrap()), started.elapsed().as_secs_f64());
    println!(
        "\nreconcile, {executions} executions of a day: {took:.1} s with 256 MB, memory {before:.0} MB before and {after:.0} MB at most"
    );
    drop(events);
    system.shim.shut_down().await;
}

fn put(item: HashMap<String, AttributeValue>) -> WriteRequest {
    WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn id(number: usize) -> String {
    format!("{number:032}")
}

/// An execution that ended in the last day. The ends of all executions are spread evenly over it.
fn execution(number: usize, of: usize) -> HashMap<String, AttributeValue> {
    let id = id(number);
    let ago = SignedDuration::from_secs((86_400 * number / of) as i64 + 120);
    let (started, ended) = (Timestamp::now() - ago, Timestamp::now() - ago + SignedDuration::from_mins(1));
    let (started, ended) = (format!("{started:.3}"), format!("{ended:.3}"));
    let texts = [
        ("execution_id", id.clone()),
        ("status", "SUCCEEDED".to_owned()),
        ("started_key", format!("{started}#{id}")),
        ("started_at", started),
        ("completed_at", ended),
        ("listing", "executions".to_owned()),
        ("command", format!("echo {}", "x".repeat(200))),
        ("image_id", "ubuntu:22.04".to_owned()),
        ("created_by", "admin@runvoy.local".to_owned()),
        ("created_by_request_id", id.clone()),
        ("modified_by_request_id", id),
        ("cloud", "AWS".to_owned()),
    ];
    let mut item: HashMap<_, _> = texts.map(|(name, value)| (name.to_owned(), text(value))).into();
    item.insert("owned_by".to_owned(), AttributeValue::L(vec![text("admin@runvoy.local")]));
    item.insert("exit_code".to_owned(), AttributeValue::N("0".to_owned()));
    item
}

/// The head of a log that is complete.
fn head(number: usize, _: usize) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("execution_id".to_owned(), text(id(number))),
        ("version".to_owned(), AttributeValue::N("1".to_owned())),
        ("complete".to_owned(), AttributeValue::Bool(true)),
    ])
}
