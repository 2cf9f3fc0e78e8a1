//! Runs a task's containers in Docker or Podman, as the `docker` runner, with a shared volume and the task's CPU and memory.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    container::LogOutput,
    models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, SystemInfo, VolumeCreateRequest},
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
        KillContainerOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, WaitContainerOptions,
    },
};
use futures_util::{FutureExt, StreamExt};
use rustix::process::{Pid, test_kill_process};
use tokio::sync::watch;

use super::{
    demand::{Demand, wait_for_demand, wait_for_stop_timeout},
    end::{ContainerEnd, StartError},
    engine::{Surroundings, client, describe, inspect},
    limits::Limits,
    log_driver::{LogDriver, Unfinished},
    spec::{ContainerSpec, TaskSpec},
};

/// The path of the volume in both containers.
const WORKSPACE: &str = "/workspace";
/// The label of every container and volume that this program creates, with its data directory, or its process id if it has none.
const OWNER: &str = "runvoy.owner";
/// The beginning of that value for a program without a data directory. The process id follows.
const EPHEMERAL: &str = "ephemeral:";
/// The time between two log lines of the progress of a pull.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// The `docker` runner, with the engine that it uses.
#[derive(Clone)]
pub struct DockerRunner {
    docker: Docker,
    owner: String,
    /// The engine's version and socket.
    pub engine: String,
    /// Facts about the engine, as far as it tells them.
    info: SystemInfo,
}

impl DockerRunner {
    /// The first engine that answers. Removes the containers and volumes that an earlier run of the program with the same data
    /// directory left there.
    ///
    /// # Errors
    /// The sockets that were tried, and why each failed.
    pub(crate) async fn connect(data_dir: Option<&Path>) -> Result<Self, String> {
        let mut tried = Vec::new();
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        for address in (Surroundings { variable: &variable, root: "/".into() }).addresses() {
            match Self::at(&address, data_dir).await {
                Ok(runner) => {
                    runner.remove_leftovers().await;
                    return Ok(runner);
                }
                Err(error) => tried.push(format!("{address}: {error}")),
            }
        }
        Err(if tried.is_empty() { "there is no socket in the usual places".to_owned() } else { tried.join("; ") })
    }

    async fn at(address: &str, data_dir: Option<&Path>) -> Result<Self, String> {
        let (docker, version, info) = describe(client(address)?).await?;
        let owner = match data_dir {
            Some(directory) => directory.display().to_string(),
            None => format!("{EPHEMERAL}{}", std::process::id()),
        };
        let engine = format!("{version} at {}", address.trim_start_matches("unix://"));
        Ok(Self { docker, owner, engine, info })
    }

