//! What a month costs: the arithmetic behind the table in README.md.

use std::collections::BTreeMap;

use local_shim::{EVENT_PROCESSOR, ORCHESTRATOR, stack::Stack};
use serde_json::json;

use crate::client::System;

/// Prices in US dollars, of us-east-1, as AWS published them for November 2026.
pub mod price {
    /// An hour of a task with a quarter of a vCPU and half a GiB, on ARM.
    pub const TASK_HOUR: f64 = 0.25 * 0.03238 + 0.5 * 0.00356;
    /// An hour of a public IPv4 address.
    pub const ADDRESS_HOUR: f64 = 0.005;
    /// An invocation of a function, and a second of one GB of it on ARM.
    pub const INVOCATION: f64 = 0.20 / 1e6;
    pub const GB_SECOND: f64 = 0.000_013_333_4;
    /// Units of DynamoDB on demand.
    pub const WRITE_UNIT: f64 = 0.625 / 1e6;
    pub const READ_UNIT: f64 = 0.125 / 1e6;
    /// A GB of lines that CloudWatch Logs takes in, and one that it keeps for a month.
    pub const LOG_GB: f64 = 0.50 + 0.03;
    /// A KMS key, and alarms on 16 metrics.
    pub const IDLE: f64 = 1.0 + 16.0 * 0.10;
}

/// What a run uses besides its task: measured here, and by `write_units.rs` for a batch of lines.
const UNITS_OF_A_RUN: f64 = 60.0;
const UNITS_OF_A_BATCH: f64 = 5.0;
const READS_OF_A_RUN: f64 = 30.0;
/// Lines of a run arrive in so many batches, of 5 KB each.
const BATCHES: f64 = 20.0;
const BATCH_GB: f64 = 5.0 / 1e6;
/// Invocations of the API for a run: the request, and some looks at its status.
const REQUESTS: f64 = 4.0;
/// Invocations of the event processor for a run: two states of its task, and its batches.
const EVENTS: f64 = 2.0 + BATCHES;
/// Seconds of an invocation, most of which it waits for AWS.
const SECONDS: f64 = 0.030;

/// A team's month: runs, and the minutes of each.
const TEAMS: [(&str, f64, f64); 3] =
    [("5 people, 1,000 runs", 1e3, 5.0), ("50 people, 20,000 runs", 2e4, 5.0), ("100,000 runs a day", 3e6, 2.0)];

/// US dollars by part: tasks, addresses, functions, tables, logs, idle.
fn month(runs: f64, minutes: f64) -> [f64; 6] {
    let hours = runs * minutes / 60.0;
    let stack = Stack::bundled(&BTreeMap::new()).unwrap();
    let gigabytes = |function: &str| f64::from(stack.function(function).unwrap().memory_mb) / 1024.0;
    let gb_seconds = SECONDS * (REQUESTS * gigabytes(ORCHESTRATOR) + EVENTS * gigabytes(EVENT_PROCESSOR));
    [
        hours * price::TASK_HOUR,
        hours * price::ADDRESS_HOUR,
        runs * ((REQUESTS + EVENTS) * price::INVOCATION + gb_seconds * price::GB_SECOND),
        runs * ((UNITS_OF_A_RUN + BATCHES * UNITS_OF_A_BATCH) * price::WRITE_UNIT + READS_OF_A_RUN * price::READ_UNIT),
        runs * BATCHES * BATCH_GB * price::LOG_GB,
        price::IDLE,
    ]
}

fn dollars(amount: f64) -> String {
    if amount < 10.0 { format!("{amount:.2}") } else { format!("{amount:.0}") }
}

#[test]
fn the_table_of_costs_in_the_readme_is_right() {
    let readme = include_str!("../../../../README.md");
    for (team, runs, minutes) in TEAMS {
        let parts = month(runs, minutes);
        let cells: Vec<String> = parts.iter().chain([&parts.iter().sum()]).map(|part| dollars(*part)).collect();
        let row = format!("| {team}, {minutes} minutes each | {} |", cells.join(" | "));
        assert!(readme.contains(&row), "README.md lacks {row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_takes_as_many_units_as_the_costs_are_reckoned_with() {
    let system = System::start().await;
    system.admin.run_to_end(json!({"command": "true"})).await;
    system.shim.events_handled().await;
    system.shim.count_write_units().unwrap();
    let reads = |system: &System| -> u64 {
        [local_shim::ORCHESTRATOR, local_shim::EVENT_PROCESSOR]
            .into_iter()
            .flat_map(|function| system.shim.aws_calls(function))
            .filter(|(operation, _)| ["GetItem", "Query", "BatchGetItem"].iter().any(|one| operation.ends_with(one)))
            .map(|(_, calls)| calls)
            .sum()
    };
    let before = reads(&system);
    system.admin.run_to_end(json!({"command": "true"})).await;
    system.shim.events_handled().await;
    let units: f64 = system.shim.write_units().values().sum();
    let (units, reads) = (units, (reads(&system) - before) as f64);
    // The looks at the status while the run goes on are many here, and each reads twice.
    println!("{units} units, {reads} reads");
    assert!((UNITS_OF_A_RUN * 0.5..=UNITS_OF_A_RUN).contains(&units), "{units} units");
    system.shim.shut_down().await;
}
