//! Keeps the state of ECS in a SQLite database of its own, so that a change costs the same however many tasks have ended and
//! however many task definitions there are. Tasks whose ends are not handled yet are in memory too; all else is read when it is
//! asked for.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{definition::TaskDefinition, task::Task};
use crate::aws::state_file::{StateFile, database};

/// The time that ECS shows a task after it has stopped, with its client token ("DescribeTasks", Amazon ECS API Reference).
const SHOWN_AFTER_STOP: Duration = Duration::from_hours(1);
/// The file of the database.
const FILE: &str = "ecs.sqlite";
/// The file in which earlier versions of this program kept all task definitions.
const EARLIER_DEFINITIONS: &str = "task-definitions.json";
/// The folder in which earlier versions kept a file for each task.
const EARLIER_TASKS: &str = "tasks";

/// `forget_at` is the time, in milliseconds since 1970, from which ECS does not show a task any more. A task without it is open.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, task TEXT NOT NULL, token TEXT, forget_at INTEGER);
    CREATE INDEX IF NOT EXISTS tasks_by_token ON tasks (token) WHERE token IS NOT NULL;
    CREATE INDEX IF NOT EXISTS tasks_by_end ON tasks (forget_at);
    CREATE TABLE IF NOT EXISTS definitions (
        family TEXT, revision INTEGER, is_active INTEGER NOT NULL, definition TEXT NOT NULL, PRIMARY KEY (family, revision)
    );";

/// The tasks and the task definitions. Without a directory, they end with the process.
pub struct Store {
    connection: Connection,
    /// The tasks whose ends are not handled yet, by id.
    open: BTreeMap<String, Task>,
}

impl Store {
    /// Opens the database in this directory. What an earlier version of this program has kept in files is moved into it.
    ///
    /// # Errors
    /// The database, or a file of an earlier version, cannot be read. Neither is ever replaced.
    pub fn open(directory: Option<&Path>) -> Result<Self> {
        let Some(directory) = directory else { return Self::with(Connection::open_in_memory()?) };
        let earlier = Earlier::in_directory(directory);
        let path = database(directory, FILE, earlier.exists())?;
        let cannot = || format!("{} cannot be read; move it away to forget all tasks", path.display());
        let mut store = Connection::open(&path).map_err(Into::into).and_then(Self::with).with_context(cannot)?;
        if earlier.exists() {
            store.take_over(&earlier)?;
        }
        Ok(store)
    }

    fn with(connection: Connection) -> Result<Self> {
        // A commit survives the end of the process. It survives a loss of power from the next checkpoint on.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        let mut store = Self { connection, open: BTreeMap::new() };
        store.open = store.read_open()?;
        Ok(store)
    }

