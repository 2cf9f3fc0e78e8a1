//! Hashes requests and settings, so that equal ones are recognized.

use sha2::{Digest, Sha256};

/// The SHA-256 of these bytes, in hexadecimal digits.
pub(super) fn hash(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
