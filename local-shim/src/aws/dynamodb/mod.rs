//! Emulates DynamoDB, by dynoxide, which keeps tables in SQLite, in a file or in memory.

mod index_views;
mod library;
mod slow_indexes;
pub(crate) mod stream;
mod tokens;
pub mod write_units;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use dynoxide::{
    Database, DynoxideError,
    actions::{
        create_table::CreateTableRequest, transact_write_items::TransactWriteItemsRequest,
        update_table::UpdateTableRequest, update_time_to_live::UpdateTimeToLiveRequest,
    },
};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub use self::stream::Follower;
use self::{
    library::{answer, encoded, refused, request, written},
    slow_indexes::SlowIndexes,
    stream::Streams,
    tokens::{Known, Tokens},
    write_units::{Partition, WriteUnits},
};
use super::{exchange::Answer, state_file::database};
use crate::stack::Stack;

/// The file of the emulated DynamoDB.
pub(crate) const DATABASE: &str = "dynamodb.sqlite";

/// Characters of a client token, at most ("TransactWriteItems", DynamoDB API Reference).
const MAX_TOKEN: usize = 36;

/// The emulated DynamoDB.
#[derive(Clone)]
pub struct DynamoDb {
    database: Database,
    streams: Streams,
    /// The transactions that were carried out with a client token.
    tokens: Arc<Mutex<Tokens>>,
    /// Notified after every write, for the followers of streams.
    written: Arc<Notify>,
    /// Present where indexes follow their tables late.
    slow_indexes: Option<Arc<Mutex<SlowIndexes>>>,
    /// Present where write units are counted.
    write_units: Arc<Mutex<Option<WriteUnits>>>,
    opened: Instant,
}

impl DynamoDb {
    /// Opens the database, and creates those of the stack's tables and indexes that do not exist yet. In a busy AWS, a global index
    /// follows its table late, and a partition key takes as many write units a second as in AWS.
    ///
    /// # Errors
    /// The database file cannot be opened, is empty or is no database. It is never replaced.
    pub fn open(directory: Option<&Path>, stack: &Stack, is_busy: bool) -> Result<Self> {
        let path = match directory {
            Some(directory) => database(directory, DATABASE, false)?,
            // A name below which SQLite keeps a database in memory that several connections of this process share.
            None => format!("file:/runvoy-{}?vfs=memdb", uuid::Uuid::new_v4().simple()).into(),
        };
        let is_new = path.metadata().is_ok_and(|file| file.len() == 0);
        let path = path.to_str().context("the data directory's path is not valid UTF-8")?;
        if is_new {
            index_views::set_page_size(path).with_context(|| format!("{path} cannot be written"))?;
        }
        let database = Database::new(path).with_context(|| format!("{path} cannot be opened"))?;
        let streams = Streams::open(path).with_context(|| format!("{path} cannot be opened"))?;
        // Without bulk loading, a commit survives the end of the process, and a loss of power from the next checkpoint on. The page cache
        // stays at 2 MB: with 100,000 items of 1.4 KB and three indexes, SQLite alone took 9 µs of the processor to read any of them, 14
        // µs to list 20, and 54 µs to write one. With 8 and 32 MB it took as much (9 and 11, 14 and 14, 56 and 58 µs), since the file is
        // in the operating system's memory. 32 MB took 28 MB more memory.
        database.disable_bulk_loading()?;
        let tables = stack.tables();
        for (table, time_to_live) in tables.clone() {
            let name = table["TableName"].clone();
            // A description would count all items of the table and its indexes.
            if let Some(existing) = database.get_table_metadata(name.as_str().unwrap_or_default())? {
                add_indexes(&database, &table, existing.gsi_definitions.as_deref())?;
                add_stream(&database, &table, existing.stream_enabled)?;
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
        index_views::make(path, tables.iter().map(|(table, _)| table))?;
        let slow_indexes = is_busy.then(|| SlowIndexes::new(&database, stack)).transpose()?;
        let slow_indexes = slow_indexes.map(|indexes| Arc::new(Mutex::new(indexes)));
        let write_units = is_busy.then(|| WriteUnits::new(stack, true));
        Ok(Self {
            database,
            streams,
            tokens: Arc::default(),
            written: Arc::default(),
            slow_indexes,
            write_units: Arc::new(Mutex::new(write_units)),
            opened: Instant::now(),
        })
    }

    /// Counts write units from now on. Without this call, they are counted only where keys have a quota, because counting takes time.
    ///
    /// # Errors
    /// The template cannot be read.
    pub fn count_write_units(&self) -> Result<()> {
        let units = WriteUnits::new(&Stack::bundled(&BTreeMap::new())?, false);
        self.write_units.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(units);
        Ok(())
    }

    /// The write units that each partition of a table or an index has taken since they are counted.
    pub fn write_units(&self) -> BTreeMap<Partition, f64> {
        let units = self.write_units.lock().unwrap_or_else(PoisonError::into_inner);
        units.as_ref().map(|units| units.taken().clone()).unwrap_or_default()
    }

    /// Answers one call. The caller's thread waits for it.
    pub fn call(&self, operation: &str, body: &[u8]) -> Answer {
        self.call_at(operation, body, self.opened.elapsed())
    }

    /// Answers one call at this time, of any clock that does not run backwards.
    pub fn call_at(&self, operation: &str, body: &[u8], now: Duration) -> Answer {
        let mut slow = self.slow_indexes.as_ref().map(|indexes| indexes.lock().unwrap_or_else(PoisonError::into_inner));
        if operation == "Query"
            && let Some(indexes) = &mut slow
            && indexes.are_queried(body)
        {
            return answer(indexes.at(now), operation, body);
        }
        let mut is_repeated = false;
        let mut make = |body: &[u8]| match operation {
            "TransactWriteItems" => match self.transact(body, now) {
                Transacted::New(answer) => answer,
                Transacted::Before(answer) => {
                    is_repeated = true;
                    answer
                }
            },
            _ => answer(&self.database, operation, body),
        };
        let mut units = is_write(operation).then(|| self.write_units.lock().unwrap_or_else(PoisonError::into_inner));
        let made = match units.as_mut().and_then(|units| units.as_mut()) {
            Some(units) => units.watch(&self.database, operation, body, now, &mut make),
            None => {
                units = None;
                Some(make(body))
            }
        };
        drop(units);
        let Some(answer) = made else { return super::faults::throttled("dynamodb", operation) };
        if is_repeated {
            return answer;
        }
        // The lock is held during the call, so that writes are noted in the order in which they take effect.
        if is_write(operation)
            && answer.status == 200
            && let Some(indexes) = &mut slow
        {
            indexes.note(operation, body, now);
        }
        if is_write(operation) {
            self.written.notify_waiters();
        }
        answer
    }

    /// Deletes expired items. Returns how many there were.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub fn sweep(&self) -> Result<usize> {
        if let Some(indexes) = &self.slow_indexes {
            indexes.lock().unwrap_or_else(PoisonError::into_inner).past.sweep_ttl()?;
        }
        Ok(self.database.sweep_ttl()?)
    }

    /// Follows a table's stream from its present end on.
    ///
    /// # Errors
    /// The table does not exist, or has no stream.
    pub fn follow(&self, table: &str) -> Result<Follower> {
        Follower::at_end(&self.database, &self.streams, &self.written, table)
    }

    /// Follows a table's stream from the oldest record that is kept, so that this run of the program handles what an earlier one has not.
    /// Some of these records have been handled before.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn follow_from_oldest(&self, table: &str) -> Result<Follower> {
        Follower::from_oldest(&self.database, &self.streams, &self.written, table)
    }

