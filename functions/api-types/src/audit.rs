//! Defines the entries of the audit as the API shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{RequestId, time};

/// The result of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Outcome {
    Done,
    Refused,
    Failed,
}

/// One entry, as the API shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub time: Timestamp,
    /// An e-mail address, or the name of what acts without a user.
    pub actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// As `resource:verb`, such as `secrets:read`.
    pub action: String,
    /// As `kind:name`, such as `secret:prod`.
    pub resource: String,
    pub outcome: Outcome,
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub request_id: RequestId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// Names that say more: of variables, of a repository, of an image.
    #[serde(default)]
    pub details: BTreeMap<String, serde_json::Value>,
}

/// A page of the audit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Audit {
    pub entries: Vec<AuditEntry>,
}
