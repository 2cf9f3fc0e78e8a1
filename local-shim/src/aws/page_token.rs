//! Makes the tokens with which a list of AWS goes on after a page, and refuses those that it has not made, as AWS does.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Bytes of the digest that a token begins with. They are enough to tell a token from any other text.
const DIGEST: usize = 6;

/// The token of the page after this name.
pub(super) fn after(name: &str) -> String {
    let mut token = digest(name).to_vec();
    token.extend_from_slice(name.as_bytes());
    URL_SAFE_NO_PAD.encode(token)
}

/// The name after which the page of a token begins. `None` if the text is no token.
pub(super) fn read(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (given, name) = bytes.split_at_checked(DIGEST)?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    (digest(&name) == given).then_some(name)
}

fn digest(name: &str) -> [u8; DIGEST] {
    let mut short = [0; DIGEST];
    short.copy_from_slice(&Sha256::digest(name)[..DIGEST]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_that_was_made_is_read() {
        assert_eq!(read(&after("/runvoy/secrets/ä")), Some("/runvoy/secrets/ä".to_owned()));
        for bad in ["", "nonsense", "%%%", "bm9uc2Vuc2U", "/runvoy/secrets/a"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
