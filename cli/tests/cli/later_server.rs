//! Tests of answers that only a later server gives.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{prelude::*, reworded::altering_proxy};

/// Replaces the status of each execution in an answer.
fn replace_status(answer: &mut Value, status: &str) {
    match answer {
        Value::Array(entries) => entries.iter_mut().for_each(|entry| replace_status(entry, status)),
        Value::Object(fields) if fields.contains_key("execution_id") => {
            fields.insert("status".to_owned(), json!(status));
        }
        _ => {}
    }
}

#[test]
fn a_status_that_the_program_does_not_know_is_shown_as_it_is_and_is_no_end() {
    let system = System::start();
    system.prints(&["run", "true"]);
    let port = system.shim.as_ref().unwrap().orchestrator.port();
    let proxy = altering_proxy(port, |answer| replace_status(answer, "HIBERNATING"));
    let through = |proxy: u16, arguments: &[&str]| {
        let mut command = system.command(arguments);
        let output = command.env("RUNVOY_ENDPOINT", format!("http://localhost:{proxy}")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    for arguments in [&["list"][..], &["describe", "@last"], &["status", "@last"]] {
        let shown = through(proxy, arguments);
        assert!(shown.contains("HIBERNATING") && !shown.contains("SUCCEEDED"), "{arguments:?}: {shown}");
    }
    let listed = through(proxy, &["list", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()[0]["status"], "HIBERNATING");

    // The program asks until the status is an end.
    let id = system.json(&["list", "-o", "json"])[0]["execution_id"].as_str().unwrap().to_owned();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let proxy = altering_proxy(port, move |answer| {
        if count.fetch_add(1, Ordering::Relaxed) < 2 {
            replace_status(answer, "HIBERNATING");
        }
    });
    let shown = through(proxy, &["status", &id, "--wait"]);
    assert!(shown.contains("SUCCEEDED"), "{shown}");
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn a_server_of_another_version_is_told_once_and_one_of_the_same_is_not() {
    let me = json!({"email": "a@example.com", "role": "viewer", "permissions": []}).to_string();
    let list = "[]".to_owned();
    let headers = || "X-Runvoy-Version: 99.0.0\r\n".to_owned();
    let (endpoint, _) = canned_with_headers(vec![(200, headers(), me), (200, headers(), list)]);
    let home = tempfile::tempdir().unwrap();
    let mut command = bare(home.path(), &["list", "--mine", "-o", "json"]);
    let output = command.env("RUNVOY_ENDPOINT", endpoint).env("RUNVOY_API_KEY", "k").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).trim()), (Some(0), "[]"), "{said}");
    assert_eq!(said.matches("the server 99.0.0").count(), 1, "{said}");

    let system = System::start();
    let output = system.run(&["list", "--mine"]);
    assert!(!text(&output.stderr).contains("the server"), "{}", text(&output.stderr));
}
