//! Tells who a caller is, and decides what that user may do.

mod action;
pub mod authenticate;
pub mod policy;

pub use action::Action;
pub(crate) use authenticate::still_works;
pub use authenticate::{Authenticated, KeyUse, Principal, authenticate, authenticate_hash, note_use, presented};
pub use policy::Resource;
pub use runvoy_api_types::Role;
