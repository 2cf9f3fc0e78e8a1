//! Defines the requests of ECS and their parts.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refusal::invalid;
use crate::aws::AwsError;

/// Tags that a resource may have. This and the next two are from "Tag", Amazon ECS API Reference.
pub(super) const MAX_TAGS: usize = 50;
/// Characters of the name of a tag.
const MAX_TAG_KEY: usize = 128;
/// Characters of the value of a tag.
const MAX_TAG_VALUE: usize = 256;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunTask {
    pub(super) cluster: Option<String>,
    pub(super) task_definition: String,
    pub(super) count: Option<u32>,
    pub(super) launch_type: Option<String>,
    #[serde(default)]
    pub(super) capacity_provider_strategy: Vec<CapacityProvider>,
    pub(super) client_token: Option<String>,
    pub(super) started_by: Option<String>,
    #[serde(default)]
    pub(super) overrides: Overrides,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    pub(super) network_configuration: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CapacityProvider {
    pub(super) capacity_provider: String,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overrides {
    #[serde(default)]
    pub(super) container_overrides: Vec<ContainerOverride>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ephemeral_storage: Option<EphemeralStorage>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct EphemeralStorage {
    #[serde(rename = "sizeInGiB")]
    pub(super) gib: u32,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerOverride {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) environment: Vec<Variable>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) command: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegisterTaskDefinition {
    pub(super) family: String,
    pub(super) container_definitions: Vec<ContainerDefinition>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    #[serde(flatten)]
    pub(super) rest: serde_json::Map<String, Value>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerDefinition {
    pub(super) name: String,
    pub(super) image: String,
    #[serde(default)]
    pub(super) essential: Option<bool>,
    #[serde(default)]
    pub(super) entry_point: Vec<String>,
    #[serde(default)]
    pub(super) command: Vec<String>,
    #[serde(default)]
    pub(super) environment: Vec<Variable>,
    #[serde(default)]
    pub(super) secrets: Vec<SecretVariable>,
    #[serde(default)]
    pub(super) depends_on: Vec<Dependency>,
    #[serde(default)]
    pub(super) stop_timeout: Option<u64>,
    #[serde(flatten)]
    pub(super) rest: serde_json::Map<String, Value>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretVariable {
    pub(super) name: String,
    pub(super) value_from: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    pub(super) container_name: String,
    pub(super) condition: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StopTask {
    pub(super) cluster: Option<String>,
    pub(super) task: String,
    pub(super) reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct DescribeTasks {
    pub(super) cluster: Option<String>,
    pub(super) tasks: Vec<String>,
    #[serde(default)]
    pub(super) include: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTasks {
    pub(super) cluster: Option<String>,
    pub(super) desired_status: Option<String>,
    pub(super) family: Option<String>,
    pub(super) launch_type: Option<String>,
    pub(super) started_by: Option<String>,
    pub(super) max_results: Option<usize>,
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NamedTaskDefinition {
    pub(super) task_definition: String,
    #[serde(default)]
    pub(super) include: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListDefinitions {
    pub(super) family_prefix: Option<String>,
    pub(super) max_results: Option<usize>,
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TagResource {
    pub(super) resource_arn: String,
    pub(super) tags: Vec<Tag>,
}

pub(super) fn check_tags(tags: &[Tag]) -> Result<(), AwsError> {
    if tags.len() > MAX_TAGS {
        return Err(invalid(format!("A resource can have {MAX_TAGS} tags at most.")));
    }
    let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c));
    for tag in tags {
        let fits = !tag.key.is_empty()
            && tag.key.chars().count() <= MAX_TAG_KEY
            && tag.value.chars().count() <= MAX_TAG_VALUE
            && !tag.key.to_ascii_lowercase().starts_with("aws:")
            && allowed(&tag.key)
            && allowed(&tag.value);
        if !fits {
            return Err(invalid(format!(
                "The tag {:?} has a key or value that is too long or has characters that tags cannot have.",
                tag.key
            )));
        }
    }
    Ok(())
}
