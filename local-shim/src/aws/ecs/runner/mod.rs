//! Runs an ECS task on this machine: its containers one after the other, as processes or in Docker.

pub mod docker;
mod engine;
mod limits;
mod log_driver;
pub mod orphans;
pub(crate) mod process;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use self::{docker::DockerRunner, log_driver::LogDriver, process::ProcessRunner};
use crate::aws::logs::LogGroup;

/// The time that a command has to end after SIGTERM when the program itself is ending.
const SHORT_STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// A container that is to run.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    /// The entry point followed by the command.
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub stop_timeout: Duration,
    /// Tells whether the container has the task's volume.
    pub has_volume: bool,
}

/// A task that is to run. Its containers are in the order in which they depend on each other.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    pub id: String,
    /// 1024 make one virtual CPU.
    pub cpu_units: u32,
    pub memory_mib: u32,
    pub containers: Vec<ContainerSpec>,
}

/// The end of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    pub stop_code: &'static str,
    pub reason: String,
    /// The exit codes of the containers that ran, by their names.
    pub exit_codes: BTreeMap<String, i32>,
}

/// The end of a container.
#[derive(Clone, Debug)]
pub struct ContainerEnd {
    pub exit_code: i32,
    /// Why it ended, if the exit code does not say it.
    pub reason: Option<String>,
}

/// Why a container did not start, in ECS's words ("Stopped task error codes").
#[derive(Debug)]
pub struct StartError {
    pub code: &'static str,
    pub cause: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.cause)
    }
}

/// Tells whether a task may go on running. Each value is stronger than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    Run,
    /// Stop as `StopTask` does: SIGTERM, and SIGKILL after the stop timeout.
    Stop,
    /// Stop because the program ends: the same, with a short timeout.
    StopNow,
}

/// Waits until a task is to be stopped at least in this way.
pub(super) async fn wait_for_demand(demand: &mut watch::Receiver<Demand>, wanted: Demand) {
    let gone = demand.wait_for(|demand| *demand >= wanted).await.is_err();
    if gone {
        // The sender was dropped, so no further demand can come.
        std::future::pending::<()>().await;
    }
}

/// Waits for the time that a container has to end after SIGTERM.
async fn wait_for_stop_timeout(stop_timeout: Duration, demand: &mut watch::Receiver<Demand>) {
    tokio::select! {
        () = tokio::time::sleep(stop_timeout) => {}
        () = wait_for_demand(demand, Demand::StopNow) => tokio::time::sleep(SHORT_STOP_TIMEOUT).await,
    }
}

/// Runs tasks.
#[derive(Clone)]
pub struct Runner {
    pub kind: Kind,
    pub logs: LogGroup,
}

/// The way in which containers run.
#[derive(Clone)]
pub enum Kind {
    Process(ProcessRunner),
    Docker(Box<DockerRunner>),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(_) => f.write_str("process"),
            Self::Docker(_) => f.write_str("docker"),
        }
    }
}

impl Runner {
    /// Runs a task to its end. `running` is called when its last container has started.
    pub(super) async fn run(
        &self,
        task: &TaskSpec,
        demand: watch::Receiver<Demand>,
        running: impl FnOnce() + Send,
    ) -> TaskEnd {
        let prepared = match &self.kind {
            Kind::Process(runner) => runner.prepare(task),
            Kind::Docker(runner) => runner.prepare(task).await,
        };
        let end = match prepared {
            Ok(()) => self.run_containers(task, demand, running).await,
            Err(error) => failed_to_start(error.to_string(), BTreeMap::new()),
        };
        match &self.kind {
            Kind::Process(runner) => runner.clear(task).await,
            Kind::Docker(runner) => runner.clear(task).await,
        }
        end
    }

    async fn run_containers(
        &self,
        task: &TaskSpec,
        mut demand: watch::Receiver<Demand>,
        running: impl FnOnce() + Send,
    ) -> TaskEnd {
        let mut exit_codes = BTreeMap::new();
        let newest = Arc::new(AtomicI64::new(0));
        let mut running = Some(running);
        let mut reason = "Essential container in task exited".to_owned();
        for (at, container) in task.containers.iter().enumerate() {
            let last = at + 1 == task.containers.len();
            if *demand.borrow() != Demand::Run {
                break;
            }
            let stream = log_stream(&container.name, &task.id);
            let driver = match LogDriver::new(self.logs.clone(), stream.clone(), newest.clone()) {
                Ok(driver) => driver,
                Err(error) => {
                    return failed_to_start(format!("CannotStartContainerError: {error:#}"), exit_codes);
                }
            };
            let losses = driver.losses();
            let started = || {
                if let Some(running) = running.take_if(|_| last) {
                    running();
                }
            };
            let ended = match &self.kind {
                Kind::Process(runner) => runner.run_container(task, container, driver, &mut demand, started).await,
                Kind::Docker(runner) => runner.run_container(task, container, driver, &mut demand, started).await,
            };
            self.logs.close_stream(&stream);
            let ended = match ended {
                Ok(Some(ended)) => ended,
                // The task was stopped before this container started.
                Ok(None) => break,
                Err(error) => return failed_to_start(error.to_string(), exit_codes),
            };
            exit_codes.insert(container.name.clone(), ended.exit_code);
            if ended.exit_code != 0 && !last {
                let reason = format!("dependency container {} exited with code {}", container.name, ended.exit_code);
                return failed_to_start(reason, exit_codes);
            }
            let lost = match losses.load(Ordering::Relaxed) {
                0 => None,
                lost => Some(format!("{lost} lines of the log could not be written")),
            };
            reason = ended.reason.or(lost).unwrap_or(reason);
        }
        TaskEnd { stop_code: "EssentialContainerExited", reason, exit_codes }
    }
}

/// The log stream of a container.
pub(super) fn log_stream(container: &str, task: &str) -> String {
    format!("task/{container}/{task}")
}

fn failed_to_start(reason: String, exit_codes: BTreeMap<String, i32>) -> TaskEnd {
    TaskEnd { stop_code: "TaskFailedToStart", reason, exit_codes }
}
