//! The `process` runner: a task's containers as processes of the user's own, each in its own process group, with the task's
//! environment and nothing of this program's.

use std::{
    collections::BTreeMap,
    os::unix::{fs::DirBuilderExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{net::unix::pipe, process::Command, sync::watch};

use super::{
    ContainerSpec, TaskEnd, TaskSpec,
    log_driver::{LogDriver, Subscription},
};
use crate::aws::logs::LogGroup;

/// What a container would have, roughly.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Tells the scripts where the workspace is, and us which processes belong to it.
const WORKSPACE: &str = "RUNVOY_WORKSPACE";
/// What a command gets to end in when the program itself is ending.
const LITTLE_TIME: Duration = Duration::from_secs(3);
/// How long the end of a container's output is waited for when something outside our reach keeps the pipe open.
const DRAIN: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct ProcessRunner {
    /// Where workspaces are made.
    pub workspaces: PathBuf,
    pub logs: LogGroup,
}

/// What is asked of a running task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    Run,
    /// As `StopTask`: SIGTERM, and SIGKILL after the stop timeout.
    Stop,
    /// The program is ending: the same, with little time.
    StopNow,
}

impl ProcessRunner {
    /// Runs a task to its end. `running` is called when its last container has started.
    pub async fn run(
        &self,
        task: &TaskSpec,
        demand: watch::Receiver<Demand>,
        subscription: Subscription,
        running: impl FnOnce() + Send,
    ) -> TaskEnd {
        let workspace = self.workspaces.join(&task.id);
        let end = match make_workspace(&workspace) {
            Ok(()) => self.run_in(&workspace, task, demand, subscription, running).await,
            Err(error) => TaskEnd {
                stop_code: "TaskFailedToStart",
                reason: format!("CannotCreateContainerError: {error:#}"),
                exit_codes: BTreeMap::new(),
            },
        };
        if let Err(error) = tokio::fs::remove_dir_all(&workspace).await {
            tracing::warn!(workspace = %workspace.display(), %error, "a workspace was left behind");
        }
        end
    }

    async fn run_in(
        &self,
        workspace: &Path,
        task: &TaskSpec,
        mut demand: watch::Receiver<Demand>,
        subscription: Subscription,
        running: impl FnOnce() + Send,
    ) -> TaskEnd {
        let mut exit_codes = BTreeMap::new();
        let mut running = Some(running);
        for (at, container) in task.containers.iter().enumerate() {
            let last = at + 1 == task.containers.len();
            if *demand.borrow() != Demand::Run {
                break;
            }
            let stream = format!("task/{}/{}", container.name, task.id);
            let ended = async {
                let mut driver = LogDriver::new(self.logs.clone(), stream.clone(), subscription.clone())?;
                if last {
                    let image = &container.image;
                    driver
                        .say(&format!("### runvoy runner: image {image} is not used: the process runner runs the command on this machine"))
                        .await;
                }
                let started = || {
                    if let Some(running) = running.take_if(|_| last) {
                        running();
                    }
                };
                run_container(container, workspace, driver, &mut demand, started).await
            };
            let ended = ended.await;
            self.logs.close_stream(&stream);
            match ended {
                Ok(0) => {
                    exit_codes.insert(container.name.clone(), 0);
                }
                Ok(code) => {
                    exit_codes.insert(container.name.clone(), code);
                    if !last {
                        return TaskEnd {
                            stop_code: "TaskFailedToStart",
                            reason: format!("dependency container {} exited with code {code}", container.name),
                            exit_codes,
                        };
                    }
                }
                Err(error) => {
                    let reason = format!("CannotStartContainerError: {error:#}");
                    return TaskEnd { stop_code: "TaskFailedToStart", reason, exit_codes };
                }
            }
        }
        TaskEnd {
            stop_code: "EssentialContainerExited",
            reason: "Essential container in task exited".to_owned(),
            exit_codes,
        }
    }
}

fn make_workspace(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("{} cannot be made", path.display()))
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
    let mut child = Command::new(program)
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
        .process_group(0)
        .spawn()
        .with_context(|| format!("{program} cannot be run"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let reader = pipe::Receiver::from_owned_fd(reader.into())?;
    let mut following = tokio::spawn(async move {
        driver.follow(reader).await;
    });
    started();

    let status = tokio::select! {
        status = child.wait() => status?,
        () = asked(demand, Demand::Stop) => {
            signal(group, Signal::TERM);
            let patience = async {
                tokio::select! {
                    () = tokio::time::sleep(container.stop_timeout) => {}
                    () = asked(demand, Demand::StopNow) => tokio::time::sleep(LITTLE_TIME).await,
                }
            };
            tokio::select! {
                status = child.wait() => status?,
                () = patience => {
                    child.start_kill()?;
                    child.wait().await?
                }
            }
        }
    };
    // In a container, whatever is left dies with its first process.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    kill_leftovers(workspace);
    if tokio::time::timeout(DRAIN, &mut following).await.is_err() {
        following.abort();
        tracing::warn!(container = container.name, "something outside the task keeps its output open");
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}

/// Waits until this, or more, is asked for.
async fn asked(demand: &mut watch::Receiver<Demand>, wanted: Demand) {
    let gone = demand.wait_for(|demand| *demand >= wanted).await.is_err();
    if gone {
        // Nobody is there to ask any more.
        std::future::pending().await
    }
}

fn signal(process: Option<Pid>, signal: Signal) {
    if let Some(process) = process {
        // The process may have ended at this moment, which is as good.
        let _ = kill_process(process, signal);
    }
}

/// Kills processes that have left their group (`setsid`, `nohup`), by the workspace that stands in their environment. Where
/// there is no /proc, they are out of reach.
pub fn kill_leftovers(workspace: &Path) {
    let mark = format!("{WORKSPACE}={}", workspace.display());
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let inside = environment.split(|byte| *byte == 0).any(|variable| {
            variable.strip_prefix(mark.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        });
        if inside && id != rustix::process::getpid() {
            let _ = kill_process(id, Signal::KILL);
        }
    }
}
