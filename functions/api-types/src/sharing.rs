//! Defines who owns a resource and with whom it is shared, as requests and answers say it.

use serde::{Deserialize, Serialize};

use crate::Email;

/// The owners that a resource is to have.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetOwners {
    /// E-mail addresses, at least one.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub owned_by: Vec<String>,
}

/// The owners of a resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Owners {
    pub owned_by: Vec<Email>,
}

/// Who is to be able to use a resource. The field must be there, so that a body that lacks it shares nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetSharing {
    /// E-mail addresses, and roles as `role:developer`. `null` shares with everyone whose role allows it; a schedule is then shared with nobody.
    #[cfg_attr(feature = "openapi", schema(required = true, max_items = 100, example = json!(["role:developer", "ada@example.com"])))]
    #[serde(deserialize_with = "Option::deserialize")]
    pub shared_with: Option<Vec<String>>,
}

/// Who may use a resource, besides owners, operators and admins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sharing {
    pub shared_with: Option<Vec<String>>,
}