    fn read_open(&self) -> Result<BTreeMap<String, Task>> {
        let mut query = self.connection.prepare("SELECT id, task FROM tasks WHERE forget_at IS NULL")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (id, task): (String, String) = row?;
            Ok((id, serde_json::from_str(&task)?))
        })
        .collect()
    }

    /// Moves what an earlier version of this program has kept in files into the database.
    fn take_over(&mut self, earlier: &Earlier) -> Result<()> {
        let transaction = self.connection.transaction()?;
        let definitions: BTreeMap<String, Vec<TaskDefinition>> =
            StateFile::new(earlier.definitions.parent(), EARLIER_DEFINITIONS).read()?;
        for definition in definitions.values().flatten() {
            write_definition(&transaction, definition)?;
        }
        for (id, task) in earlier.read_tasks()? {
            write_task(&transaction, &id, &task)?;
        }
        transaction.commit()?;
        self.open = self.read_open()?;
        earlier.remove()
    }

    /// The tasks whose ends are not handled yet.
    pub(super) fn open_tasks(&self) -> impl Iterator<Item = (&String, &Task)> {
        self.open.iter()
    }

    /// A task that ECS shows.
    pub(super) fn task(&self, id: &str, now: Timestamp) -> Option<Cow<'_, Task>> {
        match self.open.get(id) {
            Some(task) => Some(Cow::Borrowed(task)),
            None => self.kept("id", id, now).map(|(_, task)| Cow::Owned(task)),
        }
    }

    /// The task that was started with this client token.
    pub(super) fn task_of_token(&self, token: &str, now: Timestamp) -> Option<Task> {
        let (id, task) = self.kept("token", token, now)?;
        Some(self.open.get(&id).cloned().unwrap_or(task))
    }

    /// The tasks that have stopped and whose ends are handled, for as long as ECS shows them.
    pub(super) fn stopped_tasks(&self, now: Timestamp) -> Vec<Task> {
        let read = || -> Result<Vec<Task>> {
            let mut query = self.connection.prepare_cached("SELECT task FROM tasks WHERE forget_at > ?1")?;
            let rows = query.query_map([now.as_millisecond()], |row| row.get::<_, String>(0))?;
            rows.map(|task| Ok(serde_json::from_str(&task?)?)).collect()
        };
        logged(read()).unwrap_or_default()
    }

    fn kept(&self, column: &'static str, value: &str, now: Timestamp) -> Option<(String, Task)> {
        let sql = format!("SELECT id, task FROM tasks WHERE {column} = ?1 AND (forget_at IS NULL OR forget_at > ?2)");
        let read = || -> Result<Option<(String, Task)>> {
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
            let found = self
                .connection
                .prepare_cached(&sql)?
                .query_row(params![value, now.as_millisecond()], row)
                .optional()?;
            found.map(|(id, task)| Ok((id, serde_json::from_str(&task)?))).transpose()
        };
        logged(read()).flatten()
    }

    /// Adds a task, and removes those that ECS would no longer show.
    pub(super) fn add_task(&mut self, id: &str, task: Task, now: Timestamp) {
        let forgotten = self.connection.prepare_cached("DELETE FROM tasks WHERE forget_at <= ?1");
        logged(forgotten.and_then(|mut forget| forget.execute([now.as_millisecond()])));
        logged(write_task(&self.connection, id, &task));
        self.open.insert(id.to_owned(), task);
    }

    /// Changes a task that ECS shows, and keeps it. One whose end is handled leaves the memory.
    pub(super) fn change_task<R>(
        &mut self,
        id: &str,
        now: Timestamp,
        change: impl FnOnce(&mut Task) -> R,
    ) -> Option<R> {
        let mut task = match self.open.remove(id) {
            Some(task) => task,
            None => self.kept("id", id, now)?.1,
        };
        let changed = change(&mut task);
        logged(write_task(&self.connection, id, &task));
        if !task.end_told {
            self.open.insert(id.to_owned(), task);
        }
        Some(changed)
    }

    /// A task definition by its ARN, by `family:revision`, or by `family` for the latest active revision.
    pub(super) fn definition(&self, name: &str) -> Option<TaskDefinition> {
        let name = name.rsplit_once("task-definition/").map_or(name, |(_, name)| name);
        match name.split_once(':') {
            Some((family, revision)) => {
                let revision = revision.parse::<i64>().ok()?;
                self.read_definition("family = ?1 AND revision = ?2", params![family, revision])
            }
            None => self.read_definition("family = ?1 AND is_active ORDER BY revision DESC", params![name]),
        }
    }

    /// The latest revision of a family, active or not.
    pub(super) fn latest_definition(&self, family: &str) -> Option<TaskDefinition> {
        self.read_definition("family = ?1 ORDER BY revision DESC", params![family])
    }

    fn read_definition(&self, of: &'static str, values: &[&dyn rusqlite::ToSql]) -> Option<TaskDefinition> {
        let sql = format!("SELECT definition FROM definitions WHERE {of} LIMIT 1");
        let read = || -> Result<Option<TaskDefinition>> {
            let row = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
            let found = self.connection.prepare_cached(&sql)?.query_row(values, row).optional()?;
            found.map(|definition| Ok(serde_json::from_str(&definition)?)).transpose()
        };
        logged(read()).flatten()
    }

    /// The families and revisions of all active task definitions.
    pub(super) fn active_definitions(&self) -> Vec<(String, usize)> {
        let read = || -> Result<Vec<(String, usize)>> {
            let sql = "SELECT family, revision FROM definitions WHERE is_active";
            let mut query = self.connection.prepare_cached(sql)?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
            rows.map(|row| row.map_err(Into::into).and_then(|(family, revision)| Ok((family, revision.try_into()?))))
                .collect()
        };
        logged(read()).unwrap_or_default()
    }

    /// Keeps a task definition, new or changed.
    pub(super) fn put_definition(&self, definition: &TaskDefinition) {
        logged(write_definition(&self.connection, definition));
    }
}

