//! Computes the ids of registrations of images.

use sha2::{Digest, Sha256};

use super::{ImageId, Reference, RuntimePlatform};

/// Bytes of the hash that an id ends with, as hexadecimal digits: few enough to be typed.
const HASH_BYTES: usize = 4;

/// The id of a registration with these settings. `roles` are the task's role and its execution role, where they are not the
/// stack's own. `security_groups` are sorted, and empty for those of the stack.
pub(super) fn image_id(
    reference: &Reference,
    cpu: u32,
    memory: u32,
    platform: RuntimePlatform,
    roles: [Option<&str>; 2],
    security_groups: &[String],
) -> ImageId {
    let (name, cpu, memory) = (reference.to_string(), cpu.to_string(), memory.to_string());
    let [task_role, execution_role] = roles.map(Option::unwrap_or_default);
    let mut hash = Sha256::new();
    for part in [name.as_str(), &cpu, &memory, platform.into(), task_role, execution_role] {
        hash.update(part);
        hash.update([0]);
    }
    for group in security_groups {
        hash.update(group);
        hash.update([0]);
    }
    let hex: String = hash.finalize().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
    ImageId::new(format!("{}:{}-{hex}", reference.name, reference.tag_or_digest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_has_the_same_id_in_every_version_of_the_program() {
        let id = |name: &str, cpu, role| {
            let reference = Reference::parse(name).unwrap();
            image_id(&reference, cpu, 512, RuntimePlatform::LinuxArm64, [role, None], &[]).to_string()
        };
        assert_eq!(id("ubuntu:22.04", 256, None), "ubuntu:22.04-a65bbf38");
        assert_eq!(id("docker.io/library/ubuntu:22.04", 256, None), id("ubuntu:22.04", 256, None));
        assert_ne!(id("ubuntu:22.04", 512, None), id("ubuntu:22.04", 256, None));
        assert_ne!(id("ubuntu:22.04", 256, Some("role")), id("ubuntu:22.04", 256, None));
    }
}
