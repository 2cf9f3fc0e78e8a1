//! Defines a user as the API shows one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Email, RequestId, Role, time};

/// A user as the API shows one. It has no key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    pub email: Email,
    pub role: Role,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub created_at: Timestamp,
    pub revoked: bool,
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub last_used: Option<Timestamp>,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_by_request_id: RequestId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub modified_by_request_id: RequestId,
}
