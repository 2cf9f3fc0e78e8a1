//! Defines the roles of users.

use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::Problem;

/// The role of a user, by which `policies.cedar` decides.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    Admin,
    Operator,
    Developer,
    /// Runs the playbooks that are shared with it, and nothing else.
    Runner,
    Viewer,
}

impl std::str::FromStr for Role {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let named = Self::VARIANTS.iter().find(|role| <&str>::from(*role) == text);
        named.copied().ok_or_else(|| {
            let all: Vec<&str> = Self::VARIANTS.iter().map(Into::into).collect();
            Problem::new(format!("role {text:?} is none of {}", all.join(", "))).at_field("role")
        })
    }
}
