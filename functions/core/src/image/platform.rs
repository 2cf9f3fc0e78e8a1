use aws_sdk_ecs::types::CpuArchitecture;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::Error;

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

impl RuntimePlatform {
    pub(super) fn cpu_architecture(self) -> CpuArchitecture {
        match self {
            Self::LinuxArm64 => CpuArchitecture::Arm64,
            Self::LinuxX8664 => CpuArchitecture::X8664,
        }
    }
}

impl std::str::FromStr for RuntimePlatform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let named = Self::VARIANTS.iter().find(|platform| <&str>::from(*platform).eq_ignore_ascii_case(text));
        named
            .copied()
            .ok_or_else(|| Error::invalid(format!("runtime_platform {text:?} is neither Linux/ARM64 nor Linux/X86_64")))
    }
}
