//! Checks that owners whom a caller names are users.

use super::active;
use crate::{App, Email, Error, Result, ownership};

/// The owners that a caller names, each once. Each must be a user: a mistyped address would leave the resource without an owner, or give it
/// to a user whom an admin creates with that address later.
///
/// # Errors
/// [`Error::Invalid`] for none, for too many, for a text that is no address, and for an address of no user or of a revoked one, unless it
/// is among the present owners.
pub async fn owners(app: &App, names: &[String], present: &[Email]) -> Result<Vec<Email>> {
    let owners = ownership::owners(names)?;
    let new: Vec<&Email> = owners.iter().filter(|owner| !present.contains(owner)).collect();
    let active = active(app, &new).await?;
    match new.iter().find(|owner| !active.contains(**owner)) {
        None => Ok(owners),
        Some(owner) => Err(Error::invalid(format!("there is no user {owner} who could own it"))
            .with_hint("name users who exist and are not revoked")
            .at_field("owned_by")),
    }
}
