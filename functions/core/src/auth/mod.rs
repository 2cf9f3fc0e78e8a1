//! Tells who a caller is, and decides what that user may do.

mod action;
pub mod authenticate;
mod named;
pub mod policy;
mod scope;

pub use action::Action;
pub use authenticate::{Authenticated, Principal, authenticate, authenticate_hash, presented};
pub(crate) use authenticate::{KeyUser, user_of_key};
pub use named::{NamedRefusal, authorize_named, check_scope_of_use};
pub use policy::Resource;
pub use runvoy_api_types::Role;
pub use scope::checked_scope;
