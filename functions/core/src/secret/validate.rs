//! Checks what a caller sends as a secret: its variable, its value and its description. No error quotes a value.

use runvoy_api_types::{
    limits::{MAX_DESCRIPTION_BYTES, MAX_SECRET_BYTES},
    text,
};

use crate::{Error, Result, environment};

/// Checks the name of the variable that holds the value in a run.
///
/// # Errors
/// [`Error::Invalid`] for a name that no variable can have, and for one that would steer programs in the runs of others.
pub(super) fn key_name(name: &str) -> Result<()> {
    environment::check_shared_name(name).map_err(|error| error.at_field("key_name"))
}

/// Checks the value.
///
/// # Errors
/// [`Error::Invalid`] for an empty value, for one that SSM does not take, and for one with a NUL character.
pub(super) fn value(value: &str) -> Result<()> {
    if value.contains('\0') {
        return Err(
            Error::invalid("value contains a NUL character, which no environment variable can hold").at_field("value")
        );
    }
    match value.len() {
        0 => Err(Error::invalid("value must not be empty").at_field("value")),
        1..=MAX_SECRET_BYTES => Ok(()),
        size => Err(Error::invalid(format!("value has {size} bytes, and at most {MAX_SECRET_BYTES} can be stored"))
            .at_field("value")),
    }
}

/// Checks the description.
///
/// # Errors
/// [`Error::Invalid`] for one that is too long, or has characters that are not shown.
pub(super) fn description(description: Option<&str>) -> Result<()> {
    match description {
        Some(text) if text.len() > MAX_DESCRIPTION_BYTES => {
            Err(Error::invalid(format!("description must have at most {MAX_DESCRIPTION_BYTES} bytes"))
                .at_field("description"))
        }
        Some(text) => Ok(text::check_prose("description", text)?),
        None => Ok(()),
    }
}
