//! Emulates ECS: task definitions, and tasks that run as processes or in Docker.

mod definition;
mod lifecycle;
mod operations;
mod request;
pub mod runner;
mod size;
mod store;
mod task;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use self::{
    request::RegisterTaskDefinition,
    runner::{Demand, Runner},
};
use super::{AwsError, delays, error::parse, events::EventPublisher, page_token, ssm::Ssm};

/// Items in one answer of ListTasks, ListTaskDefinitions and ListTaskDefinitionFamilies.
const MAX_LISTED: usize = 100;

/// The refusal of a registration during another of the same family. AWS does not document it.
pub(super) const CONCURRENT_REGISTRATION: &str =
    "Too many concurrent attempts to create a new revision of the specified family.";

pub use store::Store;

#[derive(Clone)]
pub struct Ecs(Arc<Inner>);

struct Inner {
    cluster: String,
    state: Mutex<Store>,
    /// For each task that has not stopped, whether it is to be stopped.
    demands: Mutex<HashMap<String, watch::Sender<Demand>>>,
    runner: Runner,
    ssm: Ssm,
    events: EventPublisher,
    /// Tells whether it shows late what was written, and tasks take time to start and to end: see [`delays`].
    is_slow: bool,
    /// Tells whether the cluster has Fargate Spot.
    has_spot: bool,
    /// When a revision of each family was registered last.
    registered: Mutex<HashMap<String, Instant>>,
    ended: tokio::sync::Notify,
    /// Tells whether tasks whose containers have ended stay DEPROVISIONING.
    holds_ends: watch::Sender<bool>,
    /// The tasks of the runtime that record when an event of a task's end has been handled.
    telling: TaskTracker,
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterException", message)
}

fn client(message: impl Into<String>) -> AwsError {
    AwsError::new("ClientException", message)
}

impl Ecs {
    /// Opens ECS with the state of an earlier run of the program, if there is one.
    pub fn open(
        (cluster, has_spot): (&str, bool),
        store: Store,
        runner: Runner,
        ssm: Ssm,
        events: EventPublisher,
        is_slow: bool,
    ) -> Self {
        let inner = Inner {
            cluster: cluster.to_owned(),
            state: Mutex::new(store),
            demands: Mutex::default(),
            runner,
            ssm,
            events,
            is_slow,
            has_spot,
            registered: Mutex::default(),
            ended: tokio::sync::Notify::new(),
            holds_ends: watch::Sender::new(false),
            telling: TaskTracker::new(),
        };
        Self(Arc::new(inner))
    }

    /// Answers one call.
    ///
    /// # Errors
    /// The error that ECS answers.
    pub fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        match operation {
            "RunTask" => self.run_task(parse(body)?, body),
            "StopTask" => self.stop_task(parse(body)?),
            "DescribeTasks" => self.describe_tasks(parse(body)?),
            "ListTasks" => self.list_tasks(parse(body)?),
            "RegisterTaskDefinition" => {
                let request: RegisterTaskDefinition = parse(body)?;
                if self.0.is_slow {
                    self.check_turn(&request.family)?;
                }
                self.register(request, body.len())
            }
            "DescribeTaskDefinition" => self.describe_definition(parse(body)?),
            "DeregisterTaskDefinition" => self.deregister(parse(body)?),
            "ListTaskDefinitions" => self.list_definitions(parse(body)?),
            "ListTaskDefinitionFamilies" => self.list_families(parse(body)?),
            "TagResource" => self.tag(parse(body)?),
            _ => Err(AwsError::unknown_operation()),
        }
    }

    /// # Errors
    /// ECS's own error for a registration soon after another of the family.
    fn check_turn(&self, family: &str) -> Result<(), AwsError> {
        let mut registered = self.0.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if registered.get(family).is_some_and(|at| at.elapsed() < delays::REGISTRATION) {
            return Err(client(CONCURRENT_REGISTRATION));
        }
        registered.insert(family.to_owned(), Instant::now());
        Ok(())
    }

    fn check_cluster(&self, cluster: Option<&str>) -> Result<(), AwsError> {
        let name = cluster.map(|cluster| cluster.rsplit('/').next().unwrap_or_default());
        if name == Some(&self.0.cluster) {
            Ok(())
        } else {
            Err(AwsError::new("ClusterNotFoundException", "Cluster not found."))
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn demands(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Demand>>> {
        self.0.demands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page of names, and the token of the next one if there is one.
fn page<'a>(
    names: impl Iterator<Item = &'a str>,
    max_results: Option<usize>,
    next_token: Option<String>,
) -> Result<(Vec<&'a str>, Option<String>), AwsError> {
    let after =
        next_token.map(|token| page_token::read(&token).ok_or_else(|| invalid("Invalid token."))).transpose()?;
    let limit = max_results.unwrap_or(MAX_LISTED);
    if !(1..=MAX_LISTED).contains(&limit) {
        return Err(invalid(format!("maxResults must be 1 to {MAX_LISTED}.")));
    }
    let mut names: Vec<&str> = names.filter(|name| after.as_deref().is_none_or(|after| *name > after)).collect();
    names.sort_unstable();
    let is_last = names.len() <= limit;
    names.truncate(limit);
    let next = names.last().filter(|_| !is_last).map(|last| page_token::after(last));
    Ok((names, next))
}

/// The SHA-256 of these bytes, in hexadecimal digits.
fn hash(body: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
