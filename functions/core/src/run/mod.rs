//! Makes executions of requests, starts those that wait when their time has come, and ends those that never start.
//!
//! A request that can start at once is started at once, and its execution has the id of its task. Any other becomes an execution without
//! a task: `WAITING` for people who approve it, or `QUEUED`. What moves it on is safe if it happens twice, or stops between any two calls:
//! the status is changed by a condition, RunTask has one client token for each attempt and is called by one
//! invocation at a time, and [`sweep()`] goes on where a program has died.

mod after;
mod begin;
pub(crate) mod catch_up;
mod end;
mod next_attempt;
mod resources;
mod submit;
mod sweep;
mod take_locks;

pub use after::tell_followers;
pub use begin::{go_on, release, start_attempt};
pub use end::{fail, finish};
pub use next_attempt::{NextAttempt, expect_next_attempt};
pub(crate) use resources::check_kept;
pub use resources::{Resources, gather};
pub use submit::{Submission, submit, submit_beside, submit_failed, submit_with};
pub use sweep::sweep;
