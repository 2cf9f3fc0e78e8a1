//! Limits a key to some of what its user may do.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, auth::Action};

/// The most names in each part of a scope.
const MAX_NAMES: usize = 100;

/// The actions that a key may be used for, besides what its user's role allows. An absent part limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyScope)]
pub struct Scope {
    /// As `GET /me` names them, such as `executions:run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<String>>,
    /// Names of playbooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbooks: Option<Vec<String>>,
}

impl Scope {
    /// A scope as a caller asks for it. `None` for one that limits nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an action that does not exist, because a misspelt one would limit the key to nothing.
    pub fn checked(self) -> Result<Option<Self>> {
        for action in self.actions.iter().flatten() {
            if !Action::is_permission(action) {
                return Err(Error::invalid(format!("{action:?} is no action"))
                    .with_hint("GET /api/v1/me names the actions that you may do")
                    .at_field("scope.actions"));
            }
        }
        if [&self.actions, &self.playbooks].into_iter().flatten().any(|names| names.len() > MAX_NAMES) {
            return Err(Error::invalid(format!("a scope has at most {MAX_NAMES} actions and {MAX_NAMES} playbooks"))
                .at_field("scope"));
        }
        Ok(Some(self).filter(|scope| scope.actions.is_some() || scope.playbooks.is_some()))
    }
}
