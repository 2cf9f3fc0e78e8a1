//! Runs a task's containers as processes, as the `process` runner: with the user's rights, each in a process group of its own, with the
//! task's environment and nothing of this program's.

use std::{
    ffi::OsStr,
    io::PipeReader,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process, kill_process_group},
};
use tokio::{net::unix::pipe, process::Command, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{
    demand::{Demand, wait_for_demand, wait_for_stop_timeout},
    end::{ContainerEnd, StartError},
    log_driver::LogDriver,
    orphans::{self, Container},
    spec::{ContainerSpec, TaskSpec},
};

/// The container that runs the command.
const RUNNER: &str = runvoy_core::image::task_definition::RUNNER;
/// The search path of commands, as most images have it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The variable that tells the scripts where the workspace is. Its value in a process's environment tells which task the process
/// belongs to.
const WORKSPACE: &str = "RUNVOY_WORKSPACE";
/// The time that a container's output has to end after its processes. Then the processes that keep it open are looked for.
const AT_ONCE: Duration = Duration::from_millis(200);
/// The time that a container's output may stay open after its end, when a process that cannot be ended keeps it open. Then it is cut off.
const DRAIN: Duration = Duration::from_secs(3);
/// The pause between two looks for such processes.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The `process` runner.
#[derive(Clone)]
pub struct ProcessRunner {
    /// The folder in which workspaces are created.
    pub(crate) workspaces: PathBuf,
}

impl ProcessRunner {
    fn workspace(&self, task: &TaskSpec) -> PathBuf {
        self.workspaces.join(&task.id)
    }

    /// Creates the task's workspace.
    pub(super) fn prepare(&self, task: &TaskSpec) -> Result<(), StartError> {
        let path = self.workspace(task);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|error| StartError {
            code: "CannotCreateContainerError",
            cause: format!("{} cannot be made: {error}", path.display()),
        })
    }

    /// Removes the task's workspace.
    pub(super) async fn clear(&self, task: &TaskSpec) {
        let workspace = self.workspace(task);
        if let Err(error) = tokio::fs::remove_dir_all(&workspace).await {
            tracing::warn!(workspace = %workspace.display(), %error, "a workspace was left behind");
        }
    }

    /// Runs one container to its end.
    pub(super) async fn run_container(
        &self,
        task: &TaskSpec,
        container: &ContainerSpec,
        mut driver: LogDriver,
        demand: &mut watch::Receiver<Demand>,
        started: impl FnOnce() + Send,
    ) -> Result<Option<ContainerEnd>, StartError> {
        let image = &container.image;
        if container.name == RUNNER {
            driver
                .say(&format!(
                    "### runvoy runner: image {image} is not used: the process runner runs the command on this machine"
                ))
                .await;
        }
        let ended = run_container(container, &self.workspace(task), driver, demand, started).await;
        ended
            .map(|exit_code| Some(ContainerEnd { exit_code, reason: None }))
            .map_err(|error| StartError { code: "CannotStartContainerError", cause: format!("{error:#}") })
    }
}

/// Runs one container to its end and returns its exit code.
async fn run_container(
    container: &ContainerSpec,
    workspace: &Path,
    mut driver: LogDriver,
    demand: &mut watch::Receiver<Demand>,
    started: impl FnOnce() + Send,
) -> Result<i32> {
    let (program, arguments) = container.arguments.split_first().context("the container has no command")?;
    // One pipe for both outputs keeps their lines in order.
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", workspace)
        .envs(&container.environment)
        .env(WORKSPACE, workspace)
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::from(writer.try_clone()?))
        .stderr(Stdio::from(writer))
        .process_group(0);
    let mut first = Container::start(&mut command).with_context(|| format!("{program} cannot be run"))?;
    // The command holds the writing end of the pipe. The output ends only when each copy of that end is closed.
    drop(command);
    let group = first.group();
    let output = Output(reader.try_clone()?);
    let (ended, cut_off) = (driver.end(), CancellationToken::new());
    let reader = pipe::Receiver::from_owned_fd(reader.into())?;
    let mut following = tokio::spawn({
        let cut_off = cut_off.clone();
        async move { driver.follow(reader, cut_off).await }
    });
    started();

    let status = tokio::select! {
        status = first.process.wait() => status?,
        () = wait_for_demand(demand, Demand::Stop) => {
            signal(group, Signal::TERM);
            tokio::select! {
                status = first.process.wait() => status?,
                () = wait_for_stop_timeout(container.stop_timeout, demand) => {
                    first.process.start_kill()?;
                    first.process.wait().await?
                }
            }
        }
    };
    // In a container, the end of the first process kills all others. The same happens here.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    drop(first);
    // From now on, the driver gives up by itself when lines cannot be written.
    let _ = ended.set(Instant::now());
    if !orphans::clear(workspace, group, workspace_of).await {
        kill_leftovers(workspace);
    }
    if tokio::time::timeout(AT_ONCE, &mut following).await.is_err() {
        if !output.ends().await {
            tracing::warn!(
                container = container.name,
                "a process that left the task keeps its output open; it is cut off"
            );
            cut_off.cancel();
        }
        following.await.context("the log driver ended")?;
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}

