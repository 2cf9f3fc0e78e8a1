//! Defines the API keys of users as the API shows them, and the scope that limits one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Email, object, time};

/// Limits a key to some of what its user's role allows. An absent part limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(min_properties = 1))]
#[serde(deny_unknown_fields)]
pub struct KeyScope {
    /// As `GET /me` names them, such as `executions:run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub actions: Option<Vec<String>>,
    /// Names of published playbooks that the caller may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub playbooks: Option<Vec<String>>,
}

/// A key as the API lists it, which never shows the key itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Key {
    pub key_id: String,
    pub name: String,
    pub email: Email,
    #[serde(default, with = "time::as_optional_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time", required))]
    pub created_at: Option<Timestamp>,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub last_used: Option<Timestamp>,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<KeyScope>))]
    pub scope: Option<KeyScope>,
}

/// A page of a user's keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Keys {
    pub keys: Vec<Key>,
}

/// A key to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateKey {
    /// For whom or what the key is.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64, example = "laptop"))]
    pub name: String,
    /// Seconds after which the key stops working; never if absent or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 315_360_000))]
    pub expires_in: Option<u64>,
    /// Limits the key to some actions. Without it, the key may do what its user may.
    #[serde(default, deserialize_with = "object::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<KeyScope>))]
    pub scope: Option<KeyScope>,
}

/// A new key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedKey {
    pub key: Key,
    /// The key itself. It is not shown again.
    pub api_key: String,
}

/// A key that works no more.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedKey {
    pub key_id: String,
    pub message: String,
}
