//! Makes the text by which the runner's last line is told from a line that a command prints.

use crate::{Result, random::random_text};

/// Random bytes of the text that proves the runner's last line: too many to be guessed.
const NONCE_BYTES: usize = 16;

/// Makes a new text that proves the runner's last line.
pub(super) fn new_nonce() -> Result<String> {
    random_text::<NONCE_BYTES>()
}
