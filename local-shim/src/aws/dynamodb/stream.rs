//! Keeps the streams of tables short, and hands their records to readers.
//!
//! The library numbers a record, and finds those after another, by `CAST(sequence_number AS INTEGER)`, for which it has no index, and
//! it never deletes one: each write to a table with a stream and each read of the stream would take longer with every record ever
//! written. An index on that expression makes both a look-up, and records that all readers have passed are deleted. The library has no
//! call for either, so they are done through a connection of their own to the same SQLite database. They know the library's table
//! `_stream_records`; a test fails when a version of the library has another.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use dynoxide::{
    Database,
    actions::{
        describe_stream::DescribeStreamRequest, get_records::GetRecordsRequest,
        get_shard_iterator::GetShardIteratorRequest, list_streams::ListStreamsRequest,
    },
};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::library::request;
use crate::blocking::blocking;

/// Records that a reader gets between two deletes, unless it comes to the end of the stream. Each delete is a commit of its own, which
/// takes time.
const DELETE_EVERY: usize = 500;
/// The time that a delete waits for another commit. After that, the next delete does its work.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_millis(200);
/// The library shows a sequence number with this added, so that it has the 21 digits of DynamoDB's.
const SHOWN_FROM: i128 = 100_000_000_000_000_000_000;
/// Finds a table's records by their numbers, as the library's queries ask for them.
const INDEX: &str = "CREATE INDEX IF NOT EXISTS runvoy_stream_records
    ON _stream_records (table_name, CAST(sequence_number AS INTEGER))";
/// Finds the number of the last record of a table.
const LAST: &str = "SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = ?1";
/// Deletes the records before one. That one stays, because the library numbers the next record after the last that it finds.
const DELETE: &str = "DELETE FROM _stream_records WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) < ?2";

/// The records of all streams of a database.
#[derive(Clone)]
pub(super) struct Streams(Arc<Inner>);

struct Inner {
    connection: Mutex<Connection>,
    /// The position of each reader of a stream, by table: the number of the last record up to which it has handled all.
    readers: Mutex<HashMap<String, Vec<Weak<AtomicI64>>>>,
}

