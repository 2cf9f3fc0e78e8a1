//! Emulates CloudWatch Logs: groups of streams of lines. A stream that gets lines is a file; one that has ended is in a database with
//! all others that have.

mod ended;
mod event;
mod filter;
mod group;
mod mover;
pub mod positions;
mod stream;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::{Context, Result};

pub(crate) use self::event::events_of;
use self::{ended::Ended, filter::FilterLogEvents, mover::Mover};
pub use self::{event::Event, filter::Shown, group::LogGroup};
use super::{AwsError, error::parse};

/// The emulated CloudWatch Logs.
#[derive(Clone)]
pub struct CloudWatchLogs {
    groups: Arc<BTreeMap<String, LogGroup>>,
    /// Absent where streams are in memory.
    ended: Option<(Arc<Ended>, Arc<Mover>)>,
}

impl CloudWatchLogs {
    /// Opens these groups, each in a folder of its own, or in memory without a directory.
    ///
    /// # Errors
    /// A folder cannot be made or read.
    pub fn open<'a>(directory: Option<PathBuf>, groups: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let start = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default();
        let next = Arc::new(AtomicU64::new(start));
        let open = |directory| -> Result<_> { Ok((Arc::new(Ended::open(directory)?), Arc::new(Mover::new()))) };
        let ended = directory.as_deref().map(open).transpose()?;
        let groups = groups.into_iter().map(|name| {
            let directory =
                directory.as_ref().map(|directory| directory.join(name.trim_matches('/').replace('/', "_")));
            if let Some(directory) = &directory {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("{} cannot be made", directory.display()))?;
            }
            let group = LogGroup::new(name, directory, ended.clone(), next.clone());
            Ok((name.to_owned(), group))
        });
        Ok(Self { groups: Arc::new(groups.collect::<Result<_>>()?), ended })
    }

    /// Moves, from now on, streams that have ended to the database, where they take less room.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn move_ended(&self) -> Result<()> {
        let groups = self.groups.values().map(LogGroup::streams_to_move).collect();
        self.ended.as_ref().map_or(Ok(()), |(_, mover)| mover.start(groups))
    }

    /// Stops moving streams, so that another run of the program can use the folder.
    pub(crate) fn stop_moving(&self) {
        if let Some((_, mover)) = &self.ended {
            mover.stop();
        }
    }

    /// Deletes the streams that have ended and whose last line is older than this. Returns how many there were.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub(crate) fn delete_older(&self, kept: Duration) -> Result<usize> {
        let before = jiff::Timestamp::now().as_millisecond() - i64::try_from(kept.as_millis())?;
        self.ended.as_ref().map_or(Ok(0), |(ended, _)| ended.delete_before(before))
    }

    pub fn group(&self, name: &str) -> Option<&LogGroup> {
        self.groups.get(name)
    }

    /// Answers one call.
    ///
    /// # Errors
    /// AWS's answer to a call that it refuses.
    pub fn call(&self, operation: &str, body: &[u8], shown: Shown) -> Result<Vec<u8>, AwsError> {
        match operation {
            "FilterLogEvents" => {
                let request: FilterLogEvents = parse(body)?;
                let group = request.log_group_name.as_deref().and_then(|name| self.group(name));
                group
                    .ok_or_else(|| filter::not_found("The specified log group does not exist."))?
                    .filter(request, shown)
            }
            _ => Err(AwsError::unknown_operation()),
        }
    }
}

#[cfg(test)]
mod tests;
