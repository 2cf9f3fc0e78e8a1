//! Serves viewers: clients that follow an execution's log over a WebSocket.

pub mod connection;
pub mod delivery;
pub mod fan_out;
mod frame;
pub mod hand_over;
mod lease;
mod pass;
mod takeover;
pub mod token;

pub use connection::{Connection, ConnectionKey, ViewerOptions};
