//! Defines the id of a request, which each answer, log line and record carries.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Problem;

/// The Lambda request id: every answer, every log line and every record that the request writes carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// An id as Lambda hands it to the function.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// An id as a caller types it, to trace the request.
    ///
    /// # Errors
    /// A problem unless it has 1 to 128 letters, digits and hyphens. This keeps quotes out of the filter pattern that
    /// the id becomes a part of.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let well_formed =
            (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(Problem::new("a request id is 1 to 128 letters, digits and hyphens, as X-Request-Id shows it"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
