//! Shows the global indexes of tables late, as a busy AWS does.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use anyhow::Result;
use dynoxide::Database;
use serde_json::{Value, json};

use super::library::{answer, request};
use crate::{aws::delays, stack::Stack};

/// The tables that have global indexes, as they were [`delays::INDEX`] ago. Queries of these indexes are answered from here.
pub(super) struct SlowIndexes {
    /// Tables, and the names of their global indexes.
    tables: HashMap<String, Vec<String>>,
    pub(super) past: Database,
    /// The writes since then: the time, the operation and the body of each.
    writes: VecDeque<(Duration, String, Value)>,
}

impl SlowIndexes {
    /// Copies the tables as they are now.
    pub(super) fn new(database: &Database, stack: &Stack) -> Result<Self> {
        let past = Database::memory()?;
        let mut tables = HashMap::new();
        for (mut table, _) in stack.tables() {
            let indexes = table["GlobalSecondaryIndexes"].as_array().cloned().unwrap_or_default();
            let indexes: Vec<_> =
                indexes.iter().filter_map(|one| Some(one["IndexName"].as_str()?.to_owned())).collect();
            let name = table["TableName"].clone();
            if indexes.is_empty() {
                continue;
            }
            tables.insert(name.as_str().unwrap_or_default().to_owned(), indexes);
            if let Some(table) = table.as_object_mut() {
                // Only the tables as they are now have streams.
                table.remove("StreamSpecification");
            }
            past.create_table(request(table)?)?;
            let mut start = Value::Null;
            loop {
                let mut scan = json!({"TableName": name});
                if !start.is_null() {
                    scan["ExclusiveStartKey"] = start;
                }
                let mut page = serde_json::to_value(database.scan(request(scan)?)?)?;
                for item in page["Items"].as_array_mut().into_iter().flatten() {
                    past.put_item(request(json!({"TableName": name, "Item": item.take()}))?)?;
                }
                start = page["LastEvaluatedKey"].take();
                if start.is_null() {
                    break;
                }
            }
        }
        Ok(Self { tables, past, writes: VecDeque::new() })
    }

    /// Tells whether a query is of one of the indexes.
    pub(super) fn are_queried(&self, query: &[u8]) -> bool {
        let query: Value = serde_json::from_slice(query).unwrap_or_default();
        let indexes = query["TableName"].as_str().and_then(|table| self.tables.get(table));
        indexes.is_some_and(|indexes| indexes.iter().any(|index| query["IndexName"] == **index))
    }

    /// The tables as the indexes show them at this time.
    pub(super) fn at(&mut self, now: Duration) -> &Database {
        while let Some((at, ..)) = self.writes.front()
            && *at + delays::INDEX <= now
            && let Some((_, operation, body)) = self.writes.pop_front()
        {
            let answer = answer(&self.past, &operation, body.to_string().as_bytes());
            if answer.status != 200 {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                tracing::error!(said, "an index does not follow its table");
            }
        }
        &self.past
    }

    /// Notes what a write does to the tables that have global indexes.
    pub(super) fn note(&mut self, operation: &str, body: &[u8], now: Duration) {
        let mut write: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(write) = write.as_object_mut() {
            // The transaction was carried out, so it is no repetition.
            write.remove("ClientRequestToken");
        }
        let is_ours = |table: &Value| table.as_str().is_some_and(|table| self.tables.contains_key(table));
        let is_empty = if let Some(writes) = write["TransactItems"].as_array_mut() {
            let of_table = |write: &Value| write.as_object()?.values().next()?.get("TableName").map(is_ours);
            writes.retain(|write| of_table(write) == Some(true));
            writes.is_empty()
        } else if let Some(writes) = write["RequestItems"].as_object_mut() {
            writes.retain(|table, _| self.tables.contains_key(table));
            writes.is_empty()
        } else {
            !is_ours(&write["TableName"])
        };
        if !is_empty {
            self.writes.push_back((now, operation.to_owned(), write));
        }
        // Writes that are old enough are made in the past tables now, so that they need not be kept.
        self.at(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::dynamodb::DynamoDb;

    #[test]
    fn a_slow_index_shows_a_table_as_it_was() {
        let stack = Stack::bundled(&Default::default()).unwrap();
        let dynamodb = DynamoDb::open(None, &stack, true).unwrap();
        let at = |seconds, operation: &str, body: Value| -> Value {
            let answer = dynamodb.call_at(operation, body.to_string().as_bytes(), Duration::from_secs(seconds));
            serde_json::from_slice(&answer.body).unwrap()
        };
        let found = |seconds| {
            let query = json!({
                "TableName": "runvoy-local-websocket-connections", "IndexName": "by-connection",
                "KeyConditionExpression": "connection_id = :k", "ExpressionAttributeValues": {":k": {"S": "c"}},
            });
            at(seconds, "Query", query)["Count"].clone()
        };
        let key = json!({"execution_id": {"S": "e"}, "connection_id": {"S": "c"}});
        let put = json!({"Put": {"TableName": "runvoy-local-websocket-connections", "Item": key}});
        let other = json!({"Put": {"TableName": "runvoy-local-users", "Item": {"email": {"S": "a"}}}});
        at(10, "TransactWriteItems", json!({"TransactItems": [put, other]}));
        assert_eq!((found(10), found(11)), (json!(0), json!(1)));
        at(20, "DeleteItem", json!({"TableName": "runvoy-local-websocket-connections", "Key": key}));
        assert_eq!((found(20), found(21)), (json!(1), json!(0)));
    }
}
