//! Counts the write units that each table, index and partition key takes, and refuses writes to a key that has taken too many.
//!
//! DynamoDB reports the units of a call by table and index. A call's units are divided evenly among its writes to a table.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use dynoxide::Database;
use serde_json::{Value, json};

use super::library::request;
use crate::stack::Stack;

/// Write units a second that DynamoDB takes for one partition key of a table or an index ("Partition key design").
pub const UNITS_A_SECOND: f64 = 1000.0;

/// A partition of a table or of one of its indexes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    pub table: String,
    /// Absent for the table itself.
    pub index: Option<String>,
    /// The value of the partition key.
    pub key: String,
}

/// The units that partitions have taken, and what is left of their quota.
pub struct WriteUnits {
    tables: HashMap<String, Keys>,
    taken: BTreeMap<Partition, f64>,
    /// Present where keys have a quota: the units that may be taken at once, and when that was known.
    left: Option<HashMap<Partition, (f64, Duration)>>,
}

/// The key attributes of a table, and the partition key of each index.
struct Keys {
    own: Vec<String>,
    indexes: Vec<(String, String)>,
}

/// One write of a call.
struct Write {
    table: String,
    /// The item's key.
    key: Value,
    /// The item, for a write that has all of it.
    item: Option<Value>,
}

impl WriteUnits {
    /// A count of zero. With a quota, each key has [`UNITS_A_SECOND`].
    pub fn new(stack: &Stack, has_quota: bool) -> Self {
        let key_of = |schema: &Value, kind: &str| {
            let keys = schema.as_array().into_iter().flatten();
            keys.filter(|key| key["KeyType"] == *kind)
                .filter_map(|key| key["AttributeName"].as_str())
                .next()
                .map(str::to_owned)
        };
        let tables = stack.tables().into_iter().filter_map(|(table, _)| {
            let own = ["HASH", "RANGE"].iter().filter_map(|kind| key_of(&table["KeySchema"], kind)).collect();
            let lists = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
            let indexes = lists.iter().filter_map(|list| table[list].as_array()).flatten();
            let indexes = indexes
                .filter_map(|index| {
                    Some((index["IndexName"].as_str()?.to_owned(), key_of(&index["KeySchema"], "HASH")?))
                })
                .collect();
            Some((table["TableName"].as_str()?.to_owned(), Keys { own, indexes }))
        });
        Self { tables: tables.collect(), taken: BTreeMap::new(), left: has_quota.then(HashMap::new) }
    }

    /// The units that were taken so far.
    pub fn taken(&self) -> &BTreeMap<Partition, f64> {
        &self.taken
    }

    /// Makes a write, and counts what it takes. `None` when one of its keys has taken all of its quota, so that nothing is written.
    pub(super) fn watch(
        &mut self,
        database: &Database,
        operation: &str,
        body: &[u8],
        now: Duration,
        write: impl FnOnce(&[u8]) -> crate::aws::Answer,
    ) -> Option<crate::aws::Answer> {
        let Ok(mut call) = serde_json::from_slice::<Value>(body) else { return Some(write(body)) };
        let writes = writes_of(operation, &call, &self.tables);
        let before: Vec<Option<Value>> = writes.iter().map(|one| self.item(database, one)).collect();
        for (one, old) in writes.iter().zip(&before) {
            for partition in self.partitions(one, old.as_ref()) {
                if self.is_exhausted(&partition, now) {
                    return None;
                }
            }
        }
        call["ReturnConsumedCapacity"] = json!("INDEXES");
        let answer = write(call.to_string().as_bytes());
        if answer.status == 200 {
            let consumed = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["ConsumedCapacity"].take();
            let of_tables = match consumed {
                Value::Array(list) => list,
                one => vec![one],
            };
            for consumed in of_tables {
                self.count(database, &consumed, &writes, &before, now);
            }
        }
        Some(answer)
    }

