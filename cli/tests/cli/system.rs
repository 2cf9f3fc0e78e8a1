//! Starts a local system, and the program against it.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use local_shim::{Settings, Shim};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A local system, and a home folder without a configuration.
pub(crate) struct System {
    pub(crate) runtime: Runtime,
    pub(crate) shim: Option<Shim>,
    pub(crate) home: TempDir,
    pub(crate) endpoint: String,
    pub(crate) key: String,
}

impl System {
    pub(crate) fn start() -> Self {
        Self::start_with(Settings::ephemeral())
    }

    pub(crate) fn start_with(settings: Settings) -> Self {
        let runtime = local_shim::runtime().unwrap();
        let shim = runtime.block_on(Shim::start(settings)).unwrap();
        Self {
            endpoint: format!("http://localhost:{}", shim.orchestrator.port()),
            key: shim.admin_key.expose().to_owned(),
            shim: Some(shim),
            runtime,
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Keeps tasks from ending after their commands, until it is called with `false`.
    pub(crate) fn hold_task_ends(&self, hold: bool) {
        self.shim.as_ref().unwrap().hold_task_ends(hold);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(self.home.path(), arguments);
        command.env("RUNVOY_ENDPOINT", &self.endpoint).env("RUNVOY_API_KEY", &self.key);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command prints that succeeds.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(arguments)).unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(shim) = self.shim.take() {
            self.runtime.block_on(shim.shut_down());
        }
    }
}

/// The program with nothing of this process's environment.
pub(crate) fn bare(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runvoy"));
    command.args(arguments).env_clear().env("HOME", home).current_dir(home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn numbers(to: u32) -> String {
    (1..=to).map(|number| format!("{number}\n")).collect()
}

pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits for the end of a program, and kills one that does not end.
pub(crate) fn end_of(mut child: Child) -> Output {
    let deadline = Instant::now() + Duration::from_mins(1);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end: {}", text(&child.wait_with_output().unwrap().stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
