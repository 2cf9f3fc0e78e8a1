//! Answers the calls about task definitions.

use std::collections::BTreeSet;

use jiff::Timestamp;
use runvoy_api_types::fargate::is_size;
use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    definition::TaskDefinition,
    page::page,
    refusal::client,
    request::{ListDefinitions, NamedTaskDefinition, RegisterTaskDefinition, Tag, check_tags},
};
use crate::{
    aws::{AwsError, error::write},
    stack::{ACCOUNT, REGION},
};

/// Bytes of the largest task definition, as JSON ("Amazon ECS service quotas").
const MAX_DEFINITION: usize = 64 * 1024;
/// Characters of the name of an image ("ContainerDefinition").
const MAX_IMAGE: usize = 255;

impl Cluster {
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
        let revision = self.store.latest_definition(&request.family).map_or(0, |latest| latest.revision) + 1;
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
        self.store.put_definition(&definition);
        write(&json!({"taskDefinition": definition, "tags": request.tags}))
    }

    pub(super) fn describe_definition(&self, request: NamedTaskDefinition) -> Result<Vec<u8>, AwsError> {
        let definition = self
            .store
            .definition(&request.task_definition)
            .ok_or_else(|| client("Unable to describe task definition."))?;
        let shown = request.include.iter().any(|include| include == "TAGS");
        let tags: &[Tag] = if shown { &definition.tags } else { &[] };
        write(&json!({"taskDefinition": definition, "tags": tags}))
    }

    pub(super) fn deregister(&self, request: NamedTaskDefinition, now: Timestamp) -> Result<Vec<u8>, AwsError> {
        let mut definition = self
            .store
            .definition(&request.task_definition)
            .ok_or_else(|| client("The specified task definition does not exist."))?;
        definition.status = "INACTIVE".to_owned();
        definition.deregistered_at.get_or_insert(now.as_millisecond() as f64 / 1000.0);
        self.store.put_definition(&definition);
        write(&json!({"taskDefinition": definition}))
    }

    pub(super) fn list_definitions(&self, request: ListDefinitions) -> Result<Vec<u8>, AwsError> {
        let family = request.family_prefix;
        let active = self.store.active_definitions().into_iter();
        let active = active.filter(|(name, _)| family.as_ref().is_none_or(|family| name == family));
        let arns: Vec<String> = active.map(|(family, revision)| arn(&family, revision)).collect();
        let arns = arns.iter().map(String::as_str);
        let (arns, next_token) = page(arns, request.max_results, request.next_token)?;
        write(&json!({"taskDefinitionArns": arns, "nextToken": next_token}))
    }

    pub(super) fn list_families(&self, request: ListDefinitions) -> Result<Vec<u8>, AwsError> {
        let prefix = request.family_prefix.unwrap_or_default();
        let active = self.store.active_definitions().into_iter();
        let families: BTreeSet<String> =
            active.map(|(family, _)| family).filter(|family| family.starts_with(&prefix)).collect();
        let families = families.iter().map(String::as_str);
        let (families, next_token) = page(families, request.max_results, request.next_token)?;
        write(&json!({"families": families, "nextToken": next_token}))
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
