//! Tells from a task's end which status, exit code and reason its execution ends with.

use jiff::Timestamp;
use runvoy_api_types::RetryOn;

use super::{Execution, ExecutionRecord, Status, Transition, task_report::TaskReport};
use crate::image::task_definition::{RUNNER, SIDECAR};

/// The stop code of a task that was stopped by a call of StopTask.
const USER_INITIATED: &str = "UserInitiated";
/// The stop code of a task whose Spot capacity AWS has taken back.
const SPOT_INTERRUPTION: &str = "SpotInterruption";
/// The stop code of a task whose machine was taken away for another reason.
const TERMINATION_NOTICE: &str = "TerminationNotice";
/// The stop code of a task of which a container could not start.
const FAILED_TO_START: &str = "TaskFailedToStart";
/// A part of the reason of a task for which Fargate had no room after all, in lower case ("Stopped task error messages").
const NO_ROOM: &str = "capacity is unavailable";
/// The exit code of a run that has reached its time limit, of the runner and of the sidecar.
const TIMED_OUT: i32 = 124;
/// The exit code of a process that SIGKILL has ended.
const KILLED: i32 = 137;
/// The sidecar's exit code when the repository asks for credentials, and there are none.
const NO_ACCESS: i32 = 77;
/// The beginning of the reason of a stop in records of earlier versions.
const BY_EARLIER_VERSIONS: &str = "killed by ";
/// The sidecar's exit code when the repository lacks the folder of the command.
const NO_FOLDER: i32 = 66;
/// The sidecar's exit code when git could not clone the repository or find the ref.
const NOT_CLONED: i32 = 65;

/// The end of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    stop_code: Option<String>,
    /// The exit code of the container `runner`.
    exit_code: Option<i32>,
    /// The exit code of the container that clones the repository.
    sidecar_exit_code: Option<i32>,
    failure: Option<String>,
    pub(crate) at: Option<Timestamp>,
}

impl Stop {
    pub(super) fn new(report: TaskReport) -> Self {
        let code = |name: &str| report.containers.iter().find(|one| one.name == name)?.exit_code;
        let (exit_code, sidecar_exit_code) = (code(RUNNER), code(SIDECAR));
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
        Self { stop_code: report.stop_code, exit_code, sidecar_exit_code, failure, at: report.times.stopped_at }
    }

    /// The end of the task of an execution that has ended, as its record tells it.
    pub fn of(execution: &Execution) -> Self {
        Self {
            stop_code: None,
            sidecar_exit_code: None,
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
            // The limit is that of the clone and the command together.
            (Some(stop_code), None) if stop_code != SPOT_INTERRUPTION && self.sidecar_exit_code == Some(TIMED_OUT) => {
                (Status::Failed, TIMED_OUT)
            }
            (Some(FAILED_TO_START | SPOT_INTERRUPTION), _) | (_, None) => (Status::Failed, 1),
            (_, Some(0)) => (Status::Succeeded, 0),
            (_, Some(code)) => (Status::Failed, code),
        }
    }

    /// The kind of this end, for runs that are attempted again. `None` for an end that no attempt follows: a command that has succeeded, a task
    /// that was stopped by a call, and one of which it is not known whether its command ran. A command that ends well because Spot capacity
    /// is taken back has not done its work.
    fn retry_on(&self) -> Option<RetryOn> {
        let is_without_room = || self.failure.as_ref().is_some_and(|told| told.to_ascii_lowercase().contains(NO_ROOM));
        match (self.stop_code.as_deref(), self.exit_code) {
            (Some(USER_INITIATED), _) => None,
            (Some(SPOT_INTERRUPTION), _) => Some(RetryOn::Spot),
            (_, Some(0)) => None,
            (Some(TERMINATION_NOTICE), None) => Some(RetryOn::Spot),
            (_, Some(_)) => Some(RetryOn::Exit),
            (Some(FAILED_TO_START), None) if is_without_room() => Some(RetryOn::Capacity),
            (Some(FAILED_TO_START), None) => Some(RetryOn::Start),
            (_, None) => self.ended_before_command().then_some(RetryOn::Start),
        }
    }

