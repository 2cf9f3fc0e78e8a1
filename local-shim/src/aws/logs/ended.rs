//! Keeps the log streams that have ended in one SQLite database, compressed, so that neither a folder nor a start grows with them.
//!
//! The lines of a stream stand in parts of whole lines, each with the offset at which it begins in the stream, so that offsets mean the
//! same as in the stream's file. A stream can be read here once all its parts are here, and its file is deleted after that.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use rusqlite::{Connection, OptionalExtension, params};

use super::stream::{Stream, end_of};
use crate::aws::state_file::{database, replace_unsynced};

/// The file of the database, in the folder of the logs.
const FILE: &str = "ended.sqlite";
/// Bytes of lines in a part, unless one line is longer. A reader uncompresses a part at a time.
const PART: usize = 256 * 1024;
/// Streams that a retention deletes in one transaction, so that other writes wait for a short time only.
const DELETE_AT_ONCE: usize = 500;

/// `newest` is the time of the last line, in milliseconds since 1970. A stream that is not whole is still being moved here.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS streams (
        id INTEGER PRIMARY KEY, log_group TEXT NOT NULL, name TEXT NOT NULL, length INTEGER NOT NULL, newest INTEGER NOT NULL,
        is_whole INTEGER NOT NULL DEFAULT 0, UNIQUE (log_group, name)
    );
    CREATE INDEX IF NOT EXISTS streams_by_newest ON streams (newest);
    CREATE TABLE IF NOT EXISTS parts (stream INTEGER NOT NULL, offset INTEGER NOT NULL, lines BLOB NOT NULL);
    CREATE UNIQUE INDEX IF NOT EXISTS parts_by_offset ON parts (stream, offset);";

/// The streams that have ended, of all groups.
pub(super) struct Ended {
    /// A connection of its own, so that no reader waits for a checkpoint.
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
    path: PathBuf,
}

/// The right to change the store, which one thread has at a time.
pub(super) struct Writer<'a>(MutexGuard<'a, Connection>);

