//! Defines e-mail addresses, by which users are known.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Problem;

/// An e-mail address in lower case. It has only characters that the value of an ECS tag may have, because tasks are tagged with
/// it, and 254 characters at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = "email"))]
pub struct Email(String);

impl Email {
    /// # Errors
    /// A problem for a text that is no address, or has characters that a tag cannot have.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim().to_ascii_lowercase();
        let well_formed = text.len() <= 254
            && text.split_once('@').is_some_and(|(local, domain)| {
                (1..=64).contains(&local.len())
                    && local.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-=/".contains(&b))
                    && domain.split('.').count() >= 2
                    && domain.split('.').all(|label| {
                        !label.is_empty()
                            && !label.starts_with('-')
                            && !label.ends_with('-')
                            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    })
            });
        if well_formed {
            Ok(Self(text))
        } else {
            Err(Problem::new("email is not an address")
                .with_hint("it must look like name@example.com, with letters, digits and . _ + - = / before the @"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_lower_cased() {
        assert_eq!(Email::parse(" Ada.L+x@Example.COM ").unwrap().as_str(), "ada.l+x@example.com");
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "a b@example.com",
            "ada@-x.com",
            "a\n@x.com",
            "ada@x..com",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }
}
