//! Tells who a caller is, and decides what that user may do.

pub mod authenticate;
pub mod policy;

pub(crate) use authenticate::still_works;
pub use authenticate::{Authenticated, KeyUse, Principal, authenticate, note_use};
pub use policy::{Action, Resource};
pub use runvoy_api_types::Role;
