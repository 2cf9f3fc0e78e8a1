//! Defines an execution as the API shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Email, ExecutionId, ImageId, RequestId, Status, time};

/// An execution as the API lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Execution {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub execution_id: ExecutionId,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    pub command: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image_id: ImageId,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub started_at: Timestamp,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub completed_at: Option<Timestamp>,
    pub status: Status,
    /// `null` until completed.
    #[serde(default)]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream_name: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_by_request_id: RequestId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub modified_by_request_id: RequestId,
    pub cloud: String,
    /// Why the task failed, when it was not its command that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
}
