//! Emulates ECS: task definitions, and tasks that run as processes or in Docker. `cluster.rs` and `transition.rs` are the model, which
//! `lifecycle.rs` drives with the containers of `runner`.

mod cluster;
mod definition;
mod definition_operations;
mod digest;
mod launch;
mod lifecycle;
mod operations;
mod page;
mod refusal;
mod request;
pub mod runner;
mod size;
mod store;
mod task;
mod transition;

pub(super) use self::cluster::CONCURRENT_REGISTRATION;
pub use self::{
    cluster::{Answered, Cluster, Order, Settings},
    lifecycle::Ecs,
    store::Store,
    task::Task,
    transition::{Secret, Transition},
};
