//! Parses the names of schedules.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Problem;

/// The name of a schedule, which is also its name in EventBridge Scheduler. It has 1 to 64 letters, digits, dots, hyphens and
/// underscores ("CreateSchedule", EventBridge Scheduler API Reference), and is not `.` or `..`, which clients remove from a URL's path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScheduleName(String);

impl ScheduleName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ScheduleName {
    type Err = Problem;

    fn from_str(name: &str) -> Result<Self, Problem> {
        let well_formed =
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if well_formed && ![".", ".."].contains(&name) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Problem::new(
                "name must be 1 to 64 letters, digits, dots, hyphens or underscores, and not just `.` or `..`",
            )
            .at_field("name"))
        }
    }
}
