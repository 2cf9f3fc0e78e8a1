//! The user that a request comes from, and what that user may do.

pub mod authenticate;
pub mod key;
pub mod policy;
mod role;

pub use authenticate::{KeyUse, Principal, authenticate, note_use};
pub use key::{ApiKey, ApiKeyHash};
pub use policy::{Action, Resource};
pub use role::Role;
