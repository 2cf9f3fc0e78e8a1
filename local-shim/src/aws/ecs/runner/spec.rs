//! Describes a task that is to run, and its containers.

use std::{collections::BTreeMap, time::Duration};

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
