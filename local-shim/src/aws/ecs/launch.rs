//! Makes the containers of a task from its definition and from the overrides of RunTask.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{
    definition::TaskDefinition,
    refusal::client,
    request::{ContainerDefinition, Overrides},
    runner::{ContainerSpec, TaskSpec},
    size::Size,
};
use crate::aws::AwsError;

/// The default of a container's `stopTimeout`, in seconds ("ContainerDefinition", Amazon ECS API Reference).
const STOP_TIMEOUT: u64 = 30;

/// The containers of a task in the order in which they depend on each other, from its definition and the overrides. The values of its
/// secrets are read later, when it starts.
pub(super) fn task_spec(
    id: &str,
    definition: &TaskDefinition,
    overrides: &Overrides,
    size: &Size,
) -> Result<TaskSpec, AwsError> {
    let mut containers = Vec::new();
    let mut waiting: Vec<&ContainerDefinition> = definition.container_definitions.iter().collect();
    while !waiting.is_empty() {
        let started: Vec<String> = containers.iter().map(|container: &ContainerSpec| container.name.clone()).collect();
        let ready = waiting
            .iter()
            .position(|container| container.depends_on.iter().all(|on| started.contains(&on.container_name)))
            .ok_or_else(|| client("The containers depend on each other in a circle."))?;
        let container = waiting.remove(ready);
        let mut environment: BTreeMap<String, String> =
            container.environment.iter().map(|variable| (variable.name.clone(), variable.value.clone())).collect();
        let mut arguments: Vec<String> = container.entry_point.iter().chain(&container.command).cloned().collect();
        for over in overrides.container_overrides.iter().filter(|over| over.name == container.name) {
            environment.extend(over.environment.iter().map(|variable| (variable.name.clone(), variable.value.clone())));
            if !over.command.is_empty() {
                arguments = container.entry_point.iter().chain(&over.command).cloned().collect();
            }
        }
        containers.push(ContainerSpec {
            name: container.name.clone(),
            image: container.image.clone(),
            arguments,
            environment,
            stop_timeout: Duration::from_secs(container.stop_timeout.unwrap_or(STOP_TIMEOUT)),
            has_volume: container.rest.get("mountPoints").and_then(Value::as_array).is_some_and(|all| !all.is_empty()),
        });
    }
    let number = |text: &str| text.parse().unwrap_or_default();
    let (cpu_units, memory_mib) = (number(&size.cpu), number(&size.memory));
    Ok(TaskSpec { id: id.to_owned(), cpu_units, memory_mib, containers })
}
