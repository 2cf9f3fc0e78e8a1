//! Processes that outlive the command that started them although they left its process group and cleared their environment.
//!
//! On Linux the program adopts them: a process whose parent has ended becomes a child of the nearest ancestor that is a "child
//! subreaper" (prctl(2)), or of process 1. So a child of this program that is no container's first process is an orphan of a container
//! that has ended.

use std::{
    collections::HashSet,
    io,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::process::{Child, Command};

/// The children of this program that are no orphans; not set where the program does not adopt.
static KNOWN: OnceLock<Mutex<HashSet<i32>>> = OnceLock::new();

/// Lets this program adopt the orphans of its commands, for the rest of its life. Children that it has already are left alone.
///
/// # Errors
/// The system has no such thing.
#[cfg(target_os = "linux")]
pub fn adopt() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    KNOWN.get_or_init(|| Mutex::new(children().into_iter().collect()));
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub fn adopt() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn known() -> Option<MutexGuard<'static, HashSet<i32>>> {
    Some(KNOWN.get()?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The first process of a container.
pub(super) struct Container {
    pub(super) process: Child,
    id: Option<i32>,
}

impl Container {
    /// Starts a container's first process.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        // No orphan is looked for between the start and the note of it.
        let mut known = known();
        let process = command.spawn()?;
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        if let (Some(known), Some(id)) = (&mut known, id) {
            known.insert(id);
        }
        Ok(Self { process, id })
    }

    /// The process group, which has the number of its first process.
    pub(super) fn group(&self) -> Option<Pid> {
        self.id.and_then(Pid::from_raw)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let (Some(mut known), Some(id)) = (known(), self.id) {
            known.remove(&id);
        }
    }
}

/// Reaps orphans that have ended, and kills the others when no container runs: while one does, an orphan may be its own.
pub(super) async fn clear() {
    // Each orphan that is killed may leave orphans of its own.
    for _ in 0..100 {
        if !clear_once() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Returns whether an orphan was killed, so that there may be more.
fn clear_once() -> bool {
    let Some(known) = known() else { return false };
    let mut has_killed = false;
    for id in children().into_iter().filter(|id| !known.contains(id)).filter_map(Pid::from_raw) {
        let is_alive = matches!(waitpid(Some(id), WaitOptions::NOHANG), Ok(None));
        if is_alive && known.is_empty() {
            has_killed |= kill_process(id, Signal::KILL).is_ok();
        }
    }
    has_killed
}

/// The children of all threads of this program.
fn children() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}
