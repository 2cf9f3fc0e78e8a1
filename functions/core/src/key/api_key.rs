//! Makes API keys, and the hashes under which keys and tokens are stored. Nothing stores a key or a token itself.

use std::fmt;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Error, Result, random::random_text};

/// Every generated key starts with this, so that secret scanners recognize a leaked one.
const PREFIX: &str = "runvoy_";
/// Random bytes in a key: 192 bits.
const RANDOM_BYTES: usize = 24;
/// Characters of checksum at a key's end (36 bits), by which a mistyped key is refused without reading a table.
const CHECKSUM_CHARS: usize = 6;
/// Bytes of a key's id. With 64 bits, no two keys of an installation have the same.
const ID_BYTES: usize = 8;
/// The longest key, in bytes. Earlier versions let an admin choose a key of up to this length.
const MAX_KEY_BYTES: usize = 256;

/// A key in the clear. Never logged, never stored: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new key: prefix, 192 random bits, checksum.
    ///
    /// # Errors
    /// [`Error::Internal`] when the operating system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let body = random_text::<RANDOM_BYTES>()?;
        let checksum = checksum(&body);
        Ok(Self(format!("{PREFIX}{body}{checksum}")))
    }

    /// A key as a caller presents it.
    ///
    /// # Errors
    /// [`Error::UnknownApiKey`] when it is longer than any key, or has the prefix of a generated key and a wrong checksum.
    pub fn presented(text: &str) -> Result<Self> {
        let possible = text.len() <= MAX_KEY_BYTES
            && text.strip_prefix(PREFIX).is_none_or(|rest| {
                rest.len()
                    .checked_sub(CHECKSUM_CHARS)
                    .is_some_and(|at| rest.is_char_boundary(at) && checksum(&rest[..at]) == rest[at..])
            });
        if possible { Ok(Self(text.to_owned())) } else { Err(Error::UnknownApiKey) }
    }

    pub fn hash(&self) -> ApiKeyHash {
        ApiKeyHash(STANDARD.encode(Sha256::digest(&self.0)))
    }

    /// The key itself, for the one answer that contains it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The base64 SHA-256 of a key, which stands for it in the tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKeyHash(String);

impl ApiKeyHash {
    /// The name by which a key is listed, deleted and found in the audit. It tells nothing about the key.
    pub fn id(&self) -> String {
        let digest = Sha256::new().chain_update("runvoy key id\0").chain_update(&self.0).finalize();
        digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Compares in constant time, so that the time taken does not tell how many characters of a guess are right.
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

/// The hash under which a token that is shown once (claim, WebSocket) is stored.
pub(crate) fn token_hash(token: &str) -> String {
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
    fn debug_output_hides_the_key() {
        let key = ApiKey::generate().unwrap();
        assert!(!format!("{key:?}").contains(key.expose()));
    }
}
