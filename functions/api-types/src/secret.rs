//! Defines a secret as the API shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Email, RequestId, SecretName, time};

/// A secret as the API shows it. Only the route that shows one secret fills in the value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Secret {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: SecretName,
    /// The environment variable that holds the value in a run.
    pub key_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    /// Users and roles (`role:developer`) that may use it; everyone whose role allows it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_with: Option<Vec<String>>,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub created_at: Timestamp,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub updated_at: Timestamp,
    pub updated_by: Email,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_by_request_id: RequestId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub modified_by_request_id: RequestId,
}
