//! Tests how the program ends when it lacks a setting, or when its AWS is not there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

fn start(variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_event-processor"));
    let Output { status, stderr, .. } = command.env_clear().envs(variables.iter().copied()).output().unwrap();
    (status.success(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_missing_setting_is_named_in_one_line_with_what_to_do() {
    let (started, said) = start(&[]);
    assert!(!started);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("RUNVOY_EXECUTIONS_TABLE is not set") && said.contains("just run-local"), "{said}");
}

#[test]
fn an_aws_that_does_not_answer_is_named_in_one_line_with_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (started, said) = start(&[("AWS_ENDPOINT_URL", &endpoint)]);
    assert!(!started);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&endpoint) && said.contains("just run-local"), "{said}");
}
