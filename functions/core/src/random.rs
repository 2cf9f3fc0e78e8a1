//! Secrets that cannot be guessed, from the operating system's random numbers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Error, Result};

/// `BYTES` random bytes as URL-safe text, 4 characters for each 3 bytes.
///
/// # Errors
/// [`Error::Internal`] when the operating system gives no random bytes.
pub fn random_text<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal_with("the operating system gave no random bytes", error))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
