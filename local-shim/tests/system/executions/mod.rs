//! Tests of `POST /run` and `/executions`, by what a request asks for.

mod after;
mod capacity;
mod clone_failures;
mod command;
mod containers;
mod idempotency;
mod kill;
mod limit;
mod list;
pub mod queue;
mod refused;
mod repository;
mod retry;
mod run;
mod show;
mod sizes;
mod starters;
