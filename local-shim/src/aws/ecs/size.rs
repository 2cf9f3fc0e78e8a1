//! Checks the size and the capacity provider that a task is started with, as ECS does.

use runvoy_api_types::{fargate::is_size, limits::DISK_GIB};
use serde_json::Value;

use super::{
    definition::TaskDefinition,
    refusal::invalid,
    request::{EphemeralStorage, Overrides, RunTask},
};
use crate::aws::AwsError;

/// GiB of disk of each task ("Fargate task ephemeral storage").
const DISK: u32 = 20;

/// The size of a task: its definition's, with the overrides of RunTask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) cpu: String,
    pub(super) memory: String,
    /// GiB.
    pub(super) disk: u32,
}

impl Size {
    /// # Errors
    /// ECS's own error for a size that no Fargate task has.
    pub(super) fn new(definition: &TaskDefinition, overrides: &Overrides) -> Result<Self, AwsError> {
        let defined = |key: &str| definition.rest.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let cpu = overrides.cpu.clone().unwrap_or_else(|| defined("cpu"));
        let memory = overrides.memory.clone().unwrap_or_else(|| defined("memory"));
        let fits = matches!((cpu.parse(), memory.parse()), (Ok(cpu), Ok(memory)) if is_size(cpu, memory));
        if !fits {
            return Err(invalid(format!(
                "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
            )));
        }
        let disk = match &overrides.ephemeral_storage {
            None => DISK,
            Some(EphemeralStorage { gib }) if DISK_GIB.contains(gib) => *gib,
            Some(_) => return Err(invalid("Ephemeral storage size should be between 21 and 200 GiB.")),
        };
        Ok(Self { cpu, memory, disk })
    }
}

/// The capacity provider of a task, if it is not started by a launch type. `has_spot` tells whether the cluster has Spot.
///
/// # Errors
/// ECS's own error for a launch type that is not Fargate's, or a provider that the cluster does not have.
pub(super) fn capacity_provider(request: &RunTask, has_spot: bool) -> Result<Option<String>, AwsError> {
    match (request.launch_type.as_deref(), request.capacity_provider_strategy.as_slice()) {
        (Some("FARGATE"), []) => Ok(None),
        (Some(_), [_, ..]) => Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        )),
        (None, [provider]) => match provider.capacity_provider.as_str() {
            name @ ("FARGATE" | "FARGATE_SPOT") if has_spot => Ok(Some(name.to_owned())),
            _ => Err(invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and try again.",
            )),
        },
        _ => Err(invalid("The emulation knows the launch type FARGATE and a strategy of one provider only.")),
    }
}
