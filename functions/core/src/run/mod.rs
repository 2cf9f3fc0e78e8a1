//! Makes executions of requests, starts those that wait when their time has come, and ends those that never start.
//!
//! A request that nothing can hold up is started first, and its execution has the id of its task. One with approvals, locks, `after`, a
//! deadline or a retry, one that may wait under an idempotency key, one under a limit of running executions, and one of a schedule's
//! playbook become executions without a task first: `WAITING` for people who approve it, `QUEUED`, or `STARTING` if nothing holds it up.
//! What moves it on is safe if it happens twice, or stops between any two calls: the status is changed by a condition, RunTask has one
//! client token for each attempt and is called by one invocation at a time, and [`sweep()`] goes on where a program has died.

mod after;
mod attempt_message;
mod begin;
pub(crate) mod catch_up;
mod end;
mod next_attempt;
mod other_starter;
mod resources;
mod submit;
mod sweep;
mod take_locks;

pub use after::tell_followers;
pub use attempt_message::NextAttempt;
pub use begin::{go_on, release, start_attempt};
pub use end::{fail, finish, kill};
pub use next_attempt::expect_next_attempt;
pub(crate) use resources::check_kept;
pub use resources::{Resources, gather};
pub use submit::{Submission, submit, submit_beside, submit_failed, submit_with};
pub use sweep::sweep;