    /// Removes containers and volumes of programs that have ended.
    async fn remove_leftovers(&self) {
        let ours = HashMap::from([("label", vec![OWNER])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&ours).build();
        for container in self.docker.list_containers(Some(options)).await.unwrap_or_default() {
            if self.is_abandoned(container.labels.as_ref()) {
                self.remove_container(&container.id.unwrap_or_default()).await;
            }
        }
        let options = ListVolumesOptionsBuilder::default().filters(&ours).build();
        let volumes = self.docker.list_volumes(Some(options)).await.ok().and_then(|answer| answer.volumes);
        for volume in volumes.unwrap_or_default() {
            if self.is_abandoned(Some(&volume.labels)) {
                self.remove_volume(&volume.name).await;
            }
        }
    }

    fn is_abandoned(&self, labels: Option<&HashMap<String, String>>) -> bool {
        let Some(owner) = labels.and_then(|labels| labels.get(OWNER)) else { return false };
        match owner.strip_prefix(EPHEMERAL) {
            // An unreadable number is no process of this user's.
            Some(process) => {
                process.parse().ok().and_then(Pid::from_raw).is_none_or(|id| test_kill_process(id).is_err())
            }
            None => *owner == self.owner,
        }
    }

    fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(OWNER.to_owned(), self.owner.clone())])
    }

    /// Creates the task's volume, if it has one.
    pub(super) async fn prepare(&self, task: &TaskSpec) -> Result<(), StartError> {
        if !has_volume(task) {
            return Ok(());
        }
        let volume = VolumeCreateRequest {
            name: Some(volume_name(task)),
            labels: Some(self.labels()),
            ..VolumeCreateRequest::default()
        };
        let made = self.docker.create_volume(volume).await;
        made.map(drop).map_err(failed("CannotCreateVolumeError"))
    }

    /// Removes the task's containers and volume.
    pub(super) async fn clear(&self, task: &TaskSpec) {
        for container in &task.containers {
            self.remove_container(&container_name(task, container)).await;
        }
        if has_volume(task) {
            self.remove_volume(&volume_name(task)).await;
        }
    }

    async fn remove_container(&self, name: &str) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        warn_unless_gone("container", name, self.docker.remove_container(name, Some(options)).await);
    }

    async fn remove_volume(&self, name: &str) {
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        warn_unless_gone("volume", name, self.docker.remove_volume(name, Some(options)).await);
    }

    /// Runs one container to its end. `None` if the task was stopped before the container started.
    pub(super) async fn run_container(
        &self,
        task: &TaskSpec,
        container: &ContainerSpec,
        mut driver: LogDriver,
        demand: &mut watch::Receiver<Demand>,
        started: impl FnOnce() + Send,
    ) -> Result<Option<ContainerEnd>, StartError> {
        let pulled = tokio::select! {
            pulled = self.pull(container, &mut driver) => pulled,
            () = wait_for_demand(demand, Demand::Stop) => return Ok(None),
        };
        pulled?;
        let name = container_name(task, container);
        let mut limits = Limits::of(task, &self.info);
        let output = loop {
            let error = match self.start(task, container, &limits).await {
                Ok(output) => break output,
                Err(error) => error,
            };
            limits = limits.fewer(&error.cause).ok_or(error)?;
            self.remove_container(&name).await;
        };
        for limit in &limits.left_out {
            driver.say(&format!("### runvoy {}: {limit}", container.name)).await;
        }
        started();

        let following = follow(output, driver);
        tokio::pin!(following);
        tokio::select! {
            () = &mut following => {}
            () = wait_for_demand(demand, Demand::Stop) => {
                self.kill(&name, "SIGTERM").await;
                tokio::select! {
                    () = &mut following => {}
                    () = wait_for_stop_timeout(container.stop_timeout, demand) => {
                        self.kill(&name, "SIGKILL").await;
                        following.await;
                    }
                }
            }
        }
        self.end_of(&name, demand).await.map(Some)
    }

    /// Creates and starts a container with these limits, and returns its output.
    async fn start(&self, task: &TaskSpec, container: &ContainerSpec, limits: &Limits) -> Result<Output, StartError> {
        let name = container_name(task, container);
        let (entry_point, command) = container.arguments.split_at(container.arguments.len().min(1));
        let body = ContainerCreateBody {
            image: Some(container.image.clone()),
            entrypoint: Some(entry_point.to_vec()),
            cmd: Some(command.to_vec()),
            env: Some(container.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            labels: Some(self.labels()),
            host_config: Some(HostConfig {
                binds: container.has_volume.then(|| vec![format!("{}:{WORKSPACE}", volume_name(task))]),
                memory: limits.memory,
                nano_cpus: limits.nano_cpus,
                // The output is read from the attached stream, so the engine need not keep it.
                log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        self.docker.create_container(Some(options), body).await.map_err(failed("CannotCreateContainerError"))?;
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        let attached = self.docker.attach_container(&name, Some(options)).await;
        let output = attached.map_err(failed("CannotStartContainerError"))?.output;
        self.docker.start_container(&name, None).await.map_err(failed("CannotStartContainerError"))?;
        Ok(output)
    }

    /// Waits for the end of a container whose output has ended.
    async fn end_of(&self, name: &str, demand: &mut watch::Receiver<Demand>) -> Result<ContainerEnd, StartError> {
        loop {
            let inspected = inspect(&self.docker, name).await.map_err(failed("ContainerRuntimeError"))?;
            let state = inspected.state.unwrap_or_default();
            if state.running != Some(true) {
                let reason = "OutOfMemoryError: Container killed due to memory usage";
                return Ok(ContainerEnd {
                    exit_code: state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(1),
                    reason: state.oom_killed.filter(|killed| *killed).map(|_| reason.to_owned()),
                });
            }
            // The command has closed its output and still runs.
            let mut waiting = std::pin::pin!(self.docker.wait_container(name, None::<WaitContainerOptions>));
            tokio::select! {
                _ = waiting.next() => {}
                () = wait_for_demand(demand, Demand::Stop) => self.kill(name, "SIGKILL").await,
            }
        }
    }

    async fn kill(&self, name: &str, signal: &str) {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        warn_unless_gone("container", name, self.docker.kill_container(name, Some(options)).await);
    }

    /// Pulls the image, unless the engine has it, and logs the progress.
    async fn pull(&self, container: &ContainerSpec, driver: &mut LogDriver) -> Result<(), StartError> {
        let image = &container.image;
        if self.docker.inspect_image(image).await.is_ok() {
            return Ok(());
        }
        let cannot = failed("CannotPullContainerError");
        let say = format!("### runvoy {}:", container.name);
        driver.say(&format!("{say} pulling image {image}")).await;
        let options = CreateImageOptionsBuilder::default().from_image(image).build();
        let mut layers = Layers::default();
        let mut told = Instant::now();
        let mut progress = self.docker.create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            let step = match step {
                Ok(step) => step,
                Err(error) => {
                    let error = cannot(error);
                    driver.say(&format!("{say} image {image} cannot be pulled: {}", error.cause)).await;
                    return Err(error);
                }
            };
            if let Some(message) = step.error_detail.and_then(|error| error.message) {
                driver.say(&format!("{say} image {image} cannot be pulled: {message}")).await;
                return Err(StartError { code: "CannotPullContainerError", cause: message });
            }
            if step.status.as_deref() == Some("Downloading")
                && let (Some(id), Some(detail)) = (step.id, step.progress_detail)
            {
                layers.0.insert(id, (detail.current.unwrap_or_default(), detail.total.unwrap_or_default()));
            }
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                driver.say(&format!("{say} {}", layers.progress())).await;
            }
        }
        driver.say(&format!("{say} image {image} is pulled")).await;
        Ok(())
    }
}

fn has_volume(task: &TaskSpec) -> bool {
    task.containers.iter().any(|container| container.has_volume)
}

/// The bytes of each layer that have been loaded, and all its bytes.
#[derive(Default)]
struct Layers(HashMap<String, (i64, i64)>);

impl Layers {
    fn progress(&self) -> String {
        let megabytes = |bytes: i64| bytes as f64 / 1_000_000.0;
        let (loaded, total) =
            self.0.values().fold((0, 0), |(loaded, total), layer| (loaded + layer.0, total + layer.1));
        format!("loaded {:.1} MB of {:.1} MB", megabytes(loaded), megabytes(total))
    }
}

type Output = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Logs a container's output until it ends.
async fn follow(mut output: Output, mut driver: LogDriver) {
    let (mut stdout, mut stderr) = (Unfinished::default(), Unfinished::default());
    loop {
        let next = match output.next().now_or_never() {
            Some(next) => next,
            // Lines are sent as soon as no more output is ready.
            None => {
                driver.flush().await;
                output.next().await
            }
        };
        match next {
            Some(Ok(LogOutput::StdErr { message })) => driver.take(&mut stderr, &message).await,
            Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                driver.take(&mut stdout, &message).await;
            }
            Some(Ok(LogOutput::StdIn { .. })) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "the connection to a container's output was lost");
                break;
            }
            None => break,
        }
    }
    // The output ends with the container.
    let _ = driver.end().set(Instant::now());
    driver.finish([stdout, stderr]).await;
}

fn volume_name(task: &TaskSpec) -> String {
    format!("runvoy-{}", task.id)
}

fn container_name(task: &TaskSpec, container: &ContainerSpec) -> String {
    format!("runvoy-{}-{}", task.id, container.name)
}

fn failed(code: &'static str) -> impl Fn(bollard::errors::Error) -> StartError {
    move |error| {
        let cause = match error {
            bollard::errors::Error::DockerResponseServerError { message, .. } => message,
            other => other.to_string(),
        };
        StartError { code, cause }
    }
}

/// Logs a failed call, unless the container or volume does not exist (404) or is being removed already (409).
fn warn_unless_gone(kind: &str, name: &str, done: Result<(), bollard::errors::Error>) {
    use bollard::errors::Error::DockerResponseServerError;
    match done {
        Ok(()) | Err(DockerResponseServerError { status_code: 404 | 409, .. }) => {}
        Err(error) => tracing::warn!(kind, name, %error, "the engine refused a call"),
    }
}
