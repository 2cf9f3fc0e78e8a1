//! Parses the names of secrets.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Problem, name};

/// The name of a secret, which is also the last part of the name of its parameter. It has 1 to 128 letters, digits, dots, hyphens
/// and underscores ("PutParameter", AWS Systems Manager API Reference), and is not `.` or `..`, which clients remove from a URL's path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretName(String);

impl SecretName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SecretName {
    type Err = Problem;

    fn from_str(name: &str) -> Result<Self, Problem> {
        name::checked(name, 128).map(Self)
    }
}
