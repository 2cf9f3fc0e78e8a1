//! Checks the size of an image's tasks, or of one run.

use runvoy_api_types::fargate::SIZES;

use crate::{Error, Result};

/// # Errors
/// [`Error::Invalid`] for a pair of CPU units and MiB that no Fargate task has.
pub(crate) fn check(cpu: u32, memory: u32) -> Result<()> {
    let Some(size) = SIZES.iter().find(|size| size.cpu == cpu) else {
        let all: Vec<String> = SIZES.iter().map(|size| size.cpu.to_string()).collect();
        return Err(Error::invalid(format!("cpu {cpu} is none of {}", all.join(", "))).at_field("cpu"));
    };
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
