//! Keeps schedules in a SQLite database of their own, so that a change costs the same however many there are.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::definition::{Action, Definition};
use crate::aws::{AwsError, state_file::database};

/// The file of the database, in the data directory.
const FILE: &str = "schedules.sqlite";

/// `done` is the last time whose event is handled. Times are in milliseconds since 1970.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS schedules (
        key TEXT PRIMARY KEY, definition TEXT NOT NULL, created INTEGER NOT NULL, begun INTEGER NOT NULL, done INTEGER NOT NULL
    );";

/// The schedules. Without a directory, they end with the process.
pub(super) struct Store(Connection);

/// A schedule, and how far it has come.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) definition: Definition,
    pub(super) created: Timestamp,
    /// The time at which it got this definition. A rate counts from here.
    pub(super) begun: Timestamp,
    /// The last time whose event is handled, or the moment before the schedule began.
    pub(super) done: Timestamp,
}

impl Entry {
    pub(super) fn new(definition: Definition, created: Timestamp, begun: Timestamp) -> Self {
        // A rate begins at a whole second, because its times are whole seconds.
        let begun = Timestamp::from_second(begun.as_second()).unwrap_or(begun);
        let before = Timestamp::from_second(begun.as_second() - 1).unwrap_or(begun);
        let is_rate = definition.timing().is_some_and(|timing| timing.is_rate());
        Self { definition, created, begun, done: if is_rate { before } else { begun } }
    }

    /// The first time whose event is not handled.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.definition.after(self.done, self.begun)
    }

    /// Tells whether the schedule leaves AWS when this time is over.
    pub(super) fn ends_with(&self, time: Timestamp) -> bool {
        self.definition.action_after_completion == Action::Delete && self.definition.after(time, self.begun).is_none()
    }

    /// The schedule as GetSchedule answers it.
    pub(super) fn shown(&self) -> Value {
        let mut shown = serde_json::to_value(&self.definition).unwrap_or_default();
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("ClientToken");
            fields.retain(|_, value| !value.is_null());
        }
        shown["Arn"] = Value::from(self.definition.arn());
        shown["CreationDate"] = seconds(self.created);
        shown["LastModificationDate"] = seconds(self.begun);
        shown
    }

    /// The schedule as ListSchedules answers it.
    pub(super) fn listed(&self) -> Value {
        json!({
            "Arn": self.definition.arn(),
            "Name": self.definition.name,
            "GroupName": self.definition.group_name,
            "State": self.definition.state,
            "CreationDate": seconds(self.created),
            "LastModificationDate": seconds(self.begun),
        })
    }
}

fn seconds(at: Timestamp) -> Value {
    json!(at.as_millisecond() as f64 / 1000.0)
}

impl Store {
    /// Opens the database in this directory.
    ///
    /// # Errors
    /// It cannot be read. It is never replaced.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self> {
        let connection = match directory {
            None => Connection::open_in_memory()?,
            Some(directory) => {
                let path = database(directory, FILE, false)?;
                let cannot = || format!("{} cannot be read; move it away to forget all schedules", path.display());
                Connection::open(&path).with_context(cannot)?
            }
        };
        // A commit survives the end of the process. It survives a loss of power from the next checkpoint on.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(connection))
    }

    pub(super) fn find(&self, key: &str) -> Result<Option<Entry>, AwsError> {
        let mut query = self
            .0
            .prepare_cached("SELECT definition, created, begun, done FROM schedules WHERE key = ?1")
            .map_err(internal)?;
        query.query_row([key], read).optional().map_err(internal)
    }

    pub(super) fn count(&self) -> Result<usize, AwsError> {
        self.0.query_row("SELECT COUNT(*) FROM schedules", [], |row| row.get(0)).map_err(internal)
    }

    pub(super) fn put(&self, entry: &Entry) -> Result<(), AwsError> {
        let Entry { definition, created, begun, done } = entry;
        let text = serde_json::to_string(definition).map_err(|error| AwsError::internal(&error))?;
        let mut put =
            self.0.prepare_cached("INSERT OR REPLACE INTO schedules VALUES (?1, ?2, ?3, ?4, ?5)").map_err(internal)?;
        let times = [created, begun, done].map(|at| at.as_millisecond());
        put.execute(params![definition.key(), text, times[0], times[1], times[2]]).map_err(internal).map(drop)
    }

    /// Notes that the event of a time is handled, unless the schedule has other times by now.
    pub(super) fn note_done(&self, key: &str, begun: Timestamp, done: Timestamp) -> Result<(), AwsError> {
        let sql = "UPDATE schedules SET done = MAX(done, ?3) WHERE key = ?1 AND begun = ?2";
        let mut update = self.0.prepare_cached(sql).map_err(internal)?;
        update.execute(params![key, begun.as_millisecond(), done.as_millisecond()]).map_err(internal).map(drop)
    }

    /// Removes a schedule that is over, unless it has other times by now.
    pub(super) fn remove_over(&self, key: &str, begun: Timestamp) -> Result<(), AwsError> {
        let mut delete =
            self.0.prepare_cached("DELETE FROM schedules WHERE key = ?1 AND begun = ?2").map_err(internal)?;
        delete.execute(params![key, begun.as_millisecond()]).map_err(internal).map(drop)
    }

    pub(super) fn remove(&self, key: &str) -> Result<bool, AwsError> {
        let mut delete = self.0.prepare_cached("DELETE FROM schedules WHERE key = ?1").map_err(internal)?;
        delete.execute([key]).map(|removed| removed > 0).map_err(internal)
    }

    /// Schedules in the order of their keys.
    pub(super) fn list(
        &self,
        group: Option<&str>,
        prefix: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, AwsError> {
        let begin = group.map(|group| format!("{group}/{}", prefix.unwrap_or_default())).unwrap_or_default();
        let sql = "SELECT definition, created, begun, done FROM schedules
            WHERE key > ?1 AND substr(key, 1, ?2) = ?3 ORDER BY key LIMIT ?4";
        let mut query = self.0.prepare_cached(sql).map_err(internal)?;
        let length = begin.chars().count();
        let rows = query.query_map(params![after.unwrap_or_default(), length, begin, limit], read).map_err(internal)?;
        rows.collect::<Result<_, _>>().map_err(internal)
    }

    /// All schedules.
    pub(super) fn all(&self) -> Result<Vec<Entry>, AwsError> {
        self.list(None, None, None, i32::MAX as usize)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let text: String = row.get(0)?;
    let definition = serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))?;
    let time = |at: usize| row.get(at).map(|ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default());
    Ok(Entry { definition, created: time(1)?, begun: time(2)?, done: time(3)? })
}

fn internal(error: rusqlite::Error) -> AwsError {
    AwsError::internal(&error)
}
