//! Runs an ECS task on this machine: its containers one after the other, as processes or in Docker.

mod demand;
pub mod docker;
mod end;
mod engine;
mod limits;
mod log_driver;
pub mod orphans;
pub(crate) mod process;
mod spec;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use tokio::sync::watch;

pub(super) use self::demand::wait_for_demand;
pub use self::{
    demand::Demand,
    end::{ContainerEnd, StartError, TaskEnd},
    spec::{ContainerSpec, TaskSpec},
};
use self::{docker::DockerRunner, log_driver::LogDriver, process::ProcessRunner};
use crate::{aws::logs::LogGroup, blocking::blocking};

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
            let driver = match blocking(|| LogDriver::new(self.logs.clone(), stream.clone(), newest.clone())) {
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
