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

/// Who the caller is, and what they may do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    pub email: Email,
    pub role: Role,
    /// The actions that the user may do to any resource, as `resource:verb`. An owner may do more to what they own.
    #[cfg_attr(feature = "openapi", schema(example = json!(["executions:list", "executions:status"])))]
    pub permissions: Vec<String>,
}

/// A page of users.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Users {
    pub users: Vec<ListedUser>,
}

/// A user as the list has one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListedUser {
    #[serde(flatten)]
    pub user: User,
    /// The user has an API key. One who has none has not claimed it yet, or has deleted the last one.
    #[serde(default)]
    pub claimed: bool,
}

/// A user to be created.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateUser {
    #[cfg_attr(feature = "openapi", schema(format = "email", example = "dev@example.com"))]
    pub email: String,
    #[cfg_attr(feature = "openapi", schema(value_type = Role))]
    pub role: String,
    /// Refused unless it is empty: a key is generated when the user claims it, so that nobody else knows it.
    #[cfg_attr(feature = "openapi", schema(max_length = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
}

/// A new user, with the claim of their key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedUser {
    pub user: User,
    /// For `GET /api/v1/claim/{token}`: works once, within 15 minutes.
    pub claim_token: String,
    /// The page on which the user claims the key, by the press of a button.
    pub claim_url: String,
}

/// A user to be revoked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevokeUser {
    #[cfg_attr(feature = "openapi", schema(format = "email", example = "dev@example.com"))]
    pub email: String,
}

/// The user whose keys no longer work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevokedUser {
    pub message: String,
    pub email: Email,
}

/// A change of a user. An absent field stays as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateUser {
    /// admin, operator, developer or viewer.
    #[cfg_attr(feature = "openapi", schema(pattern = "^(admin|operator|developer|viewer)?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `true` revokes the user, and `false` lets a revoked user in again, with the keys of before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
}

/// A user after a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdatedUser {
    pub user: User,
}

/// A new claim of a user who has lost their key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenewedClaim {
    /// For `GET /api/v1/claim/{token}`: works once, within 15 minutes.
    pub claim_token: String,
    /// The page on which the user claims the key, by the press of a button.
    pub claim_url: String,
}

/// The key that a claim hands over, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Claimed {
    pub api_key: String,
    pub user_email: Email,
    // A client needs the key only, and a claim works once, so that an answer without a message is one.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub message: String,
}
