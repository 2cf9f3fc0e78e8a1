//! Defines the statuses of executions, and which may follow which.

use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::Problem;

/// The state of an execution.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Status {
    /// It waits until people have approved it. It has no task.
    Waiting,
    /// It waits for its turn, for capacity, or for its next attempt. It has no task.
    Queued,
    /// Its task is being started.
    Starting,
    Running,
    Terminating,
    Succeeded,
    Failed,
    Stopped,
}

impl Status {
    /// Tells whether the execution has ended: no other status can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }

    /// Tells whether the execution has no task: it waits, and its end is not that of a task.
    pub fn is_without_task(self) -> bool {
        matches!(self, Self::Waiting | Self::Queued)
    }

    /// Tells whether an event may move an execution from this status to `next`. The event of a task's end may arrive before that of its
    /// start, so every end status can follow every status that is not one.
    pub fn can_become(self, next: Self) -> bool {
        match next {
            Self::Waiting => false,
            // An attempt that failed may be followed by another one, for which the execution waits again.
            Self::Queued => matches!(self, Self::Waiting | Self::Starting | Self::Running),
            Self::Starting => matches!(self, Self::Waiting | Self::Queued),
            Self::Running => self == Self::Starting,
            Self::Terminating => matches!(self, Self::Starting | Self::Running),
            Self::Succeeded | Self::Failed | Self::Stopped => !self.is_terminal(),
        }
    }
}

/// As an attribute of an item.
impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.to_string()
    }
}

impl std::str::FromStr for Status {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let named = Self::VARIANTS.iter().find(|status| <&str>::from(*status) == text);
        named.copied().ok_or_else(|| {
            let all: Vec<&str> = Self::VARIANTS.iter().map(Into::into).collect();
            Problem::new(format!("status {text:?} is none of {}", all.join(", "))).at_field("status")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_an_end_state() {
        for from in Status::VARIANTS.iter().filter(|status| status.is_terminal()) {
            for to in Status::VARIANTS {
                assert!(!from.can_become(*to), "{from} → {to}");
            }
        }
    }

    #[test]
    fn a_status_moves_only_along_the_contracts_arrows() {
        use Status::*;
        for &to in Status::VARIANTS {
            let from: Vec<Status> = Status::VARIANTS.iter().copied().filter(|from| from.can_become(to)).collect();
            let expected: &[Status] = match to {
                Waiting => &[],
                Queued => &[Waiting, Starting, Running],
                Starting => &[Waiting, Queued],
                Running => &[Starting],
                Terminating => &[Starting, Running],
                Succeeded | Failed | Stopped => &[Waiting, Queued, Starting, Running, Terminating],
            };
            assert_eq!(from, expected, "→ {to}");
        }
    }
}
