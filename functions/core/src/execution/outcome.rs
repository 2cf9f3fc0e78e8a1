//! Tells from a task's end which status, exit code and reason its execution ends with.

use jiff::Timestamp;

use super::{Execution, Status, Transition, task::TaskReport};
use crate::image::task_definition::RUNNER;

/// The stop code of a task that was stopped by a call of StopTask.
const USER_INITIATED: &str = "UserInitiated";

/// How a task ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    stop_code: Option<String>,
    /// The exit code of the container `runner`.
    exit_code: Option<i32>,
    failure: Option<String>,
    pub(crate) at: Option<Timestamp>,
}

impl Stop {
    pub(super) fn new(report: TaskReport) -> Self {
        let exit_code = report.containers.iter().find(|one| one.name == RUNNER).and_then(|runner| runner.exit_code);
        let of_containers = report.containers.into_iter().filter_map(|one| {
            Some(format!("container {}: {}", one.name, one.reason.filter(|reason| !reason.is_empty())?))
        });
        let reasons: Vec<String> =
            report.stopped_reason.into_iter().filter(|reason| !reason.is_empty()).chain(of_containers).collect();
        let reason = Some(reasons.join("; ")).filter(|reason| !reason.is_empty());
        let of_its_own = report.stop_code.as_deref() == Some("EssentialContainerExited") && exit_code.is_some();
        let failure = reason.and_then(|reason| match hint(&reason) {
            Some(hint) => Some(format!("{reason}; {hint}")),
            // ECS says of every task that its essential container exited.
            None if of_its_own && !reason.contains("container runner:") => None,
            None => Some(reason),
        });
        Self { stop_code: report.stop_code, exit_code, failure, at: report.stopped_at }
    }

    /// The end of the task of an execution that has ended, as its record tells it.
    pub fn of(execution: &Execution) -> Self {
        Self {
            stop_code: None,
            exit_code: execution.exit_code,
            failure: execution.stopped_reason.clone(),
            at: execution.completed_at,
        }
    }

    /// The end of a task of which only the time is known.
    pub(crate) fn at(at: Timestamp) -> Self {
        Self { at: Some(at), ..Self::default() }
    }

    /// Why the task ended, when it was not its command that ended it, with a hint where the cause is a frequent one.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The end status and the exit code that this end means for the execution.
    fn outcome(&self) -> (Status, i32) {
        match (self.stop_code.as_deref(), self.exit_code) {
            (Some(USER_INITIATED), _) => (Status::Stopped, 130),
            (Some("TaskFailedToStart"), _) | (_, None) => (Status::Failed, 1),
            (_, Some(0)) => (Status::Succeeded, 0),
            (_, Some(code)) => (Status::Failed, code),
        }
    }

    /// The end of a task that ECS no longer knows: an hour after it stopped, or after an event that was lost. An execution that was
    /// being stopped has been stopped.
    pub(crate) fn unknown(was: Status, now: Timestamp) -> Self {
        Self {
            stop_code: (was == Status::Terminating).then(|| USER_INITIATED.to_owned()),
            exit_code: None,
            failure: Some("ECS no longer knows the task, so how it ended is unknown".to_owned()),
            at: Some(now),
        }
    }

    /// The end status of the execution, and what is written with it. `started_at` is the task's start, or the request's time for a
    /// task that never started.
    pub(crate) fn transition(&self, started_at: Timestamp, now: Timestamp) -> (Status, Transition) {
        let (status, exit_code) = self.outcome();
        let ended = self.at.unwrap_or(now);
        let with = Transition {
            exit_code: Some(exit_code),
            completed_at: Some(ended),
            duration_seconds: Some(ended.duration_since(started_at).as_secs().max(0)),
            stopped_reason: self.failure.clone(),
            request_id: None,
        };
        (status, with)
    }

