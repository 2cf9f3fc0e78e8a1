use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::Error;

/// What a user may do, as `policies.cedar` spells out.
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
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    Admin,
    Operator,
    Developer,
    Viewer,
}

impl std::str::FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let named = Self::VARIANTS.iter().find(|role| <&str>::from(*role) == text);
        named
            .copied()
            .ok_or_else(|| Error::invalid(format!("role {text:?} is none of admin, operator, developer, viewer")))
    }
}
