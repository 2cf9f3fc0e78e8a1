//! Parses the names of playbooks.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Problem;

/// The name of a published playbook. It has 1 to 64 letters, digits, dots, hyphens and underscores, and begins with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlaybookName(String);

impl PlaybookName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlaybookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PlaybookName {
    type Err = Problem;

    fn from_str(name: &str) -> Result<Self, Problem> {
        let well_formed = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && name.starts_with(|first: char| first.is_ascii_alphanumeric());
        if well_formed {
            return Ok(Self(name.to_owned()));
        }
        Err(Problem::new("a playbook's name must be 1 to 64 letters, digits, dots, hyphens or underscores, and begin with a letter or digit")
            .at_field("name"))
    }
}
