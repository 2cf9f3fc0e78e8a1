//! Tells where the time of an execution went, by the times of its task.

use std::time::Duration;

use jiff::Timestamp;
use runvoy_api_types::Timing;
use serde::{Deserialize, Serialize};

/// The times that ECS tells of a task ("Task", Amazon ECS API Reference). One that has not come yet is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTimes {
    /// RunTask was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<Timestamp>,
    /// RUNNING was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping_at: Option<Timestamp>,
    /// The containers had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
}

impl TaskTimes {
    /// The parts of an execution that was asked for at this time.
    pub(super) fn timing(&self, asked_at: Timestamp) -> Timing {
        let part = |from: Option<Timestamp>, to: Option<Timestamp>| {
            let seconds = to?.duration_since(from?).as_secs_f64();
            Some((seconds.max(0.0) * 1000.0).round() / 1000.0)
        };
        // A task that starts no container has no times of some parts.
        let command_ended = self.execution_stopped_at.or(self.stopping_at);
        Timing {
            queued: part(Some(asked_at), self.created_at),
            provisioning: part(self.created_at, self.pull_started_at),
            pulling: part(self.pull_started_at, self.pull_stopped_at),
            starting: part(self.pull_stopped_at, self.started_at),
            running: part(self.started_at, command_ended),
            ending: part(command_ended, self.stopped_at),
        }
    }

    /// The time that Fargate bills: from the first pull of an image to the end.
    pub(super) fn billed(&self) -> Duration {
        let from = self.pull_started_at.or(self.started_at);
        let span = from.zip(self.stopped_at).map(|(from, to)| to.duration_since(from));
        span.and_then(|span| span.try_into().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(1_800_000_000 + second).ok()
    }

    #[test]
    fn each_part_is_told_once_it_is_over() {
        let asked = at(0).unwrap();
        let running = TaskTimes {
            created_at: at(1),
            pull_started_at: at(11),
            pull_stopped_at: at(31),
            started_at: at(33),
            ..TaskTimes::default()
        };
        let timing = Timing {
            queued: Some(1.0),
            provisioning: Some(10.0),
            pulling: Some(20.0),
            starting: Some(2.0),
            ..Timing::default()
        };
        assert_eq!(running.timing(asked), timing);
        let ended = TaskTimes { execution_stopped_at: at(93), stopping_at: at(94), stopped_at: at(121), ..running };
        assert_eq!(ended.timing(asked), Timing { running: Some(60.0), ending: Some(28.0), ..timing });
        assert_eq!(ended.billed(), Duration::from_secs(110));
    }

    #[test]
    fn a_clock_that_is_behind_makes_no_part_negative() {
        let times = TaskTimes { created_at: at(-3), ..TaskTimes::default() };
        assert_eq!(times.timing(at(0).unwrap()).queued, Some(0.0));
    }
}
