//! Runs runvoy on a laptop: AWS around the two Lambda functions, in one process.
//!
//! The functions are the ones that are deployed. [`front`] turns HTTP and WebSockets into Lambda events. [`lambda`] does
//! what the Lambda service does. The emulated [`aws`] answers the SDK in this process, and runs tasks as processes or in Docker. The
//! local [`stack`] is made from `template.yaml`. [`Shim`] is all of it, running.

pub mod aws;
mod blocking;
mod bootstrap;
mod data_dir;
pub mod dotenv;
mod emulation;
mod examples;
pub mod front;
mod functions;
pub mod lambda;
mod servers;
pub mod settings;
pub mod stack;
mod system;

pub use data_dir::ADMIN_KEY;
pub use functions::{EVENT_PROCESSOR, ORCHESTRATOR};
pub use settings::{AwsPort, RunnerChoice, Settings};
pub use system::{Shim, VARIABLES_FILE};

/// Bytes of a thread's stack. A function's futures within futures take up to 1.5 MB of it in a build without optimization, which leaves
/// too little of tokio's 2 MB.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// The time for which a thread for calls that wait for a disk is kept without one. Each takes about 1.5 MB, and a burst of runs makes
/// dozens; tokio's 10 seconds keep them from one burst to the next.
const IDLE_THREAD: std::time::Duration = std::time::Duration::from_secs(1);

/// The runtime that the system is made for. It has at least 4 threads: with one for each core, a thread that decompresses thousands of
/// lines could be the only one that answers requests on a small machine.
///
/// # Errors
/// The operating system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(4))
        .thread_stack_size(STACK_BYTES)
        .thread_keep_alive(IDLE_THREAD)
        .enable_all()
        .build()
}