impl Streams {
    /// Prepares the streams of the database that the library has open at this path.
    ///
    /// # Errors
    /// The database cannot be opened, or has no table of records as this module knows it.
    pub(super) fn open(path: &str) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(INDEX).context("the streams of DynamoDB's tables cannot be indexed")?;
        Ok(Self(Arc::new(Inner { connection: Mutex::new(connection), readers: Mutex::default() })))
    }

    /// The number of the last record of a table's stream, 0 without one.
    fn last(&self, table: &str) -> Result<i64> {
        let connection = self.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let last = connection.query_row(LAST, [table], |row| row.get::<_, Option<i64>>(0))?;
        Ok(last.unwrap_or_default())
    }

    fn reader(&self, table: &str, position: i64) -> Arc<AtomicI64> {
        let position = Arc::new(AtomicI64::new(position));
        let mut readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.entry(table.to_owned()).or_default().push(Arc::downgrade(&position));
        position
    }

    /// Deletes the records of a table's stream that every reader has passed.
    fn delete_passed(&self, table: &str) {
        let slowest = {
            let mut readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(readers) = readers.get_mut(table) else { return };
            readers.retain(|reader| reader.strong_count() > 0);
            readers.iter().filter_map(|reader| Some(reader.upgrade()?.load(Ordering::Relaxed))).min()
        };
        let Some(slowest) = slowest else { return };
        let connection = self.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let deleted = connection.prepare_cached(DELETE).and_then(|mut delete| delete.execute(params![table, slowest]));
        if let Err(error) = deleted {
            tracing::debug!(%error, table, "records of a stream are deleted later");
        }
    }

    /// Tells whether every reader has passed the last record of its stream.
    pub(super) fn are_passed(&self) -> Result<bool> {
        let readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (table, readers) in readers {
            // The positions are read first: a record that is written in between counts as one that is not passed.
            let positions = readers.iter().filter_map(|reader| Some(reader.upgrade()?.load(Ordering::Relaxed)));
            let slowest = positions.min();
            if let Some(slowest) = slowest
                && slowest < self.last(&table)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The number of records that are kept of a table's stream.
    #[cfg(test)]
    pub(super) fn kept(&self, table: &str) -> i64 {
        let connection = self.0.connection.lock().unwrap();
        let sql = "SELECT COUNT(*) FROM _stream_records WHERE table_name = ?1";
        connection.query_row(sql, [table], |row| row.get(0)).unwrap()
    }

    /// SQLite's plan for a query, in its own words.
    #[cfg(test)]
    pub(super) fn plan(&self, sql: &str) -> String {
        let connection = self.0.connection.lock().unwrap();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines = plan.query_map([], |row| row.get::<_, String>(3)).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }
}

/// A reader of a stream.
pub struct Follower {
    database: Database,
    streams: Streams,
    written: Arc<Notify>,
    table: String,
    /// The name of the table's partition key.
    key: String,
    iterator: Option<String>,
    arn: String,
    position: Arc<AtomicI64>,
    /// The number of the last record that was returned. The next call says that it has been handled.
    returned: i64,
    /// The records that were read since the last delete.
    passed: usize,
}

impl Follower {
    /// Reads a table's stream from its present end on.
    pub(super) fn at_end(database: &Database, streams: &Streams, written: &Arc<Notify>, table: &str) -> Result<Self> {
        // It is read before the iterator is made, so that no record between them is passed over.
        let last = streams.last(table)?;
        let follower = Self::from(database, streams, written, table, "LATEST", last)?;
        // An earlier run of the program may have left records.
        streams.delete_passed(table);
        Ok(follower)
    }

    /// Reads a table's stream from the oldest record that is kept.
    pub(super) fn from_oldest(
        database: &Database,
        streams: &Streams,
        written: &Arc<Notify>,
        table: &str,
    ) -> Result<Self> {
        Self::from(database, streams, written, table, "TRIM_HORIZON", 0)
    }

    fn from(
        database: &Database,
        streams: &Streams,
        written: &Arc<Notify>,
        table: &str,
        start: &str,
        position: i64,
    ) -> Result<Self> {
        // A description of the table would count all items of it and its indexes.
        let described = database.get_table_metadata(table)?.context("the table does not exist")?;
        let keys: Vec<Value> = serde_json::from_str(&described.key_schema)?;
        let key = keys.iter().find(|key| key["KeyType"] == "HASH").and_then(|key| key["AttributeName"].as_str());
        let key = key.context("the table has no partition key")?.to_owned();
        let streams_of = ListStreamsRequest { table_name: Some(table.to_owned()), ..ListStreamsRequest::default() };
        let arn = database.list_streams(streams_of)?.streams.pop().context("the table has no stream")?.stream_arn;
        let stream: DescribeStreamRequest = request(json!({"StreamArn": arn}))?;
        let stream = serde_json::to_value(database.describe_stream(stream)?)?;
        let shard = stream["StreamDescription"]["Shards"][0]["ShardId"].as_str().context("the stream has no shard")?;
        let start = database.get_shard_iterator(GetShardIteratorRequest {
            stream_arn: arn.clone(),
            shard_id: shard.to_owned(),
            shard_iterator_type: start.to_owned(),
            sequence_number: None,
        })?;
        Ok(Self {
            database: database.clone(),
            streams: streams.clone(),
            written: written.clone(),
            table: table.to_owned(),
            key,
            iterator: start.shard_iterator,
            arn,
            position: streams.reader(table, position),
            returned: position,
            passed: 0,
        })
    }

    /// Waits for the next records, and returns at least one, in the form in which Lambda receives them. The call tells that those of the
    /// call before it have been handled, and need not be kept.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub async fn next(&mut self, at_most: usize) -> Result<Vec<Value>> {
        self.position.store(self.returned, Ordering::Relaxed);
        self.read(at_most).await
    }

    /// The number of the last record up to which all have been handled. A caller of [`read`](Self::read) notes it there.
    pub(crate) fn position(&self) -> Arc<AtomicI64> {
        self.position.clone()
    }

    /// A number that is the same for all records of one partition key.
    pub(crate) fn key_of(&self, record: &Value) -> u64 {
        let mut hasher = DefaultHasher::new();
        record["dynamodb"]["Keys"][&self.key].to_string().hash(&mut hasher);
        hasher.finish()
    }

    /// Waits for the next records, and returns at least one. The call tells nothing about those before.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub(crate) async fn read(&mut self, at_most: usize) -> Result<Vec<Value>> {
        loop {
            let written = self.written.clone();
            let written = written.notified();
            tokio::pin!(written);
            // The notification is registered before the read, so that a write in between is not missed.
            written.as_mut().enable();
            let shard_iterator = self.iterator.clone().context("the stream has ended")?;
            let answer =
                blocking(|| self.database.get_records(GetRecordsRequest { shard_iterator, limit: Some(at_most) }))?;
            self.iterator = answer.next_shard_iterator;
            let Some(last) = answer.records.last() else {
                blocking(|| self.delete_passed());
                written.await;
                continue;
            };
            self.returned = stored(&last.dynamodb.sequence_number);
            self.passed += answer.records.len();
            if self.passed >= DELETE_EVERY {
                blocking(|| self.delete_passed());
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

    fn delete_passed(&mut self) {
        if std::mem::take(&mut self.passed) > 0 {
            self.streams.delete_passed(&self.table);
        }
    }
}

/// The number of a record that was read.
pub(crate) fn number(record: &Value) -> i64 {
    stored(record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default())
}

/// The number by which the library keeps a record, from the one that it shows.
fn stored(shown: &str) -> i64 {
    shown.parse::<i128>().ok().and_then(|shown| i64::try_from(shown - SHOWN_FROM).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aws::dynamodb::DynamoDb, stack::Stack};

    const TABLE: &str = "runvoy-local-websocket-connections";

    fn put(dynamodb: &DynamoDb, number: usize) {
        let item = json!({"execution_id": {"S": "e"}, "connection_id": {"S": number.to_string()}});
        let answer = dynamodb.call("PutItem", json!({"TableName": TABLE, "Item": item}).to_string().as_bytes());
        assert_eq!(answer.status, 200);
    }

    fn numbers(records: &[Value]) -> Vec<usize> {
        let number = |record: &Value| record["dynamodb"]["Keys"]["connection_id"]["S"].as_str()?.parse().ok();
        records.iter().filter_map(number).collect()
    }

    async fn read(follower: &mut Follower, count: usize) -> Vec<usize> {
        let mut read = Vec::new();
        while read.len() < count {
            read.extend(numbers(&follower.next(100).await.unwrap()));
        }
        read
    }

    #[tokio::test]
    async fn records_are_kept_until_the_slowest_reader_has_passed_them() {
        let directory = tempfile::tempdir().unwrap();
        let stack = Stack::bundled(&Default::default()).unwrap();
        for directory in [None, Some(directory.path())] {
            let dynamodb = DynamoDb::open(directory, &stack, false).unwrap();
            let (mut fast, mut slow) = (dynamodb.follow(TABLE).unwrap(), dynamodb.follow(TABLE).unwrap());
            (0..2000).for_each(|number| put(&dynamodb, number));
            assert_eq!(read(&mut fast, 2000).await, (0..2000).collect::<Vec<_>>());
            assert_eq!(dynamodb.streams.kept(TABLE), 2000, "the other reader has not come");
            assert_eq!(read(&mut slow, 2000).await, (0..2000).collect::<Vec<_>>());
            assert!(dynamodb.streams.kept(TABLE) <= DELETE_EVERY as i64, "{}", dynamodb.streams.kept(TABLE));
            // Numbers go on where they were, so that no reader misses what comes after a delete.
            put(&dynamodb, 2000);
            assert_eq!((read(&mut fast, 1).await, read(&mut slow, 1).await), (vec![2000], vec![2000]));
            drop(slow);
            put(&dynamodb, 2001);
            assert_eq!(read(&mut fast, 1).await, [2001]);
            drop(fast);
            drop(dynamodb.follow(TABLE).unwrap());
            assert_eq!(dynamodb.streams.kept(TABLE), 1, "a start deletes what an earlier run has left");
        }
    }

    #[tokio::test]
    async fn a_stream_is_passed_when_its_slowest_reader_says_that_the_last_record_is_handled() {
        let stack = Stack::bundled(&Default::default()).unwrap();
        let dynamodb = DynamoDb::open(None, &stack, false).unwrap();
        let (mut fast, mut slow) = (dynamodb.follow(TABLE).unwrap(), dynamodb.follow(TABLE).unwrap());
        assert!(dynamodb.streams_are_handled().unwrap());
        put(&dynamodb, 0);
        assert!(!dynamodb.streams_are_handled().unwrap(), "it is not picked up");
        for follower in [&mut fast, &mut slow] {
            assert_eq!(read(follower, 1).await, [0]);
            assert!(!dynamodb.streams_are_handled().unwrap(), "it is picked up and not handled");
        }
        fast.position().store(fast.returned, Ordering::Relaxed);
        assert!(!dynamodb.streams_are_handled().unwrap(), "one reader has handled it");
        slow.position().store(slow.returned, Ordering::Relaxed);
        assert!(dynamodb.streams_are_handled().unwrap());
    }

    #[test]
    fn neither_a_write_nor_a_read_looks_at_all_records() {
        let stack = Stack::bundled(&Default::default()).unwrap();
        let dynamodb = DynamoDb::open(None, &stack, false).unwrap();
        // As `next_stream_sequence_number` and `stream_records_with_event_ids` of the library's storage.rs have them.
        let number =
            "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 FROM _stream_records WHERE table_name = 't'";
        let records = "SELECT event_name FROM _stream_records WHERE table_name = 't' AND shard_id = 's' AND \
            CAST(sequence_number AS INTEGER) > 5 ORDER BY CAST(sequence_number AS INTEGER) ASC LIMIT 10";
        for sql in [number, records] {
            let plan = dynamodb.streams.plan(sql);
            assert!(
                plan.contains("USING INDEX runvoy_stream_records") || plan.contains("USING COVERING INDEX"),
                "{plan}"
            );
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