    /// The end of a task that ECS no longer knows: an hour after it stopped, or after an event that was lost. An execution that was
    /// being stopped has been stopped.
    pub(crate) fn unknown(was: Status, now: Timestamp) -> Self {
        Self {
            stop_code: (was == Status::Terminating).then(|| USER_INITIATED.to_owned()),
            failure: Some("ECS no longer knows the task, so how it ended is unknown".to_owned()),
            at: Some(now),
            ..Self::default()
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
            stop_code: self.stop_code.clone(),
            sidecar_exit_code: self.sidecar_exit_code,
            retry_on: self.retry_on(),
            ..Transition::default()
        };
        (status, with)
    }

    /// Tells whether the command never started, because the repository could not be cloned.
    pub(crate) fn ended_before_command(&self) -> bool {
        self.exit_code.is_none() && self.sidecar_exit_code.is_some_and(|code| code != 0)
    }

    /// Tells whether the sidecar has failed and can have said why.
    pub(super) fn is_told_by_sidecar(&self) -> bool {
        self.ended_before_command() && self.sidecar_exit_code.is_some_and(|code| code < 128)
    }

    /// Tells whether the runner can have printed its last line: it has an exit code, and was not ended by SIGKILL.
    pub(crate) fn may_have_last_line(&self) -> bool {
        self.exit_code.is_some_and(|code| code != KILLED)
    }
}

impl ExecutionRecord {
    /// Tells whether the execution's task failed before its command ran.
    pub fn failed_to_start(&self) -> bool {
        self.execution.status == Status::Failed && self.stop_code.as_deref() == Some(FAILED_TO_START)
    }
}

/// A cause that users meet often ("Stopped task error messages", Amazon ECS Developer Guide).
struct Cause {
    /// A part of what ECS says, in lower case.
    mark: &'static str,
    /// The event, in words for a person.
    words: &'static str,
    /// The remedy.
    hint: &'static str,
}

const fn cause(mark: &'static str, words: &'static str, hint: &'static str) -> Cause {
    Cause { mark, words, hint }
}

/// The hint for an image of another architecture.
const WRONG_ARCHITECTURE: &str = "register it with the right runtime_platform";
/// Marks of ECS's and the runner's words for a failure, each with words for a person and a hint.
const CAUSES: [Cause; 11] = [
    cause("exec format error", "the image is built for another CPU architecture", WRONG_ARCHITECTURE),
    cause(
        "does not match the specified platform",
        "the image has no variant for this CPU architecture",
        WRONG_ARCHITECTURE,
    ),
    cause("no matching manifest", "the image has no variant for this CPU architecture", WRONG_ARCHITECTURE),
    cause(
        "cannotpullcontainererror",
        "the image cannot be pulled",
        "check the image's name, tag and registry, and whether it is public",
    ),
    cause(
        "\"/bin/sh\": stat /bin/sh: no such file",
        "the image has no /bin/sh, which runvoy needs",
        "use an image with a shell",
    ),
    cause("outofmemory", "out of memory", "register the image with more memory, or let the command use less"),
    cause("range of cpus", "the image is registered with more CPUs than this machine has", "register it with fewer"),
    cause(
        "lines of the log could not be written",
        "a part of the log could not be written",
        "free disk space, or let the command print less",
    ),
    cause("no space left on device", "no disk space was left", "free disk space, or let the command write less"),
    cause("too many open files", "the limit of open files was reached", "raise it with `ulimit -n`"),
    cause(
        "unable to pull secrets",
        "a secret has no value, or the task execution role may not read it",
        "see POST /api/v1/health/reconcile",
    ),
];

fn cause_of(told: &str) -> Option<&'static Cause> {
    let told = told.to_ascii_lowercase();
    CAUSES.iter().find(|cause| told.contains(cause.mark))
}

fn hint(told: &str) -> Option<&'static str> {
    cause_of(told).map(|cause| cause.hint)
}

