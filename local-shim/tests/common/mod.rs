//! What the tests and the benchmarks share.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod events;
pub mod instance;
pub mod receiver;

/// The tests and the benchmarks use the allocator that the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
