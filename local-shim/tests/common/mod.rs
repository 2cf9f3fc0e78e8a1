//! What the tests and the benchmarks share.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod events;
pub mod instance;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
