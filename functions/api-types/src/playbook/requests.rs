//! Defines the requests and answers of the routes of playbooks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BroughtSchedule, Playbook, PlaybookSummary, PlaybookVersion, PublishedPlaybook};
use crate::RequestedValue;

/// The playbooks that the caller may see.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Playbooks {
    pub playbooks: Vec<PlaybookSummary>,
}

/// One playbook.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaybookAnswer {
    pub playbook: PublishedPlaybook,
    /// The result of a publication for each schedule that the playbook has or had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<BroughtSchedule>,
}

/// The text of a file that is to be checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckPlaybook {
    /// The text of a playbook's file, in YAML.
    #[cfg_attr(feature = "openapi", schema(max_length = 131_072, example = "commands:\n- echo hello"))]
    pub file: String,
}

/// A file that is right.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckedPlaybook {
    /// The playbook as it can be published.
    pub playbook: Playbook,
}

/// The versions of a playbook, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaybookVersions {
    pub versions: Vec<PlaybookVersion>,
}

/// A playbook that is deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedPlaybook {
    pub name: String,
    pub message: String,
    /// The schedules of the playbook, which are deleted with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<BroughtSchedule>,
}

/// A run of a playbook.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunPlaybook {
    /// Values by the names of parameters: texts, numbers, booleans, and lists of texts for several choices.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, serde_json::Value>, example = json!({"SERVICE": "web"})))]
    pub parameters: BTreeMap<String, RequestedValue>,
    /// The newest if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}