fn write_task(connection: &Connection, id: &str, task: &Task) -> Result<()> {
    let shown = i64::try_from(SHOWN_AFTER_STOP.as_millis())?;
    let forget_at = task.stopped_at.filter(|_| task.end_told).map(|at| at.as_millisecond() + shown);
    let sql = "INSERT INTO tasks (id, task, token, forget_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (id) DO UPDATE SET task = excluded.task, forget_at = excluded.forget_at";
    let values = params![id, serde_json::to_string(task)?, task.client_token, forget_at];
    connection.prepare_cached(sql)?.execute(values).context("the state of a task was not saved")?;
    Ok(())
}

fn write_definition(connection: &Connection, definition: &TaskDefinition) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO definitions (family, revision, is_active, definition) VALUES (?1, ?2, ?3, ?4)";
    let (revision, is_active) = (i64::try_from(definition.revision)?, definition.status == "ACTIVE");
    let values = params![definition.family, revision, is_active, serde_json::to_string(definition)?];
    connection.prepare_cached(sql)?.execute(values).context("a task definition was not saved")?;
    Ok(())
}

/// The value, or none after its error is logged: ECS goes on with what is in memory when the disk is full.
fn logged<T, E: Into<anyhow::Error>>(result: Result<T, E>) -> Option<T> {
    result
        .map_err(|error| tracing::error!(error = format!("{:#}", error.into()), "the state of ECS cannot be used"))
        .ok()
}

/// The files of earlier versions of this program.
struct Earlier {
    definitions: PathBuf,
    tasks: PathBuf,
}

impl Earlier {
    fn in_directory(directory: &Path) -> Self {
        Self { definitions: directory.join(EARLIER_DEFINITIONS), tasks: directory.join(EARLIER_TASKS) }
    }

    fn exists(&self) -> bool {
        self.definitions.exists() || self.tasks.exists()
    }

    fn read_tasks(&self) -> Result<BTreeMap<String, Task>> {
        let mut tasks = BTreeMap::new();
        if !self.tasks.exists() {
            return Ok(tasks);
        }
        for entry in std::fs::read_dir(&self.tasks)? {
            let path = entry?.path();
            // A file with another ending was left by a write that a crash interrupted.
            let (Some(id), Some("json")) = (
                path.file_stem().and_then(|stem| stem.to_str()),
                path.extension().and_then(|extension| extension.to_str()),
            ) else {
                continue;
            };
            let task = serde_json::from_slice(&std::fs::read(&path)?)
                .with_context(|| format!("{} cannot be read; remove it to forget the task", path.display()))?;
            tasks.insert(id.to_owned(), task);
        }
        Ok(tasks)
    }

    fn remove(&self) -> Result<()> {
        if self.tasks.exists() {
            std::fs::remove_dir_all(&self.tasks)?;
        }
        if self.definitions.exists() {
            std::fs::remove_file(&self.definitions)?;
        }
        Ok(())
    }
}
