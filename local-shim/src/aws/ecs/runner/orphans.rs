//! Ends processes that outlive the command that started them although they left its process group and cleared their environment.
//!
//! On Linux the program adopts them: a process whose parent has ended becomes a child of the nearest ancestor that is a "child
//! subreaper" (prctl(2)), or of process 1. So a child of this program that is no container's first process is an orphan of a container
//! that has ended.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, test_kill_process_group, waitpid};
use tokio::process::{Child, Command};

/// The number of times that processes that are being killed are looked for.
const LOOKS: usize = 100;
/// The pause between two looks. The kernel needs about as long to end a process.
const PAUSE: Duration = Duration::from_millis(1);

/// The children of this program; not set where the program does not adopt.
static KNOWN: OnceLock<Mutex<Children>> = OnceLock::new();

#[derive(Default)]
struct Children {
    /// Process ids of children that this program has started itself, and that are no orphans.
    own: HashSet<i32>,
    /// Orphans, with the workspace that their environment named when they were first seen.
    orphans: HashMap<i32, Option<PathBuf>>,
}

/// Lets this program adopt the orphans of its commands, for the rest of its life. Children that it has already are left alone.
///
/// # Errors
/// The system has no such thing.
#[cfg(target_os = "linux")]
pub fn adopt() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    KNOWN.get_or_init(|| Mutex::new(Children { own: children().into_iter().collect(), ..Children::default() }));
    Ok(())
}

/// Fails, because other systems do not have subreapers.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn adopt() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn known() -> Option<MutexGuard<'static, Children>> {
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
        // The lock is held until the process is noted, so that it is not taken for an orphan.
        let mut known = known();
        let process = command.spawn()?;
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        if let (Some(known), Some(id)) = (&mut known, id) {
            known.own.insert(id);
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
            known.own.remove(&id);
        }
    }
}

/// Kills the orphans of a container whose first process has ended and whose process group has been killed, and reaps those that have
/// ended. An orphan belongs to the container if its environment names the container's workspace, or if no other container runs. Only
/// this program's own children are looked at, so that the cost does not grow with the processes of the machine.
///
/// Returns `false` if orphans are not adopted or are not gone in time, so that they must be looked for among all processes.
pub(super) async fn clear(
    workspace: &Path,
    group: Option<Pid>,
    workspace_of: impl Fn(Pid) -> Option<PathBuf> + Copy,
) -> bool {
    for _ in 0..LOOKS {
        // A process of the group that is not gone yet may leave orphans, and so may each orphan that is killed.
        let is_group_gone = group.is_none_or(|group| test_kill_process_group(group).is_err());
        match clear_once(workspace, workspace_of) {
            None => return false,
            Some(has_killed) if !has_killed && is_group_gone => return true,
            Some(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    false
}

/// Returns whether an orphan was killed, so that there may be more. `None` if orphans are not adopted.
fn clear_once(workspace: &Path, workspace_of: impl Fn(Pid) -> Option<PathBuf>) -> Option<bool> {
    let mut known = known()?;
    let Children { own, orphans } = &mut *known;
    let mut has_killed = false;
    for id in children().into_iter().filter(|id| !own.contains(id)) {
        let Some(process) = Pid::from_raw(id) else { continue };
        if !matches!(waitpid(Some(process), WaitOptions::NOHANG), Ok(None)) {
            orphans.remove(&id);
            continue;
        }
        // Its number is not given to another process before it is reaped here.
        let owner = orphans.entry(id).or_insert_with(|| workspace_of(process));
        if own.is_empty() || owner.as_deref() == Some(workspace) {
            has_killed |= kill_process(process, Signal::KILL).is_ok();
        }
    }
    Some(has_killed)
}

/// The children of all threads of this program.
fn children() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}
