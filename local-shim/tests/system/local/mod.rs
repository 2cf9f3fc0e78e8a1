//! Tests of the local system itself: the program, its folder, its ports, its runners, and services that it emulates.

mod busy_stores;
mod data_dir;
mod docker;
mod guard;
pub mod machine;
mod recorded_events;
mod scheduler;
mod sqs;
mod start_and_stop;
