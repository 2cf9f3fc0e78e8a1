//! Finds the processes of a test's commands by how long they sleep, on Linux and macOS.

use std::process::Command;

/// Puts a command into a session of its own, out of reach of a signal to its process group. macOS has no such program.
pub const DETACH: &str = if cfg!(target_os = "linux") { "setsid " } else { "" };

/// Commands `sleep SECONDS`, of a number of seconds that no other test has, nor another run of the tests on this machine.
pub struct Sleepers {
    pub seconds: String,
}

impl Sleepers {
    /// `number` tells tests apart.
    pub fn new(number: u32) -> Self {
        Self { seconds: format!("{number}{:07}", std::process::id()) }
    }

    /// How many run.
    pub fn count(&self) -> usize {
        let listed = Command::new("ps").args(["-A", "-o", "args="]).output().unwrap();
        let wanted = format!("sleep {}", self.seconds);
        String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.trim() == wanted).count()
    }
}