    /// Tells whether the readers of streams have handled every record that is written.
    ///
    /// # Errors
    /// The streams cannot be read.
    pub fn streams_are_handled(&self) -> Result<bool> {
        self.streams.are_passed()
    }

    /// Carries out a transaction, or answers one again that was carried out with the same client token.
    fn transact(&self, body: &[u8], now: Duration) -> Transacted {
        let mut request: TransactWriteItemsRequest = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => return Transacted::New(encoded(Err(refused(&error)))),
        };
        // A token that is too short or too long is left to the library, which refuses it.
        let is_token = |token: &String| (1..=MAX_TOKEN).contains(&token.len());
        let Some(token) = request.client_request_token.take_if(|token| is_token(token)) else {
            return Transacted::New(encoded(written(self.database.transact_write_items(request))));
        };
        // The lock is held during the call, so that of two equal requests at the same time one is carried out.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        match tokens.find(&token, body, now) {
            Known::Same(answer) => Transacted::Before(encoded(Ok(answer))),
            Known::WithAnotherRequest => {
                let message = "An error occurred (IdempotentParameterMismatchException)".to_owned();
                Transacted::Before(encoded(Err(DynoxideError::IdempotentParameterMismatchException(message))))
            }
            Known::No => {
                let answered = written(self.database.transact_write_items(request));
                if let Ok(answer) = &answered {
                    tokens.keep(token, body, answer.clone(), now);
                }
                Transacted::New(encoded(answered))
            }
        }
    }
}

/// The answer to a transaction, and whether the transaction has just been tried.
enum Transacted {
    New(Answer),
    Before(Answer),
}

fn is_write(operation: &str) -> bool {
    matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems")
}

/// Creates the global indexes that a table of an earlier version of the template lacks. `existing` are those that it has, in JSON.
fn add_indexes(database: &Database, wanted: &Value, existing: Option<&str>) -> Result<()> {
    let existing: Vec<Value> = existing.map(serde_json::from_str).transpose()?.unwrap_or_default();
    for index in wanted["GlobalSecondaryIndexes"].as_array().into_iter().flatten() {
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

/// Gives a table of an earlier version of the template the stream that it lacks.
fn add_stream(database: &Database, wanted: &Value, has_stream: bool) -> Result<()> {
    if has_stream || wanted["StreamSpecification"].is_null() {
        return Ok(());
    }
    let table = &wanted["TableName"];
    let update: UpdateTableRequest =
        request(json!({"TableName": table, "StreamSpecification": wanted["StreamSpecification"]}))?;
    database.update_table(update).with_context(|| format!("the stream of table {table} cannot be made"))?;
    Ok(())
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
}
