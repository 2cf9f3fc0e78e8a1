//! Answers the calls of ECS at given times, and says which tasks are to be run or stopped for them. It runs nothing and reads no clock:
//! the emulation drives it with containers and the machine's time, the simulation with scripts and virtual time.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{refusal::client, request::RegisterTaskDefinition, runner::TaskSpec, store::Store};
use crate::aws::{AwsError, delays, error::parse};

/// The refusal of a registration during another of the same family. AWS does not document it.
pub(in crate::aws) const CONCURRENT_REGISTRATION: &str =
    "Too many concurrent attempts to create a new revision of the specified family.";

/// The properties of a cluster.
pub struct Settings {
    pub name: String,
    /// Tells whether the cluster has Fargate Spot.
    pub has_spot: bool,
    /// Tells whether it shows late what was written: see [`delays`].
    pub is_slow: bool,
    /// Makes the id of a new task.
    pub new_id: Box<dyn FnMut() -> String + Send>,
}

/// The tasks and task definitions of a cluster.
pub struct Cluster {
    pub(super) settings: Settings,
    pub(super) store: Store,
    /// The time at which a revision of each family was registered last.
    registered: HashMap<String, Timestamp>,
}

/// The answer to a call.
pub struct Answered {
    pub body: Vec<u8>,
    /// The order that the caller of the model carries out for it.
    pub order: Option<Order>,
}

/// A change of what runs.
#[derive(Clone, Debug)]
pub enum Order {
    /// Run a new task. The values of its secrets are still to be added: see [`Cluster::secrets`].
    Run(TaskSpec),
    /// Stop the task with this id, if it still runs.
    Stop(String),
}

impl From<Vec<u8>> for Answered {
    fn from(body: Vec<u8>) -> Self {
        Self { body, order: None }
    }
}

impl Cluster {
    pub fn new(settings: Settings, store: Store) -> Self {
        Self { settings, store, registered: HashMap::new() }
    }

    /// Answers a call that is made now.
    ///
    /// # Errors
    /// ECS's own.
    pub fn call(&mut self, operation: &str, body: &[u8], now: Timestamp) -> Result<Answered, AwsError> {
        let answer = match operation {
            "RunTask" => return self.run_task(parse(body)?, body, now),
            "StopTask" => return self.stop_task(parse(body)?, now),
            "DescribeTasks" => self.describe_tasks(parse(body)?, now),
            "ListTasks" => self.list_tasks(parse(body)?, now),
            "RegisterTaskDefinition" => {
                let request: RegisterTaskDefinition = parse(body)?;
                if self.settings.is_slow {
                    self.check_turn(&request.family, now)?;
                }
                self.register(request, body.len())
            }
            "DescribeTaskDefinition" => self.describe_definition(parse(body)?),
            "DeregisterTaskDefinition" => self.deregister(parse(body)?, now),
            "ListTaskDefinitions" => self.list_definitions(parse(body)?),
            "ListTaskDefinitionFamilies" => self.list_families(parse(body)?),
            "TagResource" => self.tag(parse(body)?, now),
            _ => Err(AwsError::unknown_operation()),
        };
        answer.map(Into::into)
    }

    /// # Errors
    /// ECS's own error for a registration soon after another of the family.
    fn check_turn(&mut self, family: &str, now: Timestamp) -> Result<(), AwsError> {
        let is_soon = |at: &Timestamp| now.duration_since(*at).unsigned_abs() < delays::REGISTRATION;
        if self.registered.get(family).is_some_and(is_soon) {
            return Err(client(CONCURRENT_REGISTRATION));
        }
        self.registered.insert(family.to_owned(), now);
        Ok(())
    }

    pub(super) fn check_cluster(&self, cluster: Option<&str>) -> Result<(), AwsError> {
        let name = cluster.map(|cluster| cluster.rsplit('/').next().unwrap_or_default());
        if name == Some(&self.settings.name) {
            Ok(())
        } else {
            Err(AwsError::new("ClusterNotFoundException", "Cluster not found."))
        }
    }
}
