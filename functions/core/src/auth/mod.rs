//! Who calls, and what they may do.

pub mod authenticate;
pub mod key;
pub mod policy;
pub mod role;

pub use authenticate::{Principal, authenticate};
pub use key::{ApiKey, ApiKeyHash};
pub use policy::{Action, Resource};
pub use role::Role;
