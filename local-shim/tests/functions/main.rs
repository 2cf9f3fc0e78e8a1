//! The functions as processes, started as Lambda starts them, and on any AWS.

#![allow(unreachable_pub, reason = "no crate uses a test program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod any_aws;
#[path = "../common/mod.rs"]
mod common;
mod event_processor;
mod orchestrator;

use std::path::PathBuf;

/// The path of a function's program. `cargo test --workspace` builds it into the folder above the tests.
fn binary(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_local-shim")).with_file_name(name);
    assert!(
        path.exists(),
        "{} does not exist: run `cargo test --workspace`, or `cargo build -p {name}`",
        path.display()
    );
    path
}
