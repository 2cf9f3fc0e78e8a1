//! The system through HTTP and WebSockets.

#![allow(unreachable_pub, reason = "no crate uses a test program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod approvals;
mod audit;
mod calls;
mod capacity;
mod claims;
mod client;
mod clients;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod console;
mod costs;
mod data_dir;
mod docker;
mod events;
mod executions;
mod faults;
mod fields;
mod guard;
mod images;
mod kept_lines;
mod keys;
mod lines;
mod locks;
mod machine;
mod notifications;
mod operations;
mod owners;
mod permissions;
mod playbooks;
mod process;
mod queue;
mod queues;
mod records;
mod roles;
mod scheduler;
mod schedules;
mod secrets;
mod sizes;
mod sleepers;
mod task_definitions;
mod template;
mod upgrade;
mod users;
mod viewers;
mod write_units;
