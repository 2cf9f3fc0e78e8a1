//! Counts the units of DynamoDB that calls take from each partition key ("Read and write operations", Amazon DynamoDB Developer Guide).

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

/// Units a second that one partition key has at most ("Designing partition keys to distribute your workload").
const WRITES: f64 = 1000.0;
const READS: f64 = 3000.0;
/// Bytes of an item that one unit writes, and that one unit reads with strong consistency.
const WRITTEN: usize = 1024;
const READ: usize = 4096;
/// The units that each write in a transaction counts for.
const TRANSACTION: f64 = 2.0;

#[derive(Debug, Default)]
pub struct Units {
    left: BTreeMap<(bool, String), Left>,
    /// Calls that exceeded the quota of a key.
    pub throttled: u64,
}

#[derive(Debug)]
struct Left {
    units: f64,
    since: Duration,
    /// The units that were taken in all.
    taken: f64,
}

impl Units {
    /// Takes the units of a write. `false` if one of its keys has too few left.
    pub fn take_writes(&mut self, operation: &str, body: &[u8], now: Duration) -> bool {
        let Ok(request) = serde_json::from_slice::<Value>(body) else { return true };
        let writes = match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => vec![written(&request, 1.0)],
            "TransactWriteItems" => {
                let writes = request["TransactItems"].as_array().cloned().unwrap_or_default();
                let each = writes.iter().filter_map(|write| write.as_object()?.values().next());
                each.map(|write| written(write, TRANSACTION)).collect()
            }
            "BatchWriteItem" => {
                let tables = request["RequestItems"].as_object().cloned().unwrap_or_default();
                let each = tables.iter().flat_map(|(table, writes)| {
                    let writes = writes.as_array().cloned().unwrap_or_default();
                    writes.into_iter().map(move |write| (key_of(table, &write["DeleteRequest"]["Key"]), 1.0))
                });
                each.collect()
            }
            _ => return true,
        };
        let refilled: Vec<(String, f64, bool)> = writes
            .into_iter()
            .map(|(key, units)| {
                let has_enough = self.left(false, &key, now).units >= 0.0;
                (key, units, has_enough)
            })
            .collect();
        if refilled.iter().any(|(.., has_enough)| !has_enough) {
            self.throttled += 1;
            return false;
        }
        for (key, units, _) in refilled {
            let left = self.left(false, &key, now);
            left.units -= units;
            left.taken += units;
        }
        true
    }

    /// Takes the units of a read, whose answer has this many bytes. It is counted as throttled if there were too few.
    pub fn take_reads(&mut self, operation: &str, body: &[u8], bytes: usize, now: Duration) {
        let Ok(request) = serde_json::from_slice::<Value>(body) else { return };
        let table = request["TableName"].as_str().unwrap_or_default();
        let key = match operation {
            "GetItem" => key_of(table, &request["Key"]),
            "Query" => format!("{table} {}", text(&request["ExpressionAttributeValues"][":id"])),
            _ => return,
        };
        let units = bytes.div_ceil(READ).max(1) as f64;
        let left = self.left(true, &key, now);
        let has_enough = left.units >= 0.0;
        left.units -= units;
        left.taken += units;
        self.throttled += u64::from(!has_enough);
    }

    fn left(&mut self, reads: bool, key: &str, now: Duration) -> &mut Left {
        let rate = if reads { READS } else { WRITES };
        let left = self.left.entry((reads, key.to_owned())).or_insert(Left { units: rate, since: now, taken: 0.0 });
        left.units = (left.units + now.saturating_sub(left.since).as_secs_f64() * rate).min(rate);
        left.since = now;
        left
    }

    /// The write units that items with this partition key took, in all tables.
    pub fn writes_of(&self, id: &str) -> f64 {
        let of_key = self.left.iter().filter(|((reads, key), _)| !reads && key.ends_with(id));
        of_key.map(|(_, left)| left.taken).sum()
    }

    /// The keys that took the most units, for the person who reads the story.
    pub fn busiest(&self) -> Vec<String> {
        let mut all: Vec<_> = self.left.iter().collect();
        all.sort_by(|one, other| other.1.taken.total_cmp(&one.1.taken));
        let kind = |reads: bool| if reads { "read" } else { "write" };
        all.iter()
            .take(4)
            .map(|((reads, key), left)| format!("{} {} units of {key}", left.taken, kind(*reads)))
            .collect()
    }
}

/// The key and the units of a write. An update counts as one that leaves a small item.
fn written(write: &Value, each: f64) -> (String, f64) {
    let table = write["TableName"].as_str().unwrap_or_default();
    let key = if write["Item"].is_object() { &write["Item"] } else { &write["Key"] };
    let bytes = if write["Item"].is_object() { write["Item"].to_string().len() } else { 0 };
    (key_of(table, key), bytes.div_ceil(WRITTEN).max(1) as f64 * each)
}

fn key_of(table: &str, item: &Value) -> String {
    let key = ["execution_id", "token_hash", "key_hash", "day_shard", "email", "image_id"];
    format!(
        "{table} {}",
        key.iter().find(|name| item[**name].is_object()).map(|name| text(&item[*name])).unwrap_or_default()
    )
}

fn text(value: &Value) -> String {
    value["S"].as_str().unwrap_or_default().to_owned()
}
