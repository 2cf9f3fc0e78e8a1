//! The system through HTTP and WebSockets.

#![allow(unreachable_pub, reason = "no crate uses a test program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod api;
mod approvals;
mod audit;
mod cases;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod console;
mod costs;
mod events;
mod executions;
mod gate;
mod held;
mod images;
mod local;
mod locks;
mod logs;
mod notifications;
mod playbooks;
mod program;
mod reconcile;
mod schedules;
mod secrets;
mod sleepers;
mod stable;
mod template;
mod trace;
mod users;
