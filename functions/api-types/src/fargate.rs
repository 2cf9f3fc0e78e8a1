//! Knows which sizes a Fargate task may have ("Task CPU and memory", Amazon ECS Developer Guide).

use std::ops::RangeInclusive;

/// The memory that tasks of one CPU size may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// CPU units; 1024 make one virtual CPU.
    pub cpu: u32,
    /// MiB, in multiples of `step`.
    pub memory: RangeInclusive<u32>,
    /// MiB.
    pub step: u32,
}

impl Size {
    /// The memory that it may have, in MiB, the least first.
    pub fn memory_sizes(&self) -> Vec<u32> {
        self.memory.clone().step_by(self.step as usize).filter(|memory| self.takes(*memory)).collect()
    }

    pub fn takes(&self, memory: u32) -> bool {
        self.memory.contains(&memory) && memory.is_multiple_of(self.step)
            // The smallest size takes 512, 1024 and 2048 MiB.
            && !(self.cpu == 256 && memory == 1536)
    }
}

const fn size(cpu: u32, from: u32, to: u32, step: u32) -> Size {
    Size { cpu, memory: from..=to, step }
}

/// All sizes, the smallest first.
pub const SIZES: [Size; 7] = [
    size(256, 512, 2048, 512),
    size(512, 1024, 4096, 1024),
    size(1024, 2048, 8192, 1024),
    size(2048, 4096, 16_384, 1024),
    size(4096, 8192, 30_720, 1024),
    size(8192, 16_384, 61_440, 4096),
    size(16_384, 32_768, 122_880, 8192),
];

/// Tells whether Fargate has tasks of this CPU and memory.
pub fn is_size(cpu: u32, memory: u32) -> bool {
    SIZES.iter().any(|size| size.cpu == cpu && size.takes(memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fargates_pairs_of_cpu_and_memory_are_sizes() {
        for (cpu, memory) in [(256, 512), (256, 2048), (512, 3072), (4096, 30_720), (8192, 20_480), (16_384, 122_880)] {
            assert!(is_size(cpu, memory), "{cpu} {memory}");
        }
        for (cpu, memory) in
            [(0, 512), (256, 513), (256, 1536), (256, 4096), (512, 512), (1024, 2500), (8192, 17_408), (u32::MAX, 1)]
        {
            assert!(!is_size(cpu, memory), "{cpu} {memory}");
        }
    }
}
