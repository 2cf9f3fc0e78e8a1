//! Defines what the API says of itself.

use serde::{Deserialize, Serialize};

/// The version that answers, and its region.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    pub status: String,
    pub version: String,
    pub provider: String,
    pub region: String,
}
