//! Defines a task definition as ECS keeps and shows it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::{ContainerDefinition, Tag};

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
