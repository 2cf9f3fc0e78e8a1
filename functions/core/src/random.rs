//! Makes keys and tokens that cannot be guessed, from the operating system's random numbers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Error, Result};

/// `BYTES` random bytes as URL-safe text, 4 characters for each 3 bytes. It begins with a letter or a digit, so that no command line takes
/// it for an option and no double click leaves its first character out.
///
/// # Errors
/// [`Error::Internal`] when the operating system gives no random bytes.
pub fn random_text<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0; BYTES];
    loop {
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::internal_with("the operating system gave no random bytes", error))?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        // 2 of the 64 characters do not. Those that do are still equally likely.
        if !text.starts_with(['-', '_']) {
            return Ok(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_text_begins_with_a_letter_or_a_digit() {
        for _ in 0..1000 {
            let text = random_text::<24>().unwrap();
            assert!(text.len() == 32 && text.as_bytes()[0].is_ascii_alphanumeric(), "{text}");
        }
    }
}
