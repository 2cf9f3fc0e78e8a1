//! Runs commands whose answers are lost on the way, or come from a program that is not runvoy.

use crate::prelude::*;

const ID: &str = "0123456789abcdef0123456789abcdef";
/// An answer of `canned` that closes the connection in its place.
const LOST: (u16, &str) = (0, "");
const NOT_FOUND: (u16, &str) = (404, r#"{"error": "there is none", "code": "NOT_FOUND"}"#);

/// Runs a command at a server that gives these answers to one request each. Returns the exit code, standard output and standard error.
fn at(answers: &[(u16, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let (endpoint, _) = canned(answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect());
    let home = tempfile::tempdir().unwrap();
    let mut command = bare(home.path(), arguments);
    let output = command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k").output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_is_not_there_after_a_lost_answer_is_removed() {
    for arguments in [
        &["secrets", "delete", "--yes", "x"][..],
        &["images", "unregister", "--yes", "x"],
        &["playbook", "delete", "--yes", "x"],
        &["schedules", "delete", "--yes", "x"],
        &["notifications", "delete", "--yes", "x"],
        &["keys", "delete", "--yes", "x"],
    ] {
        for lost in [LOST, (502, "")] {
            let (code, out, err) = at(&[lost, NOT_FOUND], arguments);
            assert_eq!((code, out.as_str()), (Some(0), "It is not there any more\n"), "{arguments:?}: {err}");
        }
        let (code, _, err) = at(&[NOT_FOUND, (200, r#"{"images": []}"#)], arguments);
        assert_eq!(code, Some(125), "{arguments:?}: {err}");
    }
    let (code, _, err) = at(&[LOST, NOT_FOUND], &["kill", ID]);
    assert_eq!(code, Some(125), "an execution's record stays: {err}");
}

#[test]
fn a_change_whose_answer_is_lost_is_said_to_be_uncertain() {
    let commands = [
        &["secrets", "create", "x", "X", "value"][..],
        &["images", "register", "alpine:3.22"],
        &["users", "create", "a@example.com", "--role", "viewer"],
        &["users", "revoke", "--yes", "a@example.com"],
        &["keys", "create", "x"],
        &["notifications", "rotate", "x"],
    ];
    for arguments in commands {
        for lost in [LOST, (502, "<html>Bad Gateway</html>"), (504, "")] {
            let (code, out, err) = at(&[lost], arguments);
            assert_eq!((code, out.as_str()), (Some(125), ""), "{arguments:?}: {err}");
            assert!(err.contains("it may have been done all the same: look before"), "{arguments:?}: {err}");
        }
    }
}

#[test]
fn an_answer_of_another_program_is_no_success() {
    let page = "<!doctype html><title>Log in to the network</title>";
    for arguments in [
        &["kill", ID][..],
        &["status", ID],
        &["list"],
        &["describe", ID],
        &["logs", ID],
        &["run", "-d", "-i", "x", "true"],
        &["secrets", "delete", "--yes", "x"],
        &["secrets", "create", "x", "X", "value"],
        &["users", "revoke", "--yes", "a@example.com"],
        &["approve", ID],
    ] {
        let (code, out, err) = at(&[(200, page)], arguments);
        assert_eq!((code, out.as_str()), (Some(125), ""), "{arguments:?}: {err}");
        assert!(err.contains("the answer is not runvoy's: it is a page"), "{arguments:?}: {err}");
    }
    let (_, out, err) = at(&[(200, page)], &["version"]);
    assert!(!out.contains("server") && err.contains("does not answer as runvoy's API does"), "{out}{err}");
    let (code, out, err) = at(&[(200, page), (200, page)], &["doctor"]);
    assert_eq!(code, Some(125), "{out}{err}");
    let wrong: Vec<&str> = out.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert!(
        matches!(wrong[..], [connection, key] if connection.contains("connection") && key.contains("key")),
        "{out}"
    );
}

#[test]
fn a_log_that_nobody_follows_is_given_up_when_the_server_does_not_answer() {
    let (code, out, err) = at(&[(502, ""); 20], &["logs", ID]);
    assert_eq!((code, out.as_str()), (Some(125), ""), "{err}");
    assert!(err.contains("502"), "{err}");
}
