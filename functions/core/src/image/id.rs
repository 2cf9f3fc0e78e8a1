//! Names registrations of images.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Reference, RuntimePlatform};

/// Bytes of the hash that an id ends with, as hexadecimal digits: few enough to be typed.
const HASH_BYTES: usize = 4;

/// Names a registration of an image: `name:tag-xxxxxxxx`, where the last part is a hash over name, tag, size, platform and roles.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(String);

impl ImageId {
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id of a registration with these settings. `roles` are the task's role and its execution role, where they are not the
    /// stack's own.
    pub(super) fn of(
        reference: &Reference,
        cpu: u32,
        memory: u32,
        platform: RuntimePlatform,
        roles: [Option<&str>; 2],
    ) -> Self {
        let (name, cpu, memory) = (reference.to_string(), cpu.to_string(), memory.to_string());
        let [task_role, execution_role] = roles.map(Option::unwrap_or_default);
        let mut hash = Sha256::new();
        for part in [name.as_str(), &cpu, &memory, platform.into(), task_role, execution_role] {
            hash.update(part);
            hash.update([0]);
        }
        let hex: String = hash.finalize().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{}:{}-{hex}", reference.name, reference.tag_or_digest()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_has_the_same_id_in_every_version_of_the_program() {
        let id = |name: &str, cpu, role| {
            let reference = Reference::parse(name).unwrap();
            ImageId::of(&reference, cpu, 512, RuntimePlatform::LinuxArm64, [role, None]).to_string()
        };
        assert_eq!(id("ubuntu:22.04", 256, None), "ubuntu:22.04-a65bbf38");
        assert_eq!(id("docker.io/library/ubuntu:22.04", 256, None), id("ubuntu:22.04", 256, None));
        assert_ne!(id("ubuntu:22.04", 512, None), id("ubuntu:22.04", 256, None));
        assert_ne!(id("ubuntu:22.04", 256, Some("role")), id("ubuntu:22.04", 256, None));
    }
}
