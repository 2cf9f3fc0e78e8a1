//! Runs the program itself as a process, with a folder and ports of its own.

use std::{
    io::{BufRead, BufReader, Read as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::client::Caller;

/// The longest that a program may take to end, on a machine that is busy with other tests.
const END: Duration = Duration::from_mins(2);

/// A process of `local-shim`, with its own folder and ports.
pub struct Program {
    child: Child,
    pub caller: Caller,
    /// What it printed at its start.
    pub welcome: String,
}

pub fn command(directory: &Path) -> Command {
    // The process runner is chosen, because this machine may have Docker.
    command_with(directory, "process")
}

pub fn command_with(directory: &Path, runner: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-shim"));
    command
        .args(["--runner", runner])
        .current_dir(directory)
        .env_remove("RUNVOY_LOG_LEVEL")
        .env("RUNVOY_DEV_SERVER_PORT", "0")
        .env("RUNVOY_EVENT_PROCESSOR_PORT", "0")
        .env("RUNVOY_AWS_PORT", "off")
        .stdin(Stdio::null());
    command
}

impl Program {
    pub fn start(directory: &Path) -> Self {
        Self::run(directory, command(directory))
    }

    /// Starts what `command` says and waits until it is ready.
    pub fn run(directory: &Path, mut command: Command) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut welcome = String::new();
        while !welcome.contains("curl ") {
            let line = lines.next().unwrap_or_else(|| panic!("it did not start: {}", log_of(directory)));
            welcome.push_str(&line.unwrap());
            welcome.push('\n');
        }
        let after = |mark: &str| welcome.split(mark).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        let key = std::fs::read_to_string(directory.join(".runvoy-local/admin-key")).unwrap();
        let caller = Caller::new(&after("API              "), &after("Event processor  "), key.trim());
        Self { child, caller, welcome }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end. Returns the exit code and how long it took.
    pub fn wait(mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        let status = ended(&mut self.child).expect("the program goes on");
        (status.code(), started.elapsed())
    }
}

impl Drop for Program {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn log_of(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap()
}

/// Waits for the end of a process, but not for ever: a program that hangs is one test's failure.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + END;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Runs a program that must not start, and returns its standard error.
pub fn fails(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = ended(&mut child);
    if status.is_none() {
        child.kill().unwrap();
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.expect("it started").code(), Some(1), "{said}");
    said
}
