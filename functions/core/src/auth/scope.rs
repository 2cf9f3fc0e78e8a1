//! Limits a key to some of what its user may do.

use runvoy_api_types::KeyScope;

use super::Action;
use crate::{Error, Result};

/// The most names in each part of a scope.
const MAX_NAMES: usize = 100;

/// A scope as a caller asks for it.
///
/// # Errors
/// [`Error::Invalid`] for an action that does not exist, because a misspelt one would limit the key to nothing; and for a scope that names
/// nothing, because its key would be unlimited, or good for nothing.
pub fn checked_scope(scope: KeyScope) -> Result<KeyScope> {
    if scope.actions.is_none() && scope.playbooks.is_none() {
        return Err(Error::invalid("the scope is empty, and would not limit the key")
            .with_hint("name actions or playbooks in it, or leave it out for a key without limits")
            .at_field("scope"));
    }
    for (field, names) in [("actions", &scope.actions), ("playbooks", &scope.playbooks)] {
        if names.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::invalid(format!("the scope has no {field}, and would leave the key nothing to do"))
                .with_hint("name some, or leave the field out")
                .at_field(format!("scope.{field}")));
        }
    }
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
    Ok(scope)
}
