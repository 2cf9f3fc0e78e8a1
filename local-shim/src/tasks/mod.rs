//! Running an ECS task on this machine: its containers one after the other, as processes or in Docker.

pub mod docker;
pub mod log_driver;
pub mod process;

use std::{collections::BTreeMap, fmt, time::Duration};

use tokio::sync::watch;

use self::{
    docker::DockerRunner,
    log_driver::{LogDriver, Subscription},
    process::ProcessRunner,
};
use crate::aws::logs::LogGroup;

/// What a command gets to end in when the program itself is ending.
const LITTLE_TIME: Duration = Duration::from_secs(3);

/// One container, as the task definition and the overrides make it.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    /// Entry point and command.
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub stop_timeout: Duration,
}

/// A task that is to run: its containers in the order in which they depend on each other.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    pub id: String,
    /// 1024 to the virtual CPU.
    pub cpu_units: u32,
    pub memory_mib: u32,
    pub containers: Vec<ContainerSpec>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    pub stop_code: &'static str,
    pub reason: String,
    /// Of the containers that ran.
    pub exit_codes: BTreeMap<String, i32>,
}

/// How a container ended.
#[derive(Clone, Debug)]
pub struct ContainerEnd {
    pub exit_code: i32,
    /// Why, where there is more to say than the code.
    pub reason: Option<String>,
}

/// Why a container did not start, as ECS words it ("Stopped task error codes").
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

/// What is asked of a running task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    Run,
    /// As `StopTask`: SIGTERM, and SIGKILL after the stop timeout.
    Stop,
    /// The program is ending: the same, with little time.
    StopNow,
}

/// Waits until this, or more, is asked for.
async fn asked(demand: &mut watch::Receiver<Demand>, wanted: Demand) {
    let gone = demand.wait_for(|demand| *demand >= wanted).await.is_err();
    if gone {
        // Nobody is there to ask any more.
        std::future::pending().await
    }
}

/// After SIGTERM: waits for as long as a container may take to end by itself.
async fn patience(stop_timeout: Duration, demand: &mut watch::Receiver<Demand>) {
    tokio::select! {
        () = tokio::time::sleep(stop_timeout) => {}
        () = asked(demand, Demand::StopNow) => tokio::time::sleep(LITTLE_TIME).await,
    }
}

/// Runs tasks.
#[derive(Clone)]
pub struct Runner {
    pub kind: Kind,
    pub logs: LogGroup,
}

/// In what.
#[derive(Clone)]
pub enum Kind {
    Process(ProcessRunner),
    Docker(DockerRunner),
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
    pub async fn run(
        &self,
        task: &TaskSpec,
        demand: watch::Receiver<Demand>,
        subscription: Subscription,
        running: impl FnOnce() + Send,
    ) -> TaskEnd {
        let prepared = match &self.kind {
            Kind::Process(runner) => runner.prepare(task),
            Kind::Docker(runner) => runner.prepare(task).await,
        };
        let end = match prepared {
            Ok(()) => self.run_containers(task, demand, subscription, running).await,
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
        subscription: Subscription,
        running: impl FnOnce() + Send,
    ) -> TaskEnd {
        let mut exit_codes = BTreeMap::new();
        let mut running = Some(running);
        let mut reason = "Essential container in task exited".to_owned();
        for (at, container) in task.containers.iter().enumerate() {
            let last = at + 1 == task.containers.len();
            if *demand.borrow() != Demand::Run {
                break;
            }
            let stream = format!("task/{}/{}", container.name, task.id);
            let driver = match LogDriver::new(self.logs.clone(), stream.clone(), subscription.clone()) {
                Ok(driver) => driver,
                Err(error) => {
                    return failed_to_start(format!("CannotStartContainerError: {error:#}"), exit_codes);
                }
            };
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
                // It was not to start any more.
                Ok(None) => break,
                Err(error) => return failed_to_start(error.to_string(), exit_codes),
            };
            exit_codes.insert(container.name.clone(), ended.exit_code);
            if ended.exit_code != 0 && !last {
                let reason = format!("dependency container {} exited with code {}", container.name, ended.exit_code);
                return failed_to_start(reason, exit_codes);
            }
            reason = ended.reason.unwrap_or(reason);
        }
        TaskEnd { stop_code: "EssentialContainerExited", reason, exit_codes }
    }
}

fn failed_to_start(reason: String, exit_codes: BTreeMap<String, i32>) -> TaskEnd {
    TaskEnd { stop_code: "TaskFailedToStart", reason, exit_codes }
}
