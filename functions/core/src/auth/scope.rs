//! Limits a key to some of what its user may do.

use runvoy_api_types::KeyScope;

use super::Action;
use crate::{Error, Result};

/// The most names in each part of a scope.
const MAX_NAMES: usize = 100;

/// A scope as a caller asks for it. `None` for one that limits nothing.
///
/// # Errors
/// [`Error::Invalid`] for an action that does not exist, because a misspelt one would limit the key to nothing.
pub fn checked_scope(scope: KeyScope) -> Result<Option<KeyScope>> {
    for action in scope.actions.iter().flatten() {
        if !Action::is_permission(action) {
            return Err(Error::invalid(format!("{action:?} is no action"))
                .with_hint("GET /api/v1/me names the actions that you may do")
                .at_field("scope.actions"));
        }
    }
    if [&scope.actions, &scope.playbooks].into_iter().flatten().any(|names| names.len() > MAX_NAMES) {
        return Err(Error::invalid(format!("a scope has at most {MAX_NAMES} actions and {MAX_NAMES} playbooks"))
            .at_field("scope"));
    }
    Ok(Some(scope).filter(|scope| scope.actions.is_some() || scope.playbooks.is_some()))
}
