//! Keeps task definitions, and refuses what ECS refuses of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use runvoy_api_types::fargate::is_size;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Ecs, client, page,
    request::{
        ContainerDefinition, ListDefinitions, NamedTaskDefinition, Overrides, RegisterTaskDefinition, Tag, check_tags,
    },
    runner::{ContainerSpec, TaskSpec},
    size::Size,
};
use crate::{
    aws::{AwsError, error::write},
    stack::{ACCOUNT, REGION},
};

/// The default of a container's `stopTimeout`, in seconds ("ContainerDefinition", Amazon ECS API Reference).
const STOP_TIMEOUT: u64 = 30;

/// Bytes of the largest task definition, as JSON ("Amazon ECS service quotas").
const MAX_DEFINITION: usize = 64 * 1024;
/// Characters of the name of an image ("ContainerDefinition").
const MAX_IMAGE: usize = 255;

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskDefinition {
    pub(super) task_definition_arn: String,
    pub(super) family: String,
    pub(super) revision: usize,
    pub(super) status: String,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deregistered_at: Option<f64>,
    pub(super) container_definitions: Vec<ContainerDefinition>,
    #[serde(flatten)]
    pub(super) rest: serde_json::Map<String, Value>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

impl Ecs {
    pub(super) fn register(&self, request: RegisterTaskDefinition, size: usize) -> Result<Vec<u8>, AwsError> {
        if size > MAX_DEFINITION {
            return Err(client(format!("Actual length: '{size}'. Max allowed length is '{MAX_DEFINITION}' bytes.")));
        }
        let name_fits = (1..=255).contains(&request.family.len())
            && request.family.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !name_fits {
            return Err(client("Family contains invalid characters or is too long."));
        }
        check_tags(&request.tags)?;
        if request.container_definitions.is_empty() {
            return Err(client("Container list cannot be empty."));
        }
        if !request.container_definitions.iter().any(|container| container.essential != Some(false)) {
            return Err(client("A task definition must have at least one essential container."));
        }
        for container in &request.container_definitions {
            if container.image.is_empty() || container.image.len() > MAX_IMAGE {
                return Err(client(format!("Container.image must have 1 to {MAX_IMAGE} characters.")));
            }
            let known = |name: &str| request.container_definitions.iter().any(|other| other.name == name);
            if let Some(missing) = container.depends_on.iter().find(|dependency| !known(&dependency.container_name)) {
                return Err(client(format!("Container dependency {} does not exist.", missing.container_name)));
            }
            let mut names: Vec<&str> = container.environment.iter().map(|variable| variable.name.as_str()).collect();
            names.extend(container.secrets.iter().map(|secret| secret.name.as_str()));
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            if names.len() != count {
                return Err(client(
                    "The secret name must be unique and not shared with any new or existing environment variables set on the container.",
                ));
            }
        }
        check_fargate_size(&request.rest)?;
        let state = self.lock();
        let revision = state.latest_definition(&request.family).map_or(0, |latest| latest.revision) + 1;
        let definition = TaskDefinition {
            task_definition_arn: arn(&request.family, revision),
            family: request.family,
            revision,
            status: "ACTIVE".to_owned(),
            deregistered_at: None,
            container_definitions: request.container_definitions,
            rest: request.rest,
            tags: request.tags.clone(),
        };
        state.put_definition(&definition);
        write(&json!({"taskDefinition": definition, "tags": request.tags}))
    }

    pub(super) fn describe_definition(&self, request: NamedTaskDefinition) -> Result<Vec<u8>, AwsError> {
        let state = self.lock();
        let definition =
            state.definition(&request.task_definition).ok_or_else(|| client("Unable to describe task definition."))?;
        let shown = request.include.iter().any(|include| include == "TAGS");
        let tags: &[Tag] = if shown { &definition.tags } else { &[] };
        write(&json!({"taskDefinition": definition, "tags": tags}))
    }

    pub(super) fn deregister(&self, request: NamedTaskDefinition) -> Result<Vec<u8>, AwsError> {
        let state = self.lock();
        let mut definition = state
            .definition(&request.task_definition)
            .ok_or_else(|| client("The specified task definition does not exist."))?;
        definition.status = "INACTIVE".to_owned();
        definition.deregistered_at.get_or_insert(jiff::Timestamp::now().as_millisecond() as f64 / 1000.0);
        state.put_definition(&definition);
        write(&json!({"taskDefinition": definition}))
    }

    pub(super) fn list_definitions(&self, request: ListDefinitions) -> Result<Vec<u8>, AwsError> {
        let family = request.family_prefix;
        let active = self.lock().active_definitions().into_iter();
        let active = active.filter(|(name, _)| family.as_ref().is_none_or(|family| name == family));
        let arns: Vec<String> = active.map(|(family, revision)| arn(&family, revision)).collect();
        let arns = arns.iter().map(String::as_str);
        let (arns, next_token) = page(arns, request.max_results, request.next_token)?;
        write(&json!({"taskDefinitionArns": arns, "nextToken": next_token}))
    }

    pub(super) fn list_families(&self, request: ListDefinitions) -> Result<Vec<u8>, AwsError> {
        let prefix = request.family_prefix.unwrap_or_default();
        let active = self.lock().active_definitions().into_iter();
        let families: BTreeSet<String> =
            active.map(|(family, _)| family).filter(|family| family.starts_with(&prefix)).collect();
        let families = families.iter().map(String::as_str);
        let (families, next_token) = page(families, request.max_results, request.next_token)?;
        write(&json!({"families": families, "nextToken": next_token}))
    }

    /// Makes what the runner runs: the definition with the overrides and the values of its secrets, and the containers in the order in
    /// which they depend on each other.
    pub(super) fn spec(
        &self,
        id: &str,
        definition: &TaskDefinition,
        overrides: &Overrides,
        size: &Size,
    ) -> Result<TaskSpec, AwsError> {
        let mut containers = Vec::new();
        let mut waiting: Vec<&ContainerDefinition> = definition.container_definitions.iter().collect();
        while !waiting.is_empty() {
            let started: Vec<String> =
                containers.iter().map(|container: &ContainerSpec| container.name.clone()).collect();
            let ready = waiting
                .iter()
                .position(|container| container.depends_on.iter().all(|on| started.contains(&on.container_name)))
                .ok_or_else(|| client("The containers depend on each other in a circle."))?;
            let container = waiting.remove(ready);
            let mut environment: BTreeMap<String, String> =
                container.environment.iter().map(|variable| (variable.name.clone(), variable.value.clone())).collect();
            for secret in &container.secrets {
                // `drive` stops a task that has a secret without a value before it starts.
                if let Some(value) = self.0.ssm.value_from(&secret.value_from) {
                    environment.insert(secret.name.clone(), value);
                }
            }
            let mut arguments: Vec<String> = container.entry_point.iter().chain(&container.command).cloned().collect();
            for over in overrides.container_overrides.iter().filter(|over| over.name == container.name) {
                environment
                    .extend(over.environment.iter().map(|variable| (variable.name.clone(), variable.value.clone())));
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
                has_volume: container
                    .rest
                    .get("mountPoints")
                    .and_then(Value::as_array)
                    .is_some_and(|all| !all.is_empty()),
            });
        }
        let number = |text: &str| text.parse().unwrap_or_default();
        let (cpu_units, memory_mib) = (number(&size.cpu), number(&size.memory));
        Ok(TaskSpec { id: id.to_owned(), cpu_units, memory_mib, containers })
    }
}

fn arn(family: &str, revision: usize) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{family}:{revision}")
}

/// Refuses sizes that no Fargate task has, as ECS does.
fn check_fargate_size(settings: &serde_json::Map<String, Value>) -> Result<(), AwsError> {
    let number = |key: &str| settings.get(key).and_then(Value::as_str).and_then(|text| text.parse::<u32>().ok());
    let fits = matches!((number("cpu"), number("memory")), (Some(cpu), Some(memory)) if is_size(cpu, memory));
    if fits { Ok(()) } else { Err(client("No Fargate configuration exists for given values.")) }
}
