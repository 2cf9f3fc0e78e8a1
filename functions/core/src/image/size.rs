//! Checks the size of an image's tasks, or of one run.

use runvoy_api_types::fargate::SIZES;

use crate::{Error, Result};

/// # Errors
/// [`Error::Invalid`] for a pair of CPU units and MiB that no Fargate task has.
pub(crate) fn check(cpu: u32, memory: u32) -> Result<()> {
    let Some(size) = SIZES.iter().find(|size| size.cpu == cpu) else { return Err(no_cpu(cpu)) };
    if size.takes(memory) {
        return Ok(());
    }
    let problem = if cpu == 256 {
        format!("with cpu 256, memory must be 512, 1024 or 2048 MiB, not {memory}")
    } else {
        let (from, to) = (size.memory.start(), size.memory.end());
        format!("with cpu {cpu}, memory must be {from} to {to} MiB in steps of {}, not {memory}", size.step)
    };
    Err(Error::invalid(problem).at_field("memory"))
}

/// Checks what is known of a size before its other part is.
///
/// # Errors
/// [`Error::Invalid`] for CPU units that no Fargate task has, and for MiB that none has with any CPU.
pub(crate) fn check_parts(cpu: Option<u32>, memory: Option<u32>) -> Result<()> {
    if let Some(cpu) = cpu.filter(|cpu| !SIZES.iter().any(|size| size.cpu == *cpu)) {
        return Err(no_cpu(cpu));
    }
    match memory.filter(|memory| !SIZES.iter().any(|size| size.takes(*memory))) {
        None => Ok(()),
        Some(memory) => Err(Error::invalid(format!("Fargate has no tasks of {memory} MiB of memory"))
            .with_hint(
                "with each cpu, Fargate has some: 512 to 2048 with 256, 1024 to 4096 with 512, 2048 to 8192 with 1024",
            )
            .at_field("memory")),
    }
}

fn no_cpu(cpu: u32) -> Error {
    let all: Vec<String> = SIZES.iter().map(|size| size.cpu.to_string()).collect();
    Error::invalid(format!("cpu {cpu} is none of {}", all.join(", "))).at_field("cpu")
}
