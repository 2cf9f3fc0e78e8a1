//! Defines the platforms that Fargate runs.

use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::Problem;

/// The operating system and CPU architecture that an image is built for.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum RuntimePlatform {
    #[default]
    #[serde(rename = "Linux/ARM64")]
    #[strum(to_string = "Linux/ARM64")]
    LinuxArm64,
    #[serde(rename = "Linux/X86_64")]
    #[strum(to_string = "Linux/X86_64")]
    LinuxX8664,
}

impl std::str::FromStr for RuntimePlatform {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let named = Self::VARIANTS.iter().find(|platform| <&str>::from(*platform).eq_ignore_ascii_case(text));
        named.copied().ok_or_else(|| {
            Problem::new(format!("runtime_platform {text:?} is neither Linux/ARM64 nor Linux/X86_64"))
                .at_field("runtime_platform")
        })
    }
}
