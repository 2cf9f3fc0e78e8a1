//! Lets tasks of the async runtime make calls that wait for a disk.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Handle, RuntimeFlavor};

/// Makes a call that may wait for a disk or for another writer, as each call of SQLite may. Meanwhile the runtime has another thread for
/// the tasks of this one. A runtime of one thread, as the simulation has, makes the call as it is.
pub(crate) fn blocking<R>(call: impl FnOnce() -> R) -> R {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(call),
        _ => call(),
    }
}

/// Counts the calls that are being made. All threads of the runtime but one may wait in such calls, and a further call is made as
/// [`blocking`]. So a slow store delays no request that does not need it.
#[derive(Debug, Default)]
pub(crate) struct Calls(AtomicUsize);

impl Calls {
    /// Makes a call. While there are few, it is made on the caller's thread: that costs nothing, and the caller goes on before any task
    /// that the call has made ready, as RunTask's caller does in AWS. Otherwise it is made as [`blocking`].
    pub(crate) fn make<R>(&self, call: impl FnOnce() -> R) -> R {
        let others = self.0.fetch_add(1, Ordering::Relaxed);
        let _ends = Ends(&self.0);
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        if others + 1 < threads { call() } else { blocking(call) }
    }
}

/// Takes a call out of the number when it ends, also by a panic.
struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
