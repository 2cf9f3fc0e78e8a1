//! Parses the names of schedules.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Problem, name};

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
        name::checked(name, 64).map(Self)
    }
}
