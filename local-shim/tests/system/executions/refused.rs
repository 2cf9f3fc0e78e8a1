//! Tests of what `POST /run` and `/executions` refuse.

use axum::http::Method;
use serde_json::json;

use crate::{cases::Cases, client::System};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_command_that_ecs_carries_runs_and_one_more_character_is_refused() {
    let system = System::start().await;
    let refused = system.admin.post("/run", &json!({"command": "x".repeat(9000)})).await;
    assert_eq!(refused.status, 400);
    let details = refused.json()["details"].as_str().unwrap().to_owned();
    assert!(details.contains("8192") && details.contains("git"), "{details}");
    let needed: usize = details.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    let longest = 9000 - (needed - 8192);
    let padded = |length: usize| format!("true #{}", "x".repeat(length - 6));
    let (_, status) = system.admin.run_to_end(json!({"command": padded(longest)})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    assert_eq!(system.admin.post("/run", &json!({"command": padded(longest + 1)})).await.status, 400);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_with_a_reason_and_changes_nothing() {
    let system = System::start().await;
    let cases = [
        (json!({}), "command is required"),
        (json!({"command": " \n"}), "command is required"),
        (json!({"command": 7}), "wrong type"),
        (json!([]), "wrong type"),
        (json!({"command": "true", "image": "nowhere"}), "POST /api/v1/images/register"),
        (json!({"command": "true", "image": "Not An Image"}), "not registered"),
        (json!({"command": "true", "image": "a", "imageUri": "b"}), "mean the same"),
        (json!({"command": "true", "env": {"1A": "x"}}), "not the name of an environment variable"),
        (json!({"command": "true", "env": {"PATH": "x"}}), "reserved"),
        (json!({"command": "true", "env": {"LD_PRELOAD": "x"}}), "reserved"),
        (json!({"command": "true", "env": {"RUNVOY_COMMAND": "x"}}), "reserved"),
        (json!({"command": "true", "env": {"A": "a\u{0}b"}}), "NUL"),
        (json!({"command": "true\u{0}"}), "NUL"),
        (json!({"command": "true", "timeout": 604_801}), "timeout"),
        (json!({"command": "true", "timeout": -1}), "wrong type"),
        (json!({"command": "true", "secrets": ["nope"]}), "no secret"),
        (json!({"command": "true", "git_repo": "--upload-pack=x"}), "git_repo"),
        (json!({"command": "true", "git_path": "x"}), "git_repo"),
    ];
    let mut checked = Cases::default();
    for (body, reason) in cases {
        let refused = system.admin.post("/run", &body).await;
        let error = refused.json();
        checked.equal(&body, (refused.status.as_u16(), error["code"].as_str()), (400, Some("INVALID_REQUEST")));
        checked.contain(&body, error["details"].as_str().unwrap_or_default(), reason);
        // The field `error` has a sentence of its own, since the web app shows this field.
        checked.equal(format!("{body}: error"), error["error"] == "Bad Request", false);
    }
    checked.all_hold();
    assert_eq!(system.admin.get("/executions").await.json(), json!([]));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_object_or_too_large_is_refused() {
    let system = System::start().await;
    let mut checked = Cases::default();
    for body in ["".as_bytes(), b"{", "\u{feff}{}".as_bytes(), b"null", b"\"x\"", &[0xff, 0xfe]] {
        let refused = system.admin.request(Method::POST, "/run", &[], body.to_vec()).await;
        checked.equal(String::from_utf8_lossy(body), refused.status.as_u16(), 400);
    }
    checked.all_hold();
    let large = format!("{{\"command\": \"{}\"}}", "x".repeat(2_000_000));
    let refused = system.admin.request(Method::POST, "/run", &[], large).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (413, &json!("PAYLOAD_TOO_LARGE")));
    let beyond_lambda = system.admin.request(Method::POST, "/run", &[], vec![b' '; 6 * 1024 * 1024 + 1]).await;
    assert_eq!((beyond_lambda.status.as_u16(), &beyond_lambda.json()["code"]), (413, &json!("PAYLOAD_TOO_LARGE")));
    assert_eq!(system.admin.get("/executions").await.json(), json!([]));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_method_or_parameter_that_does_not_exist_is_refused_as_json() {
    let system = System::start().await;
    let mut checked = Cases::default();
    for (method, path, status) in [
        (Method::GET, "/executions/unknown/status", 404),
        (Method::GET, "/executions/unknown/logs", 404),
        (Method::DELETE, "/executions/unknown", 404),
        (Method::GET, "/executions/a%2F..%2Fb/status", 404),
        (Method::GET, "/executions/%FF/status", 400),
        (Method::GET, "/executions?limit=x", 400),
        (Method::GET, "/executions?limit=-1", 400),
        (Method::GET, "/executions?status=WRONG", 400),
        (Method::GET, "/executions?cursor=x", 400),
        (Method::GET, "/nowhere", 404),
        (Method::POST, "/health", 405),
        (Method::PUT, "/executions", 405),
    ] {
        let answer = system.admin.request(method.clone(), path, &[], "").await;
        let case = format!("{method} {path}");
        checked.equal(&case, answer.status.as_u16(), status);
        checked.equal(&case, answer.json()["error"].is_string(), true);
        checked.equal(&case, answer.headers.contains_key("x-request-id"), true);
        checked.equal(&case, &answer.headers["content-type"], "application/json");
    }
    checked.all_hold();
    assert_eq!(system.admin.get("/executions?limit=x").await.json()["details"], "invalid limit parameter");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_cannot_have_twice_or_in_such_numbers_is_refused() {
    let system = System::start().await;
    for name in ["one", "two"] {
        let secret = json!({"name": name, "key_name": "SAME", "value": "v"});
        assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    }
    let many: Vec<String> = (0..51).map(|number| format!("s{number}")).collect();
    let mut checked = Cases::default();
    for (body, reason) in [
        (json!({"command": "true", "secrets": ["one", "two"]}), "SAME"),
        (json!({"command": "true", "secrets": many}), "50 secrets"),
    ] {
        let refused = system.admin.post("/run", &body).await;
        checked.equal(reason, (refused.status.as_u16(), refused.json()["field"].as_str()), (400, Some("secrets")));
        checked.contain(reason, refused.json()["error"].as_str().unwrap_or_default(), reason);
    }
    checked.all_hold();
    let repeated = json!({"command": "true", "secrets": ["one", "one"]});
    assert_eq!(system.admin.run_to_end(repeated).await.1["status"], "SUCCEEDED");
    let wins = json!({"command": "true", "secrets": ["one", "two"], "env": {"SAME": "1"}});
    assert_eq!(system.admin.run_to_end(wins).await.1["status"], "SUCCEEDED");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_fit_is_told_by_the_field_and_by_what_there_can_be() {
    let system = System::start().await;
    let mut checked = Cases::default();
    for (path, body, field, words) in [
        ("/notifications", r#"{"name":"x","channel":{}}"#, "channel", "webhook, slack, email"),
        ("/schedules", r#"{"name":"x","rate":"1 hour","run":{"command":"true","timeot":5}}"#, "run.timeot", "timeout"),
        ("/schedules", r#"{"name":"x","rate":"1 hour","run":{}}"#, "run.command", "required"),
        ("/keys", r#"{"name":"x","scope":{"x":1}}"#, "scope.x", "actions, playbooks"),
        ("/run", r#"{"command":"true","on_conflict":"wait"}"#, "on_conflict", "refuse, queue"),
        ("/run", r#"{"command":"true","env":{"A":"1","A":"2"}}"#, "env.A", "twice"),
        ("/run", "", "command", "required"),
    ] {
        let refused = system.admin.request(Method::POST, path, &[], body).await;
        let error = refused.json();
        checked.equal(body, (refused.status.as_u16(), error["field"].as_str()), (400, Some(field)));
        checked.contain(body, error["details"].as_str().unwrap_or_default(), words);
    }
    checked.all_hold();
    let empty =
        json!({"command": "true", "lock": "", "slots": null, "on_conflict": "", "if": "", "timeout": 0, "image": ""});
    assert_eq!(system.admin.run_to_end(empty).await.1["status"], "SUCCEEDED");
    system.shim.shut_down().await;
}
