//! Keeps the lines of one log stream while it gets more: in a file, or in memory.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};

use super::event::Event;
use crate::aws::state_file::private_if_new;

/// Bytes that are read at a time when the end of a file is looked for.
const TAIL: u64 = 64 * 1024;

/// A stream. Its lines stand one after the other as JSON, so that a place in it is a number of bytes.
pub(super) struct Stream(Mutex<Written>);

pub(super) struct Written {
    content: Content,
    /// The last line that was written, as far as it is known.
    last: Last,
}

enum Content {
    File { file: Arc<File>, length: u64 },
    Memory(Vec<u8>),
}

/// The place of the last line in the order of the stream.
#[derive(Clone, Copy, Default)]
pub(super) struct Last {
    /// Milliseconds since 1970.
    pub(super) timestamp: i64,
    /// The number within its id.
    pub(super) number: u64,
}

impl Stream {
    pub(super) fn in_memory() -> Self {
        Self(Mutex::new(Written { content: Content::Memory(Vec::new()), last: Last::default() }))
    }

    /// Opens a file to append to it. A program that was killed may have left half a line at its end, which is removed.
    pub(super) fn append_to(path: &Path) -> Result<Self> {
        let file = private_if_new(path)?;
        let found = file.metadata()?.len();
        let (length, last) = end_of(&File::open(path)?, found)?;
        if length < found {
            file.set_len(length)?;
        }
        Ok(Self(Mutex::new(Written { content: Content::File { file: Arc::new(file), length }, last })))
    }

    /// Opens a file to read it.
    pub(super) fn read_only(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let content = Content::File { file: Arc::new(file), length };
        Ok(Self(Mutex::new(Written { content, last: Last::default() })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes that are written from an offset on: about `at_most`, in whole lines, and at least one line if there is one. A file is
    /// read without the lock, so that no reader holds the writer up.
    pub(super) fn read(&self, offset: u64, at_most: usize) -> Result<Vec<u8>> {
        let (file, length) = match &self.lock().content {
            Content::File { file, length } => (file.clone(), *length),
            Content::Memory(bytes) => {
                let rest = bytes.get(usize::try_from(offset)?..).unwrap_or_default();
                return Ok(whole_lines(rest, at_most).to_vec());
            }
        };
        let mut size = at_most as u64;
        loop {
            let end = length.min(offset.saturating_add(size));
            let mut bytes = vec![0; usize::try_from(end.saturating_sub(offset))?];
            file.read_exact_at(&mut bytes, offset).context("the log stream cannot be read")?;
            match memchr::memrchr(b'\n', &bytes) {
                Some(at) => {
                    bytes.truncate(at + 1);
                    return Ok(bytes);
                }
                // A program that was killed may have left half a line at the end of the file.
                None if end == length => return Ok(Vec::new()),
                None => size *= 2,
            }
        }
    }
}

impl Written {
    pub(super) fn length(&self) -> u64 {
        match &self.content {
            Content::File { length, .. } => *length,
            Content::Memory(bytes) => bytes.len() as u64,
        }
    }

    pub(super) fn last(&self) -> Last {
        self.last
    }

    /// Appends lines, all or none, of which the last has this place.
    pub(super) fn append(&mut self, lines: &[u8], last: Last) -> Result<()> {
        match &mut self.content {
            Content::File { file, length } => {
                if let Err(error) = (&**file).write_all(lines) {
                    // A part may have been written. Without it, the next line does not continue half a line.
                    file.set_len(*length)?;
                    return Err(error).context("the log stream cannot be written");
                }
                *length += lines.len() as u64;
            }
            Content::Memory(bytes) => bytes.extend_from_slice(lines),
        }
        self.last = last;
        Ok(())
    }
}

/// The beginning of these lines: about `at_most` bytes, in whole lines, and at least one line if there is one.
pub(super) fn whole_lines(lines: &[u8], at_most: usize) -> &[u8] {
    let length = match memchr::memrchr(b'\n', &lines[..lines.len().min(at_most)]) {
        Some(at) => at + 1,
        None => memchr::memchr(b'\n', lines).map_or(0, |at| at + 1),
    };
    &lines[..length]
}

/// The offset at which the last whole line of a file ends, and the place of that line.
pub(super) fn end_of(file: &File, length: u64) -> Result<(u64, Last)> {
    let mut size = TAIL;
    loop {
        let from = length.saturating_sub(size);
        let mut tail = vec![0; usize::try_from(length - from)?];
        file.read_exact_at(&mut tail, from)?;
        let end = memchr::memrchr(b'\n', &tail);
        let before = end.and_then(|end| memchr::memrchr(b'\n', &tail[..end]));
        match (end, before) {
            (None, _) if from == 0 => return Ok((0, Last::default())),
            (Some(end), before) if before.is_some() || from == 0 => {
                let line = &tail[before.map_or(0, |at| at + 1)..end];
                let last = serde_json::from_slice::<Event>(line).ok().map(|event| Last {
                    timestamp: event.timestamp,
                    number: event.event_id.get(13..).and_then(|number| number.parse().ok()).unwrap_or_default(),
                });
                return Ok((from + end as u64 + 1, last.unwrap_or_default()));
            }
            _ => size *= 2,
        }
    }
}
