//! Running an ECS task on this machine.

pub mod log_driver;
pub mod process;

use std::collections::BTreeMap;

/// One container, as the task definition and the overrides make it.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    /// Entry point and command.
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub stop_timeout: std::time::Duration,
}

/// A task that is to run: its containers in the order in which they depend on each other.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    pub id: String,
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
