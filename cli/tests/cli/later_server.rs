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
