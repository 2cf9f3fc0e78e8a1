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

/// A page of secrets, without values.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Secrets {
    pub secrets: Vec<Secret>,
    /// Of all secrets, those of other pages included.
    pub total: usize,
}

/// One secret, with its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretAnswer {
    pub secret: Secret,
}

/// A secret to be created.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateSecret {
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._-]+$", example = "database-url")
    )]
    pub name: String,
    /// The environment variable under which a run sees the value.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z_][A-Za-z0-9_]*$", example = "DATABASE_URL"))]
    pub key_name: String,
    /// 1 to 4096 bytes.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 4096))]
    pub value: String,
    #[cfg_attr(feature = "openapi", schema(max_length = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An answer that says that something was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    pub message: String,
}

/// A change of a secret. An absent field stays as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateSecret {
    #[cfg_attr(feature = "openapi", schema(max_length = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[cfg_attr(feature = "openapi", schema(pattern = "^([A-Za-z_][A-Za-z0-9_]*)?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// Empty means the same as absent.
    #[cfg_attr(feature = "openapi", schema(max_length = 4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// The secret that is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedSecret {
    pub name: String,
    pub message: String,
}
