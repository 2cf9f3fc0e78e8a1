//! DynamoDB, by dynoxide, which keeps tables in SQLite, in a file or in memory.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use dynoxide::{
    Database, DynoxideError,
    actions::{
        create_table::CreateTableRequest, describe_stream::DescribeStreamRequest, describe_table::DescribeTableRequest,
        get_records::GetRecordsRequest, get_shard_iterator::GetShardIteratorRequest, update_table::UpdateTableRequest,
        update_time_to_live::UpdateTimeToLiveRequest,
    },
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Answer, delays};
use crate::{
    data_dir::{ADMIN_KEY, DATABASE},
    stack::Stack,
};

#[derive(Clone)]
pub struct DynamoDb {
    database: Database,
    /// Notified after every write, for the followers of streams.
    written: Arc<Notify>,
    /// Present where indexes follow their tables late.
    slow_indexes: Option<Arc<Mutex<SlowIndexes>>>,
    opened: Instant,
}

impl DynamoDb {
    /// Opens the database, and creates those of the stack's tables and indexes that do not exist yet. With `slow_indexes`, a global
    /// index follows its table late.
    ///
    /// # Errors
    /// The database file cannot be opened, is empty or is no database. It is never replaced.
    pub fn open(directory: Option<&Path>, stack: &Stack, slow_indexes: bool) -> Result<Self> {
        let database = match directory {
            Some(directory) => {
                let path = directory.join(DATABASE);
                let path = path.to_str().context("the data directory's path is not valid UTF-8")?;
                let is_empty = Path::new(path).metadata().is_ok_and(|file| file.len() == 0);
                if is_empty && directory.join(ADMIN_KEY).exists() {
                    anyhow::bail!(
                        "{path} is empty; put back its content, or move the data directory away to start afresh"
                    );
                }
                drop(super::state_file::private_if_new(Path::new(path))?);
                Database::new(path).with_context(|| format!("{path} cannot be opened"))?
            }
            None => Database::memory()?,
        };
        // A commit survives the end of the process. It survives a loss of power from the next checkpoint on.
        database.disable_bulk_loading()?;
        for (table, time_to_live) in stack.tables() {
            let name = table["TableName"].clone();
            if let Ok(existing) = database.describe_table(request(json!({"TableName": name}))?) {
                add_indexes(&database, &table, &serde_json::to_value(existing)?["Table"])?;
                continue;
            }
            let create: CreateTableRequest = request(table)?;
            database.create_table(create).with_context(|| format!("table {name} cannot be made"))?;
            if let Some(attribute) = time_to_live {
                let specification = json!({"AttributeName": attribute, "Enabled": true});
                let update: UpdateTimeToLiveRequest =
                    request(json!({"TableName": name, "TimeToLiveSpecification": specification}))?;
                database.update_time_to_live(update)?;
            }
        }
        let slow_indexes = slow_indexes.then(|| SlowIndexes::new(&database, stack)).transpose()?;
        let slow_indexes = slow_indexes.map(|indexes| Arc::new(Mutex::new(indexes)));
        Ok(Self { database, written: Arc::default(), slow_indexes, opened: Instant::now() })
    }

    /// Answers one call.
    pub fn call(&self, operation: &str, body: &[u8]) -> Answer {
        self.call_at(operation, body, self.opened.elapsed())
    }

    /// Answers one call at this time, of any clock that does not run backwards.
    pub fn call_at(&self, operation: &str, body: &[u8], now: Duration) -> Answer {
        let slow = self.slow_indexes.as_ref().map(|indexes| indexes.lock().unwrap_or_else(PoisonError::into_inner));
        let answer = match slow {
            None => answer(&self.database, operation, body),
            Some(mut indexes) if operation == "Query" && indexes.are_queried(body) => {
                return answer(indexes.at(now), operation, body);
            }
            // The lock is held during the call, so that writes are noted in the order in which they take effect.
            Some(mut indexes) => {
                let answer = answer(&self.database, operation, body);
                if is_write(operation) && answer.status == 200 {
                    indexes.note(operation, body, now);
                }
                answer
            }
        };
        if is_write(operation) {
            self.written.notify_waiters();
        }
        answer
    }

    /// Deletes expired items. Returns how many there were.
    pub fn sweep(&self) -> Result<usize> {
        if let Some(indexes) = &self.slow_indexes {
            indexes.lock().unwrap_or_else(PoisonError::into_inner).past.sweep_ttl()?;
        }
        Ok(self.database.sweep_ttl()?)
    }

