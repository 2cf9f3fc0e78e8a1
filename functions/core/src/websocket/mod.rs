//! Viewers: clients that follow an execution's log over a WebSocket.

pub mod connection;
pub mod delivery;
mod frame;
mod lease;
pub mod token;

pub use connection::{Connection, ConnectionKey, ViewerOptions};
