//! API keys and the other secrets that a caller shows to prove who it is. Only their hashes are ever stored.

use std::fmt;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Error, Result};

/// What every key made here starts with, so that secret scanners recognize a leaked one.
const PREFIX: &str = "runvoy_";
/// Random bytes in a key: 192 bits.
const RANDOM_BYTES: usize = 24;
/// Characters of checksum at a key's end, 36 bits: a mistyped key is refused without a look-up.
const CHECKSUM_CHARS: usize = 6;
/// Bounds on a key that an admin chooses.
const CHOSEN_KEY_CHARS: std::ops::RangeInclusive<usize> = 24..=256;

/// A key in the clear. Never logged, never stored: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    pub fn generate() -> Result<Self> {
        let body = random_text::<RANDOM_BYTES>()?;
        let checksum = checksum(&body);
        Ok(Self(format!("{PREFIX}{body}{checksum}")))
    }

    /// A key as a caller presents it.
    ///
    /// # Errors
    /// [`Error::UnknownApiKey`] when it cannot be one: too long, or with our prefix and a checksum that does not fit.
    pub fn presented(text: &str) -> Result<Self> {
        let possible = text.len() <= *CHOSEN_KEY_CHARS.end()
            && text.strip_prefix(PREFIX).is_none_or(|rest| {
                rest.len()
                    .checked_sub(CHECKSUM_CHARS)
                    .is_some_and(|at| rest.is_char_boundary(at) && checksum(&rest[..at]) == rest[at..])
            });
        if possible { Ok(Self(text.to_owned())) } else { Err(Error::UnknownApiKey) }
    }

    /// A key that an admin chooses for a user.
    pub fn chosen(text: &str) -> Result<Self> {
        if !CHOSEN_KEY_CHARS.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::invalid(
                "api_key must be 24 to 256 visible ASCII characters; leave it out to have one made",
            ));
        }
        Self::presented(text).map_err(|_| {
            Error::invalid(format!("api_key starts with {PREFIX:?} but its checksum is wrong; was it copied whole?"))
        })
    }

    pub fn hash(&self) -> ApiKeyHash {
        ApiKeyHash(STANDARD.encode(Sha256::digest(&self.0)))
    }

    /// The key itself, for the one answer that hands it over.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The base64 SHA-256 of a key: what is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKeyHash(String);

impl ApiKeyHash {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// In constant time, so that how long it takes says nothing about how much is right.
impl PartialEq for ApiKeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for ApiKeyHash {}

fn checksum(body: &str) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(Sha256::digest(body));
    text.truncate(CHECKSUM_CHARS);
    text
}

/// `BYTES` random bytes from the operating system, as URL-safe text.
pub fn random_text<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Internal(format!("the operating system gave no random bytes: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The hash under which a token that is shown once (claim, WebSocket) is stored.
pub fn token_hash(token: &str) -> String {
    STANDARD.encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_recognizable_and_hashes_the_same_each_time() {
        let key = ApiKey::generate().unwrap();
        assert!(key.expose().starts_with("runvoy_"));
        assert_eq!(ApiKey::presented(key.expose()).unwrap().hash(), key.hash());
        assert_ne!(ApiKey::generate().unwrap().hash(), key.hash());
    }

    #[test]
    fn a_mistyped_key_is_refused_without_a_look_up() {
        let key = ApiKey::generate().unwrap();
        let typed = key.expose();
        for at in PREFIX.len()..typed.len() {
            let wrong = if typed.as_bytes()[at] == b'x' { "y" } else { "x" };
            let mistyped = format!("{}{wrong}{}", &typed[..at], &typed[at + 1..]);
            assert!(matches!(ApiKey::presented(&mistyped), Err(Error::UnknownApiKey)), "{at}");
        }
        for cut in ["runvoy_", "runvoy_é", "runvoy_abc", "runvoy_日本語"] {
            assert!(ApiKey::presented(cut).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_chosen_key_must_be_long_and_printable() {
        assert!(ApiKey::chosen("correct-horse-battery-staple").is_ok());
        for bad in ["short", "has a space in it, which is bad", "runvoy_abcdefghijklmnopqrstuvwxyz012345"] {
            assert!(matches!(ApiKey::chosen(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn debug_output_hides_the_key() {
        let key = ApiKey::generate().unwrap();
        assert!(!format!("{key:?}").contains(key.expose()));
    }
}