/// A container's output, as it is watched for its end.
struct Output(PipeReader);

impl Output {
    /// Tells whether a process can still write to it.
    fn is_open(&self) -> bool {
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        let polling = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        polling.is_ok() && !polled[0].revents().contains(PollFlags::HUP)
    }

    /// Ends the processes that keep it open, and returns whether it has ended.
    async fn ends(&self) -> bool {
        let gives_up = Instant::now() + DRAIN;
        while self.is_open() {
            if Instant::now() >= gives_up {
                return false;
            }
            if let Ok(file) = rustix::fs::fstat(&self.0) {
                kill_writers(file.st_ino);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        true
    }
}

fn signal(process: Option<Pid>, signal: Signal) {
    if let Some(process) = process {
        // An error means that the process has ended already.
        let _ = kill_process(process, signal);
    }
}

/// Kills the processes that have a pipe open, by the pipe's inode, except this program. Needs /proc.
///
/// A process that is about to run another command is a copy of this program until then, with all its files. It is left alone.
fn kill_writers(pipe: u64) {
    let name = format!("pipe:[{pipe}]");
    let own_environment = environment_of(rustix::process::getpid());
    for (id, process) in processes() {
        // This is read before the files: once a copy has a command's environment, it has none of this program's files any more. In
        // between, it has none for a moment.
        let environment = environment_of(id).filter(|found| !found.is_empty()).or_else(|| environment_of(id));
        if environment.is_some() && environment == own_environment {
            continue;
        }
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        if files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|target| target.as_os_str() == name.as_str())
        {
            let _ = kill_process(id, Signal::KILL);
        }
    }
}

/// The other processes of this machine, with their folders in /proc.
fn processes() -> impl Iterator<Item = (Pid, PathBuf)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| Some((Pid::from_raw(process.file_name().to_str()?.parse().ok()?)?, process.path())))
        .filter(|(id, _)| *id != rustix::process::getpid())
}

/// The variables with which a process began to run its program, each with a zero byte at its end. Needs /proc.
fn environment_of(process: Pid) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())).ok()
}

/// The workspace that a process's environment names.
fn workspace_of(process: Pid) -> Option<PathBuf> {
    let environment = environment_of(process)?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(WORKSPACE.as_bytes())?.strip_prefix(b"="))?;
    Some(PathBuf::from(OsStr::from_bytes(value)))
}

/// Kills the processes of a workspace, or of any in a folder of workspaces, that have left their process group (`setsid`, `nohup`).
/// They are looked for among all processes of the machine.
pub(crate) fn kill_leftovers(workspace: &Path) {
    for (id, _) in processes() {
        if workspace_of(id).is_some_and(|of| of.starts_with(workspace)) {
            let _ = kill_process(id, Signal::KILL);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_this_program_that_is_about_to_run_a_command_is_not_killed_for_the_output_of_another() {
        let (reader, writer) = std::io::pipe().unwrap();
        let start = |command: &mut std::process::Command| {
            command.arg("60").stdout(writer.try_clone().unwrap()).spawn().unwrap()
        };
        // The copy has this program's environment, and a command has its own.
        let mut copy = start(&mut std::process::Command::new("sleep"));
        let mut left = start(std::process::Command::new("sleep").env_clear());
        let pipe = rustix::fs::fstat(&reader).unwrap().st_ino;
        // It is itself a copy for a moment.
        let killed = loop {
            kill_writers(pipe);
            if let Some(status) = left.try_wait().unwrap() {
                break status;
            }
        };
        assert_eq!(killed.signal(), Some(9));
        kill_writers(pipe);
        std::thread::sleep(LOOK_AGAIN);
        assert!(copy.try_wait().unwrap().is_none());
        copy.kill().unwrap();
        copy.wait().unwrap();
    }
}
