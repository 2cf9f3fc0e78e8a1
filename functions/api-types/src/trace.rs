//! Defines what is known of one request: its log lines, and what it created or changed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Execution, Image, LogEvent, Secret, User, time};

/// The log lines of a request, and what it created or changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trace {
    /// Sorted by time.
    pub logs: Vec<LogEvent>,
    /// The time from which on lines were searched, when the search of older ones would have taken too long.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::as_optional_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time", required = false))]
    pub searched_since: Option<Timestamp>,
    /// There are more lines than an answer takes, so some are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub is_cut: bool,
    pub related_resources: RelatedResources,
}

/// The resources that the request created or changed, in their present state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelatedResources {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub executions: Vec<Execution>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub secrets: Vec<Secret>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub users: Vec<User>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub images: Vec<Image>,
}
