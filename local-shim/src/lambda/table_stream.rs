//! Maps a DynamoDB stream to a function, as an event source mapping does: hands the records to a function, and repeats those that the function could not
//! handle.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Function, event_bridge, function::request_id};
use crate::aws::dynamodb::Follower;

/// The pause before failed records are tried again. It grows with each try.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The settings of a mapping.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the table.
    table: String,
    batch_size: usize,
    retries: u32,
    /// Patterns of which a record must match one. Without any, all records are sent.
    filters: Vec<Value>,
}

impl Settings {
    /// From the properties of a `DynamoDB` event in the template.
    pub fn from_template(properties: &Value) -> Self {
        let number = |name: &str| properties[name].as_u64();
        let filters = properties["FilterCriteria"]["Filters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|filter| serde_json::from_str(filter["Pattern"].as_str()?).ok())
            .collect();
        let arn = properties["Stream"].as_str().unwrap_or_default();
        let table = arn.split_once(":table/").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
        Self {
            table: table.to_owned(),
            batch_size: number("BatchSize").and_then(|size| usize::try_from(size).ok()).unwrap_or(100),
            retries: number("MaximumRetryAttempts").and_then(|count| u32::try_from(count).ok()).unwrap_or(10),
            filters,
        }
    }

    /// The name of the table whose stream it is.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Tells whether a record is sent to the function.
    pub fn wants(&self, record: &Value) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| event_bridge::matches(filter, record))
    }
}

/// Follows a stream for as long as the program runs. With `in_order`, the next records are read when the last ones have been handled.
pub(crate) async fn run(function: Function, mut stream: Follower, settings: Settings, in_order: bool) {
    loop {
        let records = match stream.next(settings.batch_size).await {
            Ok(records) => records,
            Err(error) => {
                tracing::error!(%error, "a table's stream cannot be read");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        };
        let wanted: Vec<Value> = records.into_iter().filter(|record| settings.wants(record)).collect();
        if in_order {
            deliver(function.clone(), wanted, settings.retries).await;
        } else if !wanted.is_empty() {
            // Lambda keeps the order of records within a partition only, so a slow batch may be overtaken.
            tokio::spawn(deliver(function.clone(), wanted, settings.retries));
        }
    }
}

async fn deliver(function: Function, mut records: Vec<Value>, retries: u32) {
    if records.is_empty() {
        return;
    }
    for attempt in 0..=retries {
        let payload = json!({"Records": records}).to_string().into_bytes();
        match function.deliver(&request_id(), payload, attempt == retries).await {
            Ok(answer) => {
                let failed = failures(&answer);
                records.retain(|record| failed.iter().any(|number| record["dynamodb"]["SequenceNumber"] == **number));
                if records.is_empty() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "records of a stream failed"),
        }
        tokio::time::sleep(RETRY_AFTER * (attempt + 1)).await;
    }
    tracing::error!(records = records.len(), "records of a stream were given up");
}

fn failures(answer: &[u8]) -> Vec<String> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let failures = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
    failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str().map(str::to_owned)).collect()
}
