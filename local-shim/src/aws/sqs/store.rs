//! Keeps the messages of queues in a SQLite database, so that they outlive the program and a call costs the same however many there are.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::{
    aws::state_file::database,
    stack::{ACCOUNT, REGION},
};

/// The file of the database, in the data directory.
const FILE: &str = "queues.sqlite";
/// `at` is the time from which a message can be received. All times are in milliseconds since 1970.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        id TEXT PRIMARY KEY, queue TEXT NOT NULL, body TEXT NOT NULL, sent INTEGER NOT NULL, at INTEGER NOT NULL,
        receives INTEGER NOT NULL DEFAULT 0, first_received INTEGER, received INTEGER, receipt TEXT
    );
    CREATE INDEX IF NOT EXISTS messages_by_time ON messages (queue, at);
    CREATE INDEX IF NOT EXISTS messages_by_receipt ON messages (receipt) WHERE receipt IS NOT NULL;";

/// A queue of the template, with times in seconds.
#[derive(Clone, Debug)]
pub struct Queue {
    pub name: String,
    pub(crate) visibility: i64,
    pub(super) delay: i64,
    retention: i64,
    /// The name of the queue of dead letters, and how often a message is received before it goes there.
    redrive: Option<(String, i64)>,
}

impl Queue {
    /// From the name and the properties of a queue in the template, with SQS's defaults ("CreateQueue", Amazon SQS API Reference).
    pub(crate) fn from_template(name: &str, properties: &Value) -> Self {
        let number = |property: &str, default| properties[property].as_i64().unwrap_or(default);
        let policy = &properties["RedrivePolicy"];
        let redrive = policy["deadLetterTargetArn"]
            .as_str()
            .and_then(|arn| Some((arn.rsplit(':').next()?.to_owned(), policy["maxReceiveCount"].as_i64()?)));
        Self {
            name: name.to_owned(),
            visibility: number("VisibilityTimeout", 30),
            delay: number("DelaySeconds", 0),
            retention: number("MessageRetentionPeriod", 345_600),
            redrive,
        }
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", self.name)
    }
}

/// A message that was received.
#[derive(Clone, Debug)]
pub struct Received {
    pub id: String,
    pub receipt: String,
    pub body: String,
    pub(crate) receives: i64,
    pub(crate) sent: i64,
    pub(crate) first_received: i64,
}

/// The result of changing a message's visibility.
pub(super) enum Hidden {
    Yes,
    NotInFlight,
    TooLong,
}

pub(super) struct Store(Connection);

impl Store {
    pub(super) fn open(directory: Option<&Path>) -> Result<Self> {
        let Some(directory) = directory else { return Self::with(Connection::open_in_memory()?) };
        let path = database(directory, FILE, true)?;
        let cannot = || format!("{} cannot be read; move it away to forget all messages", path.display());
        Connection::open(&path).map_err(Into::into).and_then(Self::with).with_context(cannot)
    }

    fn with(connection: Connection) -> Result<Self> {
        // A commit survives the end of the process. It survives a loss of power from the next checkpoint on.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(connection))
    }

    /// Keeps a message, and returns its id.
    pub(super) fn put(&self, queue: &str, body: &str, now: i64, delay: i64) -> Result<String> {
        let id = uuid::Uuid::new_v4().to_string();
        let mut insert =
            self.0.prepare_cached("INSERT INTO messages (id, queue, body, sent, at) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        insert.execute(params![id, queue, body, now, now + delay])?;
        Ok(id)
    }

    pub(super) fn receive(&mut self, queue: &Queue, most: usize, now: i64, hidden: i64) -> Result<Vec<Received>> {
        let transaction = self.0.transaction()?;
        let mut received = Vec::new();
        {
            let mut expire =
                transaction.prepare_cached("DELETE FROM messages WHERE queue = ?1 AND at <= ?2 AND sent < ?3")?;
            expire.execute(params![queue.name, now, now - queue.retention * 1000])?;
            if let Some((target, most)) = &queue.redrive {
                let mut give_up = transaction.prepare_cached(
                    "UPDATE messages SET queue = ?1, receives = 0, receipt = NULL, at = ?2
                     WHERE queue = ?3 AND at <= ?2 AND receives >= ?4",
                )?;
                give_up.execute(params![target, now, queue.name, most])?;
            }
            let mut find = transaction.prepare_cached(
                "SELECT id, body, receives, sent, first_received FROM messages WHERE queue = ?1 AND at <= ?2 ORDER BY at LIMIT ?3",
            )?;
            let rows = find.query_map(params![queue.name, now, i64::try_from(most)?], |row| {
                Ok(Received {
                    id: row.get(0)?,
                    receipt: uuid::Uuid::new_v4().to_string(),
                    body: row.get(1)?,
                    receives: row.get::<_, i64>(2)? + 1,
                    sent: row.get(3)?,
                    first_received: row.get::<_, Option<i64>>(4)?.unwrap_or(now),
                })
            })?;
            for row in rows {
                received.push(row?);
            }
            let mut take = transaction.prepare_cached(
                "UPDATE messages SET receives = ?2, receipt = ?3, at = ?4, received = ?5, first_received = ?6 WHERE id = ?1",
            )?;
            for message in &received {
                let Received { id, receipt, receives, first_received, .. } = message;
                take.execute(params![id, receives, receipt, now + hidden, now, first_received])?;
            }
        }
        transaction.commit()?;
        Ok(received)
    }

    pub(super) fn delete(&self, queue: &str, receipt: &str) -> Result<()> {
        let mut delete = self.0.prepare_cached("DELETE FROM messages WHERE receipt = ?1 AND queue = ?2")?;
        delete.execute([receipt, queue])?;
        Ok(())
    }

    /// Hides the message that was received with this handle for `hidden` milliseconds from now, and at most for `limit` since it was
    /// received.
    pub(super) fn hide(&self, queue: &str, receipt: &str, now: i64, hidden: i64, limit: i64) -> Result<Hidden> {
        let mut find =
            self.0.prepare_cached("SELECT received FROM messages WHERE receipt = ?1 AND queue = ?2 AND at > ?3")?;
        let received: Option<i64> = find.query_row(params![receipt, queue, now], |row| row.get(0)).optional()?;
        let Some(received) = received else { return Ok(Hidden::NotInFlight) };
        if now + hidden > received + limit {
            return Ok(Hidden::TooLong);
        }
        let mut hide = self.0.prepare_cached("UPDATE messages SET at = ?2 WHERE receipt = ?1")?;
        hide.execute(params![receipt, now + hidden])?;
        Ok(Hidden::Yes)
    }

    pub(super) fn next_visible(&self, queue: &str) -> Result<Option<i64>> {
        let mut find = self.0.prepare_cached("SELECT MIN(at) FROM messages WHERE queue = ?1")?;
        Ok(find.query_row([queue], |row| row.get(0))?)
    }

    pub(super) fn count(&self, queue: &str) -> Result<usize> {
        let count: i64 =
            self.0.query_row("SELECT COUNT(*) FROM messages WHERE queue = ?1", [queue], |row| row.get(0))?;
        Ok(usize::try_from(count)?)
    }
}
