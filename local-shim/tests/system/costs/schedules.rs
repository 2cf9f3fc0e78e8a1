//! What 10,000 schedules cost: the figures in README.md.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_smithy_async::time::SharedTimeSource;
use local_shim::{ORCHESTRATOR, Settings};
use serde_json::{Value, json};

use super::month::price;
use crate::client::{Caller, MovedClock, System};

const SCHEDULES: usize = 10_000;
/// Times of a month at which 10,000 hourly schedules run.
const TIMES: f64 = 10_000.0 * 730.0;
/// Reads of a time beside those of its run: the schedule, the user whose rights the run has, before and after, and the last executions.
const READS_OF_A_TIME: f64 = 4.0;
/// Times whose outcome the record keeps.
const KEPT: usize = 10;

/// Waits until the schedule's newest time has run to its end. Returns the time.
async fn newest(admin: &Caller, before: &Value) -> Value {
    for _ in 0..1500 {
        let shown = admin.get("/schedules/hourly").await.json()["schedule"].clone();
        let newest = shown["recent"][0]["scheduled_at"].clone();
        if newest != *before && shown["last_status"] == "SUCCEEDED" {
            return newest;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the schedule does not run");
}

/// Copies the schedule until there are as many as wanted, of a hundred owners.
async fn fill(system: &System) {
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let table = "runvoy-local-schedules";
    let text = |text: String| AttributeValue::S(text);
    let got = dynamodb.get_item().table_name(table).key("name", text("hourly".to_owned())).send().await.unwrap();
    let mut item = got.item.unwrap();
    // An execution belongs to one schedule.
    if let Some(AttributeValue::M(times)) = item.get_mut("times") {
        for time in times.values_mut() {
            if let AttributeValue::M(time) = time {
                time.remove("execution_id");
            }
        }
    }
    let copies: Vec<WriteRequest> = (1..SCHEDULES)
        .map(|number| {
            let mut copy: HashMap<String, AttributeValue> = item.clone();
            copy.insert("name".to_owned(), text(format!("s{number:05}")));
            let owner = text(format!("owner-{}@example.com", number % 100));
            copy.insert("owned_by".to_owned(), AttributeValue::L(vec![owner]));
            WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(copy)).build().unwrap()).build()
        })
        .collect();
    for batch in copies.chunks(25) {
        dynamodb.batch_write_item().request_items(table, batch.to_vec()).send().await.unwrap();
    }
}

/// The write units that the table of schedules has taken.
fn units(system: &System) -> f64 {
    let all = system.shim.write_units().into_iter();
    all.filter(|(partition, _)| partition.table.ends_with("-schedules")).map(|(_, units)| units).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_schedules_cost_what_the_readme_says() {
    let clock = MovedClock::default();
    let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    system.shim.count_write_units().unwrap();
    let admin = &system.admin;
    let schedule = json!({"name": "hourly", "cron": "0 * * * *", "run": {"command": "true"}});
    assert_eq!(admin.post("/schedules", &schedule).await.status, 201);
    let mut time = Value::Null;
    for _ in 0..=KEPT {
        clock.move_to_next_hour();
        time = newest(admin, &time).await;
    }
    fill(&system).await;
    system.shim.events_handled().await;

    // A time of one of them, whose outcome is written once. The run's own cost is that of any other.
    let before = units(&system);
    clock.move_to_next_hour();
    newest(admin, &time).await;
    system.shim.events_handled().await;
    let writes = units(&system) - before;
    let dollars = TIMES * (writes * price::WRITE_UNIT + READS_OF_A_TIME * price::READ_UNIT);
    println!("{writes} write units: {dollars:.2} USD a month");
    let readme = include_str!("../../../../README.md");
    let told = format!("DynamoDB takes about {dollars:.0} USD");
    assert!(readme.contains(&told), "README does not say: {told}");

    // A change of one reads and writes one, and a list reads all.
    let count = |operation: &str| system.shim.aws_calls(ORCHESTRATOR).get(operation).copied().unwrap_or_default();
    let scans = count("dynamodb:Scan");
    assert_eq!(admin.get("/schedules/s04711").await.status, 200);
    let another = json!({"name": "another", "cron": "0 * * * *", "run": {"command": "true"}});
    assert_eq!(admin.post("/schedules", &another).await.status, 201);
    assert_eq!(admin.put("/schedules/another", &json!({"enabled": false})).await.status, 200);
    assert_eq!(count("dynamodb:Scan"), scans);
    let began = std::time::Instant::now();
    let page = admin.get("/schedules?limit=50").await;
    assert_eq!(page.json()["schedules"].as_array().unwrap().len(), 50);
    println!("a page of the list took {} Scans and {:?}", count("dynamodb:Scan") - scans, began.elapsed());
    // DynamoDB answers a megabyte at a time.
    assert!(count("dynamodb:Scan") - scans <= 40, "{}", count("dynamodb:Scan") - scans);
    let owner = system.user("developer", "owner-7@example.com").await;
    let own = owner.get("/schedules").await.json()["schedules"].as_array().unwrap().len();
    assert_eq!(own, SCHEDULES / 100);
    system.shim.shut_down().await;
}