/// Why an execution failed or was stopped, in words for a person. `None` for one that has succeeded or goes on.
pub(super) fn reason(record: &ExecutionRecord) -> Option<String> {
    let execution = &record.execution;
    let told = execution.stopped_reason.as_deref();
    match execution.status {
        Status::Stopped => {
            let by_someone = |told: &&str| {
                ["stopped by ", "denied by ", BY_EARLIER_VERSIONS].iter().any(|beginning| told.starts_with(beginning))
            };
            let killed = told.filter(by_someone);
            Some(killed.unwrap_or("stopped").to_owned())
        }
        Status::Failed => Some(reason_of_failure(record, told)),
        // The command has ended, and its task goes on for a moment.
        Status::Starting | Status::Running => {
            let has_failed = execution.ending.is_some_and(|ending| ending.exit_code != 0);
            has_failed.then(|| reason_of_failure(record, told))
        }
        _ => None,
    }
}

fn reason_of_failure(record: &ExecutionRecord, told: Option<&str>) -> String {
    let execution = &record.execution;
    let timed_out = || match execution.asked.timeout {
        _ if reached_deadline(record) => "its deadline passed".to_owned(),
        Some(seconds) => format!("timed out after {seconds} s"),
        None => "timed out".to_owned(),
    };
    if record.stop_code.as_deref() == Some(SPOT_INTERRUPTION) {
        return "Spot capacity was reclaimed".to_owned();
    }
    match record.sidecar_exit_code {
        None | Some(0) => {}
        Some(TIMED_OUT) => return format!("{}, while the repository was being cloned", timed_out()),
        Some(code) => {
            return record.sidecar_failure.clone().unwrap_or_else(|| failure_of_sidecar(code).to_owned());
        }
    }
    if let Some(told) = told {
        return match cause_of(told) {
            Some(cause) => format!("{}: {}", cause.words, cause.hint),
            None => told.to_owned(),
        };
    }
    let code = execution.exit_code.or(execution.ending.map(|ending| ending.exit_code)).unwrap_or(1);
    match code {
        TIMED_OUT if reached_time_limit(record) || reached_deadline(record) => timed_out(),
        126 => "a command cannot be executed (exit code 126)".to_owned(),
        127 => "a command was not found (exit code 127)".to_owned(),
        KILLED => "killed by SIGKILL, often because memory ran out (exit code 137)".to_owned(),
        129..=159 => match signal_name(code - 128) {
            Some(name) => format!("ended by {name} (exit code {code})"),
            None => format!("ended by signal {} (exit code {code})", code - 128),
        },
        code => runvoy_api_types::plain_reason(code),
    }
}

/// The reason of a sidecar's failure whose own words are not known: those of an earlier version of its script, and of one that was killed.
fn failure_of_sidecar(exit_code: i32) -> &'static str {
    match exit_code {
        NO_ACCESS => {
            "the repository asks for credentials: check its URL, or run with a secret whose key_name is GITHUB_TOKEN, GITLAB_TOKEN or GIT_TOKEN"
        }
        NOT_CLONED => "the repository could not be cloned: check the URL, the ref and the access",
        NO_FOLDER => "the repository has no such folder: check git_path",
        KILLED => "the repository could not be cloned: git was killed by SIGKILL, often because memory ran out",
        _ => "the repository could not be prepared: the log has the reason",
    }
}

/// Tells whether an execution has lasted for its time limit. A command can end with the same exit code of its own accord.
fn reached_time_limit(record: &ExecutionRecord) -> bool {
    let execution = &record.execution;
    let ended = execution.completed_at.or(execution.ending.and_then(|ending| ending.at));
    let lasted = ended.map(|at| at.duration_since(record.begun_at()).as_secs());
    execution.asked.timeout.zip(lasted).is_some_and(|(limit, lasted)| lasted >= limit.try_into().unwrap_or(i64::MAX))
}

/// Tells whether an execution has lasted until its deadline.
fn reached_deadline(record: &ExecutionRecord) -> bool {
    let execution = &record.execution;
    let ended = execution.completed_at.or(execution.ending.and_then(|ending| ending.at));
    record.deadline().zip(ended).is_some_and(|(deadline, ended)| deadline <= ended)
}

fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        6 => "SIGABRT",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
