//! Viewers: how they are let in, and how they are sent an execution's log.

pub mod connection;
pub mod frame;
pub mod serve;
pub mod token;

pub use connection::{Connection, ConnectionKey, Wishes};