    /// Follows a table's stream from its present end on.
    pub fn follow(&self, table: &str) -> Result<Follower> {
        let description = self.database.describe_table(DescribeTableRequest { table_name: table.to_owned() })?;
        let description = serde_json::to_value(&description)?;
        let arn = description["Table"]["LatestStreamArn"].as_str().context("the table has no stream")?.to_owned();
        let stream: DescribeStreamRequest = request(json!({"StreamArn": arn}))?;
        let stream = serde_json::to_value(self.database.describe_stream(stream)?)?;
        let shard = stream["StreamDescription"]["Shards"][0]["ShardId"].as_str().context("the stream has no shard")?;
        let start = self.database.get_shard_iterator(GetShardIteratorRequest {
            stream_arn: arn.clone(),
            shard_id: shard.to_owned(),
            shard_iterator_type: "LATEST".to_owned(),
            sequence_number: None,
        })?;
        Ok(Follower {
            database: self.database.clone(),
            written: self.written.clone(),
            iterator: start.shard_iterator,
            arn,
        })
    }
}

fn is_write(operation: &str) -> bool {
    matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems")
}

fn answer(database: &Database, operation: &str, body: &[u8]) -> Answer {
    let answered = match operation {
        "GetItem" => run(body, |request| database.get_item(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        "DeleteItem" => run(body, |request| database.delete_item(request)),
        "Query" => run(body, |request| database.query(request)),
        "Scan" => run(body, |request| database.scan(request)),
        "BatchGetItem" => run(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => run(body, |request| database.batch_write_item(request)),
        "TransactGetItems" => run(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => run(body, |request| database.transact_write_items(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "ListTables" => run(body, |request| database.list_tables(request)),
        _ => return super::AwsError::unknown_operation().into_answer(),
    };
    let (status, body) = match answered {
        Ok(body) => (200, body),
        Err(error) => (error.status_code(), error.to_json().into_bytes()),
    };
    Answer { status, content_type: "application/x-amz-json-1.0", body }
}

/// The tables that have global indexes, as they were [`delays::INDEX`] ago. Queries of these indexes are answered from here.
struct SlowIndexes {
    /// Tables, and the names of their global indexes.
    tables: HashMap<String, Vec<String>>,
    past: Database,
    /// The writes since then, with the time of each.
    writes: VecDeque<(Duration, String, Value)>,
}

impl SlowIndexes {
    /// Copies the tables as they are now.
    fn new(database: &Database, stack: &Stack) -> Result<Self> {
        let past = Database::memory()?;
        let mut tables = HashMap::new();
        for (table, _) in stack.tables() {
            let indexes = table["GlobalSecondaryIndexes"].as_array().cloned().unwrap_or_default();
            let indexes: Vec<_> =
                indexes.iter().filter_map(|one| Some(one["IndexName"].as_str()?.to_owned())).collect();
            let name = table["TableName"].clone();
            if indexes.is_empty() {
                continue;
            }
            tables.insert(name.as_str().unwrap_or_default().to_owned(), indexes);
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

    /// Whether a query is of one of the indexes.
    fn are_queried(&self, query: &[u8]) -> bool {
        let query: Value = serde_json::from_slice(query).unwrap_or_default();
        let indexes = query["TableName"].as_str().and_then(|table| self.tables.get(table));
        indexes.is_some_and(|indexes| indexes.iter().any(|index| query["IndexName"] == **index))
    }

    /// The tables as the indexes show them at this time.
    fn at(&mut self, now: Duration) -> &Database {
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
    fn note(&mut self, operation: &str, body: &[u8], now: Duration) {
        let mut write: Value = serde_json::from_slice(body).unwrap_or_default();
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
        // What is old enough need not be kept.
        self.at(now);
    }
}

/// Creates the global indexes that a table of an earlier version of the template lacks.
fn add_indexes(database: &Database, wanted: &Value, existing: &Value) -> Result<()> {
    let indexes = |table: &Value| table["GlobalSecondaryIndexes"].as_array().cloned().unwrap_or_default();
    let existing = indexes(existing);
    for index in indexes(wanted) {
        if existing.iter().any(|other| other["IndexName"] == index["IndexName"]) {
            continue;
        }
        let (table, name) = (&wanted["TableName"], index["IndexName"].clone());
        let update: UpdateTableRequest = request(json!({
            "TableName": table,
            "AttributeDefinitions": wanted["AttributeDefinitions"],
            "GlobalSecondaryIndexUpdates": [{"Create": index}],
        }))?;
        database.update_table(update).with_context(|| format!("index {name} of table {table} cannot be made"))?;
    }
    Ok(())
}

/// A reader of a stream.
pub struct Follower {
    database: Database,
    written: Arc<Notify>,
    iterator: Option<String>,
    arn: String,
}

impl Follower {
    /// Waits for the next records, and returns at least one, in the form in which Lambda receives them.
    pub async fn next(&mut self, at_most: usize) -> Result<Vec<Value>> {
        loop {
            let written = self.written.clone();
            let written = written.notified();
            tokio::pin!(written);
            // The notification is registered before the read, so that a write in between is not missed.
            written.as_mut().enable();
            let shard_iterator = self.iterator.clone().context("the stream has ended")?;
            let answer = self.database.get_records(GetRecordsRequest { shard_iterator, limit: Some(at_most) })?;
            self.iterator = answer.next_shard_iterator;
            if answer.records.is_empty() {
                written.await;
                continue;
            }
            return answer
                .records
                .iter()
                .map(|record| {
                    let mut record = serde_json::to_value(record)?;
                    record["eventSourceARN"] = Value::from(self.arn.clone());
                    Ok(record)
                })
                .collect();
        }
    }
}

fn run<Q, A>(body: &[u8], operation: impl FnOnce(Q) -> dynoxide::Result<A>) -> dynoxide::Result<Vec<u8>>
where
    Q: serde::de::DeserializeOwned,
    A: serde::Serialize,
{
    let request = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    let answer = operation(request)?;
    serde_json::to_vec(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The error for a request that cannot be read. The library begins its message with a mark that tells which of DynamoDB's errors it
/// is.
fn refused(error: &serde_json::Error) -> DynoxideError {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    for mark in ["VALIDATION:", "VALIDATION_REQUEST:", "VALIDATION_AS_READ:"] {
        if let Some(message) = text.strip_prefix(mark) {
            return DynoxideError::ValidationException(message.to_owned());
        }
    }
    let text =
        ["SERIALIZATION:", "SERIALIZATION_AS_READ:"].iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text);
    DynoxideError::SerializationException(text.to_owned())
}

fn request<T: serde::de::DeserializeOwned>(request: Value) -> Result<T> {
    Ok(serde_json::from_value(request)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_an_earlier_version_gets_the_indexes_that_it_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let stack = Stack::bundled(&Default::default()).unwrap();
        let executions = |stack: &Stack| {
            let is_executions = |(table, _): &(Value, _)| table["TableName"] == "runvoy-local-executions";
            stack.tables().into_iter().find(is_executions).unwrap().0
        };
        let mut earlier = executions(&stack);
        earlier["GlobalSecondaryIndexes"].as_array_mut().unwrap().retain(|one| one["IndexName"] == "by-status");
        let keys = ["execution_id", "status", "started_key"];
        earlier["AttributeDefinitions"]
            .as_array_mut()
            .unwrap()
            .retain(|one| keys.iter().any(|key| one["AttributeName"] == *key));
        let path = directory.path().join("dynamodb.sqlite");
        let database = Database::new(path.to_str().unwrap()).unwrap();
        database.create_table(request(earlier).unwrap()).unwrap();
        let item = json!({"execution_id": {"S": "x"}, "idempotency_key": {"S": "k"}});
        database.put_item(request(json!({"TableName": "runvoy-local-executions", "Item": item})).unwrap()).unwrap();
        drop(database);

        for _ in ["the first start after it", "the next"] {
            let opened = DynamoDb::open(Some(directory.path()), &stack, false).unwrap();
            let query = json!({
                "TableName": "runvoy-local-executions", "IndexName": "by-idempotency-key",
                "KeyConditionExpression": "idempotency_key = :k", "ExpressionAttributeValues": {":k": {"S": "k"}},
            });
            let found: Value =
                serde_json::from_slice(&opened.call("Query", query.to_string().as_bytes()).body).unwrap();
            assert_eq!(found["Count"], 1, "what was there is in it: {found}");
        }
    }
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
