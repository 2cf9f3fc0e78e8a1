//! Keeps the locks that executions hold while they run, and the lines of executions that wait for them.
//!
//! A lock is an item with counts, an item for each holder, and an item for each place in line. Each change is one transaction with the
//! change of the execution's status, so that a lock is held exactly as long as an execution that has not ended says so. An execution takes
//! several locks in the order of their names, which prevents deadlocks, and keeps those that it has while it waits for the next one. The
//! end of a holder gives the lock to the first in line in the same transaction. The table's stream then starts what has got its
//! last lock, and a sweep each minute goes on where a program has died.
//!
//! This module writes no executions: `execution/release.rs` gives locks back and to the first in line, `run/take_locks.rs` takes them.

pub(crate) mod items;
pub(crate) mod order;
pub(crate) mod running;
mod set;

pub use items::check_name;
pub use runvoy_api_types::limits::MAX_SLOTS;
pub(crate) use set::all;
pub use set::{delete, page, place_in_line, set, show};

/// Locks of one execution. A release changes five items for each, and a transaction takes 100.
pub const MAX_LOCKS_OF_A_RUN: usize = 5;
/// The largest `max_queue` of a lock: runs that may wait for it. Without `max_queue`, more may wait.
pub const MAX_QUEUE: u32 = 1_000_000;
/// The number of times that a transaction which lost a race is made again. The pauses are 0.6 seconds at most, so that this takes
/// about 18 seconds.
pub(crate) const ATTEMPTS: u32 = 40;