    fn count(
        &mut self,
        database: &Database,
        consumed: &Value,
        writes: &[Write],
        before: &[Option<Value>],
        now: Duration,
    ) {
        let Some(table) = consumed["TableName"].as_str() else { return };
        let own: Vec<(&Write, Option<&Value>)> = writes
            .iter()
            .zip(before)
            .filter(|(one, _)| one.table == table)
            .map(|(one, old)| (one, old.as_ref()))
            .collect();
        let share = own.len().max(1) as f64;
        let after: Vec<Option<Value>> = own.iter().map(|(one, _)| self.item(database, one)).collect();
        for ((one, old), new) in own.iter().zip(&after) {
            for partition in self.partitions(one, new.as_ref().or(*old)) {
                let units = match &partition.index {
                    None => consumed["Table"]["CapacityUnits"].as_f64().unwrap_or_default(),
                    Some(index) => ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"]
                        .iter()
                        .filter_map(|list| consumed[list][index]["CapacityUnits"].as_f64())
                        .sum(),
                };
                if units > 0.0 {
                    self.take(partition, units / share, now);
                }
            }
        }
    }

    fn take(&mut self, partition: Partition, units: f64, now: Duration) {
        if let Some(left) = &mut self.left {
            let (units_left, since) = left.entry(partition.clone()).or_insert((UNITS_A_SECOND, now));
            *units_left = refilled(*units_left, *since, now) - units;
            *since = now;
        }
        *self.taken.entry(partition).or_default() += units;
    }

    fn is_exhausted(&self, partition: &Partition, now: Duration) -> bool {
        let left = self.left.as_ref().and_then(|left| left.get(partition));
        left.is_some_and(|(units, since)| refilled(*units, *since, now) < 1.0)
    }

    /// The partitions that an item is in.
    fn partitions(&self, write: &Write, item: Option<&Value>) -> Vec<Partition> {
        let Some(keys) = self.tables.get(&write.table) else { return Vec::new() };
        let partition = |index: Option<&String>, value: &Value| Partition {
            table: write.table.clone(),
            index: index.cloned(),
            key: value.as_object().and_then(|value| value.values().next()?.as_str()).unwrap_or_default().to_owned(),
        };
        let own = keys.own.first().map(|name| partition(None, &write.key[name]));
        let item = write.item.as_ref().or(item);
        let of_indexes = keys.indexes.iter().filter_map(|(index, name)| {
            let value = item?.get(name)?;
            Some(partition(Some(index), value))
        });
        own.into_iter().chain(of_indexes).collect()
    }

    /// The item that a write is about, as it is now.
    fn item(&self, database: &Database, write: &Write) -> Option<Value> {
        self.tables.get(&write.table).filter(|keys| !keys.indexes.is_empty())?;
        let get = request(json!({"TableName": write.table, "Key": write.key, "ConsistentRead": true})).ok()?;
        let found = serde_json::to_value(database.get_item(get).ok()?).ok()?;
        Some(found["Item"].clone()).filter(Value::is_object)
    }
}

fn refilled(units: f64, since: Duration, now: Duration) -> f64 {
    (units + now.saturating_sub(since).as_secs_f64() * UNITS_A_SECOND).min(UNITS_A_SECOND)
}

/// The writes of a call.
fn writes_of(operation: &str, call: &Value, tables: &HashMap<String, Keys>) -> Vec<Write> {
    let write = |table: &Value, part: &Value| {
        let table = table.as_str()?.to_owned();
        let item = Some(part["Item"].clone()).filter(Value::is_object);
        let key = match &item {
            Some(item) => {
                let names = &tables.get(&table)?.own;
                Value::Object(names.iter().map(|name| (name.clone(), item[name].clone())).collect())
            }
            None => part["Key"].clone(),
        };
        Some(Write { table, key, item })
    };
    match operation {
        "TransactWriteItems" => {
            let actions = call["TransactItems"].as_array().into_iter().flatten();
            let parts = actions.flat_map(|action| action.as_object().into_iter().flatten());
            parts
                .filter(|(kind, _)| *kind != "ConditionCheck")
                .filter_map(|(_, part)| write(&part["TableName"], part))
                .collect()
        }
        "BatchWriteItem" => {
            let tables = call["RequestItems"].as_object().into_iter().flatten();
            let parts = tables.flat_map(|(table, list)| {
                list.as_array()
                    .into_iter()
                    .flatten()
                    .flat_map(move |one| one.as_object().into_iter().flatten().map(move |(_, part)| (table, part)))
            });
            parts.filter_map(|(table, part)| write(&json!(table), part)).collect()
        }
        _ => write(&call["TableName"], call).into_iter().collect(),
    }
}
