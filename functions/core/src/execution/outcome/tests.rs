//! Tests of what the ends of tasks mean.

use super::super::task_report::ContainerReport;
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
fn each_end_of_a_task_is_of_one_kind_or_is_final() {
    let end = |stop_code: &str, exit_code: Option<i32>, sidecar_exit_code: Option<i32>, failure: Option<&str>| {
        let (stop_code, failure) = (Some(stop_code.to_owned()), failure.map(str::to_owned));
        Stop { stop_code, exit_code, sidecar_exit_code, failure, at: None }.retry_on()
    };
    let room = "Capacity is unavailable at this time. Please try again later or in a different availability zone";
    for (found, expected) in [
        (end("EssentialContainerExited", Some(3), None, None), Some(RetryOn::Exit)),
        (end("EssentialContainerExited", Some(124), Some(0), None), Some(RetryOn::Exit)),
        (end("EssentialContainerExited", Some(0), None, None), None),
        (end("EssentialContainerExited", None, Some(65), Some("x")), Some(RetryOn::Start)),
        (end("EssentialContainerExited", None, None, Some("x")), None),
        (end("UserInitiated", Some(143), None, Some("stopped by a@example.com")), None),
        (end("SpotInterruption", Some(143), None, Some("interrupted")), Some(RetryOn::Spot)),
        (end("SpotInterruption", None, None, Some("interrupted")), Some(RetryOn::Spot)),
        (end("SpotInterruption", Some(0), None, Some("interrupted")), Some(RetryOn::Spot)),
        (end("TerminationNotice", None, None, Some("the machine was stopped")), Some(RetryOn::Spot)),
        (end("TaskFailedToStart", None, None, Some("CannotPullContainerError: x")), Some(RetryOn::Start)),
        (end("TaskFailedToStart", None, None, Some(room)), Some(RetryOn::Capacity)),
        (Stop::unknown(Status::Running, Timestamp::UNIX_EPOCH).retry_on(), None),
    ] {
        assert_eq!(found, expected);
    }
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

#[test]
fn a_failure_has_a_reason_in_words() {
    let record = |exit_code: i32, more: serde_json::Value| {
        let mut item = serde_json::json!({
            "execution_id": "a", "created_by": "a@example.com", "owned_by": [], "command": "x", "image_id": "i",
            "started_at": "2026-01-02T03:04:05.000Z", "completed_at": "2026-01-02T03:04:08.000Z", "status": "FAILED",
            "exit_code": exit_code, "created_by_request_id": "", "modified_by_request_id": "", "cloud": "AWS",
        });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<ExecutionRecord>(item).unwrap()
    };
    let pull = "CannotPullContainerError: pull access denied; check";
    for (exit_code, more, expected) in [
        (3, serde_json::json!({}), "the command ended with exit code 3"),
        (127, serde_json::json!({}), "a command was not found (exit code 127)"),
        (143, serde_json::json!({}), "ended by SIGTERM (exit code 143)"),
        (124, serde_json::json!({"timeout": 2}), "timed out after 2 s"),
        (124, serde_json::json!({"timeout": 60}), "the command ended with exit code 124"),
        (124, serde_json::json!({}), "the command ended with exit code 124"),
        (
            1,
            serde_json::json!({"timeout": 2, "sidecar_exit_code": 124, "stopped_reason": "x"}),
            "timed out after 2 s, while",
        ),
        (1, serde_json::json!({"sidecar_exit_code": 65, "stopped_reason": "x"}), "the repository could not be cloned"),
        (1, serde_json::json!({"sidecar_exit_code": 77}), "the repository asks for credentials"),
        (1, serde_json::json!({"stop_code": "SpotInterruption"}), "Spot capacity was reclaimed"),
        (1, serde_json::json!({"stopped_reason": pull}), "the image cannot be pulled: check"),
        (137, serde_json::json!({"stopped_reason": "container runner: OutOfMemoryError"}), "out of memory: "),
        (1, serde_json::json!({"stopped_reason": "something else"}), "something else"),
    ] {
        let reason = reason(&record(exit_code, more.clone())).unwrap();
        assert!(reason.starts_with(expected), "{more}: {reason}");
    }
    let stopped = serde_json::json!({"status": "STOPPED", "stopped_reason": "stopped by a@example.com"});
    assert_eq!(reason(&record(130, stopped)).unwrap(), "stopped by a@example.com");
    assert_eq!(reason(&record(0, serde_json::json!({"status": "SUCCEEDED"}))), None);
    let ending = serde_json::json!({
        "status": "RUNNING", "exit_code": null, "completed_at": null, "timeout": 2,
        "ending": {"exit_code": 124, "at": "2026-01-02T03:04:08.000Z"},
    });
    assert_eq!(reason(&record(0, ending)).unwrap(), "timed out after 2 s");
}
