//! Lets tasks of the async runtime make calls that wait for a disk.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Makes a call that may wait for a disk or for another's write, as each call of SQLite may. Meanwhile the runtime has another thread for
/// the tasks of this one, so a slow store delays no request that does not need it. It costs some microseconds, where a thread of its own
/// for each store would cost two changes of threads. A runtime of one thread, as the simulation has, makes the call as it is.
pub(crate) fn blocking<R>(call: impl FnOnce() -> R) -> R {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(call),
        _ => call(),
    }
}
