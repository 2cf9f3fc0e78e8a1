//! Defines the id of a request, which each answer, log line and record carries.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Problem;

/// Characters of a UUID with its hyphens.
const UUID_LENGTH: usize = 36;
/// The request id of what the local system creates at its first start, without a request.
const LOCAL_SYSTEM: &str = "local-shim";

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
    /// A problem unless it is a UUID, as all ids of Lambda are, or the id of what the local system does at its start. The id becomes a part
    /// of a filter pattern, which must not match every line.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let is_uuid = text.len() == UUID_LENGTH
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if is_uuid || text == LOCAL_SYSTEM {
            Ok(Self(text.to_owned()))
        } else {
            Err(Problem::new("a request id is a UUID, as X-Request-Id shows it"))
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
