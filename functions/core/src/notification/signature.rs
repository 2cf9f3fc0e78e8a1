//! Signs webhooks, so that a receiver knows who sends them and when, and can refuse a copy of an old one.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Error, Result};

/// The signature of a body at a time, as `v1=` and hexadecimal digits: HMAC-SHA-256 over the time (seconds since 1970), a dot, and the
/// body.
///
/// # Errors
/// [`Error::Internal`] when HMAC refuses the key, which does not happen: it takes keys of any length.
pub(super) fn sign(key: &str, timestamp: i64, body: &[u8]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|error| Error::internal_with("a webhook could not be signed", error))?;
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut text = "v1=".to_owned();
    for byte in mac.finalize().into_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_an_hmac_over_time_and_body() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        let expected = "v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
        assert_eq!(sign("secret", 1_700_000_000, br#"{"a":1}"#).unwrap(), expected);
        assert_ne!(sign("secret", 1_700_000_001, br#"{"a":1}"#).unwrap(), expected);
    }
}