impl Ended {
    /// Opens the database in the folder of the logs.
    ///
    /// # Errors
    /// It cannot be read. It is never replaced.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
        let path = database(directory, FILE, true)?;
        let cannot = || format!("{} cannot be read; move it away to forget the logs of ended tasks", path.display());
        let open = || -> Result<[Connection; 2]> {
            let writer = Connection::open(&path)?;
            // The room of what a retention deletes is given back to the disk. SQLite takes this setting only before the first table is
            // made.
            writer.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            // A commit survives the end of the process. It survives a loss of power from the next checkpoint on.
            writer.pragma_update(None, "journal_mode", "WAL")?;
            writer.pragma_update(None, "synchronous", "NORMAL")?;
            writer.execute_batch(SCHEMA)?;
            Ok([Connection::open(&path)?, writer])
        };
        let [reader, writer] = open().with_context(cannot)?;
        Ok(Self { reader: Mutex::new(reader), writer: Mutex::new(writer), path })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writer(&self) -> Writer<'_> {
        Writer(self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of bytes of a stream, if it is here.
    pub(super) fn length(&self, group: &str, name: &str) -> Result<Option<u64>> {
        let reader = self.reader();
        let sql = "SELECT length FROM streams WHERE log_group = ?1 AND name = ?2 AND is_whole";
        let length = reader.prepare_cached(sql)?.query_row([group, name], |row| row.get::<_, i64>(0)).optional()?;
        Ok(length.map(u64::try_from).transpose()?)
    }

    /// The names of the streams of a group.
    pub(super) fn names(&self, group: &str) -> Result<Vec<String>> {
        let reader = self.reader();
        let mut query = reader.prepare_cached("SELECT name FROM streams WHERE log_group = ?1 AND is_whole")?;
        let names = query.query_map([group], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    /// The lines of a stream from an offset on, as [`Stream::read`] gives them. `None` if it is not here.
    pub(super) fn read(&self, group: &str, name: &str, offset: u64, at_most: usize) -> Result<Option<Vec<u8>>> {
        match self.length(group, name)? {
            None => return Ok(None),
            Some(length) if offset >= length => return Ok(Some(Vec::new())),
            Some(_) => {}
        }
        let part = {
            let reader = self.reader();
            let sql = "SELECT parts.offset, parts.lines FROM streams JOIN parts ON parts.stream = streams.id
                WHERE log_group = ?1 AND name = ?2 AND is_whole AND parts.offset <= ?3 ORDER BY parts.offset DESC LIMIT 1";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
            reader.prepare_cached(sql)?.query_row(params![group, name, i64::try_from(offset)?], row).optional()?
        };
        // A retention may have deleted it since.
        let Some((begin, part)) = part else { return Ok(None) };
        let lines =
            uncompressed(&part).with_context(|| format!("{} has a part that is damaged", self.path.display()))?;
        let rest = lines.get(usize::try_from(offset - u64::try_from(begin)?)?..).unwrap_or_default();
        Ok(Some(super::stream::whole_lines(rest, at_most).to_vec()))
    }

    /// Moves the stream whose file has this path here, and deletes the file. Asks `may_go` after each part, and returns `false` if the
    /// stream is to stay a file. A stream that is moved twice is here once.
    pub(super) fn keep(&self, group: &str, name: &str, path: &Path, may_go: impl Fn() -> bool) -> Result<bool> {
        let file = match File::open(path) {
            // A retention has deleted it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            file => file?,
        };
        let size = file.metadata()?.len();
        let (length, last) = end_of(&file, size)?;
        let stream = Stream::read_only(path)?;
        let (mut offset, mut id) = (0, None);
        loop {
            let lines = if offset < length { stream.read(offset, PART)? } else { Vec::new() };
            let part = compressed(&lines)?;
            let mut writer = self.writer();
            let transaction = writer.0.transaction()?;
            let of = match id {
                Some(id) => {
                    // Who opens the stream meanwhile deletes what is here of it.
                    if !transaction.prepare_cached("SELECT 1 FROM streams WHERE id = ?1")?.exists([id])? {
                        return Ok(false);
                    }
                    id
                }
                None => {
                    delete(&transaction, group, name)?;
                    let sql = "INSERT INTO streams (log_group, name, length, newest) VALUES (?1, ?2, ?3, ?4)";
                    let values = params![group, name, i64::try_from(length)?, last.timestamp];
                    transaction.prepare_cached(sql)?.execute(values)?;
                    transaction.last_insert_rowid()
                }
            };
            id = Some(of);
            if !lines.is_empty() {
                let sql = "INSERT INTO parts (stream, offset, lines) VALUES (?1, ?2, ?3)";
                transaction.prepare_cached(sql)?.execute(params![of, i64::try_from(offset)?, part])?;
            }
            offset += lines.len() as u64;
            // The writer is held while this is asked, and until the file is gone, so that no other thread opens the stream meanwhile.
            // Before the first part was here, it may have been opened, written and closed.
            if !may_go() || std::fs::metadata(path)?.len() != size {
                return Ok(false);
            }
            if offset < length && !lines.is_empty() {
                transaction.commit()?;
                continue;
            }
            transaction.prepare_cached("UPDATE streams SET is_whole = 1 WHERE id = ?1")?.execute([of])?;
            transaction.commit()?;
            std::fs::remove_file(path)?;
            return Ok(true);
        }
    }

    /// Deletes the streams whose last line is older than this time, in milliseconds since 1970. Returns how many there were.
    pub(super) fn delete_before(&self, time: i64) -> Result<usize> {
        let mut deleted = 0;
        loop {
            let mut writer = self.writer();
            let transaction = writer.0.transaction()?;
            let old: Vec<i64> = {
                let sql = "SELECT id FROM streams WHERE newest < ?1 AND is_whole ORDER BY newest LIMIT ?2";
                let mut query = transaction.prepare_cached(sql)?;
                let ids = query.query_map(params![time, i64::try_from(DELETE_AT_ONCE)?], |row| row.get(0))?;
                ids.collect::<rusqlite::Result<_>>()?
            };
            for id in &old {
                delete_by_id(&transaction, *id)?;
            }
            transaction.commit()?;
            if !old.is_empty() {
                // Each step of the statement gives back one page.
                let mut vacuum = writer.0.prepare("PRAGMA incremental_vacuum")?;
                let mut rows = vacuum.query([])?;
                while rows.next()?.is_some() {}
            }
            deleted += old.len();
            if old.len() < DELETE_AT_ONCE {
                return Ok(deleted);
            }
        }
    }
}

impl Writer<'_> {
    /// Makes a stream a file again, to which lines can be appended.
    pub(super) fn restore(&mut self, store: &Ended, group: &str, name: &str, path: &Path) -> Result<()> {
        // A program that was killed before it deleted the file has left it.
        if !path.exists() && store.length(group, name)?.is_some() {
            let mut content = Vec::new();
            while let Some(lines) =
                store.read(group, name, content.len() as u64, PART)?.filter(|lines| !lines.is_empty())
            {
                content.extend(lines);
            }
            replace_unsynced(path, &content)?;
        }
        self.delete(group, name)
    }

    /// Deletes a stream, if it is here.
    pub(super) fn delete(&mut self, group: &str, name: &str) -> Result<()> {
        let transaction = self.0.transaction()?;
        delete(&transaction, group, name)?;
        Ok(transaction.commit()?)
    }
}

fn delete(connection: &Connection, group: &str, name: &str) -> Result<()> {
    let mut find = connection.prepare_cached("SELECT id FROM streams WHERE log_group = ?1 AND name = ?2")?;
    let found = find.query_row([group, name], |row| row.get(0)).optional()?;
    found.map_or(Ok(()), |id| delete_by_id(connection, id))
}

fn delete_by_id(connection: &Connection, id: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM parts WHERE stream = ?1")?.execute([id])?;
    connection.prepare_cached("DELETE FROM streams WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn compressed(lines: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(lines)?;
    Ok(encoder.finish()?)
}

fn uncompressed(part: &[u8]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    ZlibDecoder::new(part).read_to_end(&mut lines)?;
    Ok(lines)
}
