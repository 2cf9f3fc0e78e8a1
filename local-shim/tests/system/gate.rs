//! Runs of commands that go on until a test opens a gate.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::{System, id};

/// A command that goes on until a file is there, and the file.
pub fn gate() -> (String, PathBuf) {
    let gate = tempfile::tempdir().unwrap().keep().join("gate");
    (format!("until [ -e {} ]; do sleep 0.02; done", gate.display()), gate)
}

pub fn open(gate: &Path) {
    std::fs::write(gate, "").unwrap();
}

/// A run that was accepted, and the answer.
pub async fn run_of(system: &System, command: &str, more: Value) -> (String, Value) {
    let mut body = more;
    body["command"] = json!(command);
    let answer = system.admin.run_with(body).await;
    (id(&answer), answer)
}