    /// Whether the runner can have printed its last line: it has an exit code, and was not ended by SIGKILL (137).
    pub(crate) fn may_have_last_line(&self) -> bool {
        self.exit_code.is_some_and(|code| code != 137)
    }
}

/// What to do about a reason that users meet often ("Stopped task error messages", Amazon ECS Developer Guide).
fn hint(reason: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 11] = [
        (
            "exec format error",
            "the image is built for another CPU architecture: register it with the right runtime_platform",
        ),
        (
            "does not match the specified platform",
            "the image has no variant for this CPU architecture: register it with the right runtime_platform",
        ),
        (
            "no matching manifest",
            "the image has no variant for this CPU architecture: register it with the right runtime_platform",
        ),
        ("CannotPullContainerError", "check the image's name, tag and registry, and whether it is public"),
        (
            "\"/bin/sh\": stat /bin/sh: no such file",
            "the image has no /bin/sh, which runvoy needs: use an image with a shell",
        ),
        ("OutOfMemory", "register the image with more memory, or let the command use less"),
        ("range of CPUs", "the image is registered with more CPUs than this machine has"),
        ("lines of the log could not be written", "free disk space, or let the command print less"),
        ("no space left on device", "free disk space, or let the command write less"),
        ("too many open files", "the limit of open files is reached: raise it with `ulimit -n`"),
        (
            "unable to pull secrets",
            "a secret has no value, or the task execution role may not read it: see POST /api/v1/health/reconcile",
        ),
    ];
    let reason = reason.to_ascii_lowercase();
    HINTS.iter().find(|(mark, _)| reason.contains(&mark.to_ascii_lowercase())).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::super::task::ContainerReport;
    use super::*;

    fn outcome(stop_code: &str, exit_code: Option<i32>) -> (Status, i32) {
        Stop { stop_code: Some(stop_code.to_owned()), exit_code, ..Stop::default() }.outcome()
    }

    #[test]
    fn a_tasks_end_means_what_the_contract_says() {
        assert_eq!(outcome("UserInitiated", Some(0)), (Status::Stopped, 130));
        assert_eq!(outcome("UserInitiated", None), (Status::Stopped, 130));
        assert_eq!(outcome("TaskFailedToStart", None), (Status::Failed, 1));
        assert_eq!(outcome("EssentialContainerExited", Some(0)), (Status::Succeeded, 0));
        assert_eq!(outcome("EssentialContainerExited", Some(42)), (Status::Failed, 42));
        assert_eq!(outcome("EssentialContainerExited", None), (Status::Failed, 1));
        assert_eq!(outcome("SpotInterruption", None), (Status::Failed, 1));
    }

    #[test]
    fn why_a_task_failed_is_told_when_it_was_not_its_command_that_ended_it() {
        let stop = |stop_code: &str, reason: &str, exit_code: Option<i32>, container: Option<&str>| {
            Stop::new(TaskReport {
                stop_code: Some(stop_code.to_owned()),
                stopped_reason: Some(reason.to_owned()),
                containers: vec![ContainerReport {
                    name: RUNNER.to_owned(),
                    exit_code,
                    reason: container.map(str::to_owned),
                }],
                ..TaskReport::default()
            })
            .failure()
            .map(str::to_owned)
        };
        let exited = "Essential container in task exited";
        assert_eq!(stop("EssentialContainerExited", exited, Some(7), None), None);
        let killed = stop("EssentialContainerExited", exited, Some(137), Some("OutOfMemoryError: killed")).unwrap();
        assert!(killed.contains("container runner: OutOfMemoryError") && killed.contains("more memory"), "{killed}");
        let pull = stop("TaskFailedToStart", "CannotPullContainerError: pull access denied", None, None).unwrap();
        assert!(pull.starts_with("CannotPull") && pull.contains("check the image's name"), "{pull}");
        assert_eq!(stop("SpotInterruption", "interrupted", None, None).as_deref(), Some("interrupted"));
    }
}
