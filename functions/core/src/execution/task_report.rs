//! Reads the state of a task as ECS describes it.

use aws_sdk_ecs::types::Task;
use jiff::Timestamp;

use super::{TaskSize, TaskTimes};

/// The capacity provider of Spot.
pub const FARGATE_SPOT: &str = "FARGATE_SPOT";

/// Tells whether an attribute of a task says that it runs on ARM.
pub fn is_arm(name: &str, value: Option<&str>) -> bool {
    name == "ecs.cpu-architecture" && value == Some("arm64")
}

/// A task as ECS describes it, in an event or in the answer of DescribeTasks.
#[derive(Clone, Debug, Default)]
pub struct TaskReport {
    pub last_status: String,
    pub started_by: Option<String>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub times: TaskTimes,
    pub size: TaskSize,
    pub containers: Vec<ContainerReport>,
    /// When ECS sent the report; absent for an answer of DescribeTasks.
    pub reported_at: Option<Timestamp>,
}

/// A container of a task as ECS describes it.
#[derive(Clone, Debug, Default)]
pub struct ContainerReport {
    pub name: String,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
}

impl From<&Task> for TaskReport {
    fn from(task: &Task) -> Self {
        let time =
            |at: Option<&aws_sdk_ecs::primitives::DateTime>| Timestamp::from_millisecond(at?.to_millis().ok()?).ok();
        Self {
            last_status: task.last_status().unwrap_or_default().to_owned(),
            started_by: task.started_by().map(str::to_owned),
            stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
            stopped_reason: task.stopped_reason().map(str::to_owned),
            times: TaskTimes {
                created_at: time(task.created_at()),
                pull_started_at: time(task.pull_started_at()),
                pull_stopped_at: time(task.pull_stopped_at()),
                started_at: time(task.started_at()),
                stopping_at: time(task.stopping_at()),
                execution_stopped_at: time(task.execution_stopped_at()),
                stopped_at: time(task.stopped_at()),
            },
            size: TaskSize {
                cpu_units: task.cpu().and_then(|units| units.parse().ok()).unwrap_or_default(),
                memory_mib: task.memory().and_then(|mib| mib.parse().ok()).unwrap_or_default(),
                disk: task.ephemeral_storage().and_then(|disk| disk.size_in_gib().try_into().ok()).unwrap_or_default(),
                is_arm: task.attributes().iter().any(|one| is_arm(one.name(), one.value())),
                is_spot: task.capacity_provider_name() == Some(FARGATE_SPOT),
            },
            containers: task
                .containers()
                .iter()
                .map(|container| ContainerReport {
                    name: container.name().unwrap_or_default().to_owned(),
                    exit_code: container.exit_code(),
                    reason: container.reason().map(str::to_owned),
                })
                .collect(),
            reported_at: None,
        }
    }
}
