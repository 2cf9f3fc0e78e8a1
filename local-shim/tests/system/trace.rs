//! Tests of `GET /trace/{request_id}`.

use std::time::Duration;

use axum::http::Method;
use local_shim::{ORCHESTRATOR, aws::faults::Call};
use serde_json::{Value, json};

use crate::{
    client::{MovedClock, System},
    program::{self, Program},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_traced_to_its_lines_and_to_what_it_changed() {
    let system = System::start().await;
    let admin = &system.admin;
    let answer = admin.post("/run", &json!({"command": "sleep 60"})).await;
    let request = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    let id = crate::client::id(&answer.json());
    let trace = admin.get(&format!("/trace/{request}")).await;
    assert_eq!(trace.status, 200, "{}", trace.text);
    let trace = trace.json();
    let lines: Vec<&str> =
        trace["logs"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert!(lines.iter().any(|line| line.contains("execution started") && line.contains(&id)), "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains(&request)), "{lines:#?}");
    assert_eq!(trace["related_resources"]["executions"][0]["execution_id"], json!(id));
    assert!(trace["related_resources"].get("users").is_none());

    // A kill is another request, and it changed the same execution.
    admin.wait_for(&id, "RUNNING").await;
    let killed = admin.delete(&format!("/executions/{id}")).await;
    let request = killed.headers["x-request-id"].to_str().unwrap().to_owned();
    let trace = admin.get(&format!("/trace/{request}")).await.json();
    assert_eq!(trace["related_resources"]["executions"][0]["execution_id"], json!(id));

    let created = admin.post("/users/create", &json!({"email": "new@example.com", "role": "viewer"})).await;
    let request = created.headers["x-request-id"].to_str().unwrap().to_owned();
    let trace = admin.get(&format!("/trace/{request}")).await;
    assert_eq!(trace.json()["related_resources"]["users"][0]["email"], "new@example.com");
    assert!(!trace.text.contains(created.json()["claim_token"].as_str().unwrap()), "no token in a log");

    let unknown = admin.get("/trace/00000000-0000-4000-8000-000000000000").await.json();
    assert_eq!(unknown, json!({"logs": [], "related_resources": {}}));
    assert_eq!(admin.get("/trace/local-shim").await.status, 200, "what the first start creates");
    let [almost, longer] = ["00000000-0000-4000-8000-00000000000g", "00000000-0000-4000-8000-0000000000000"];
    for bad in ["%22%20%3F", &"x".repeat(200), "0", "-1", "message", "INFO", almost, longer] {
        assert_eq!(admin.get(&format!("/trace/{bad}")).await.status, 400);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_the_address_that_aws_saw_and_not_one_that_the_caller_writes() {
    let system = System::start().await;
    let forged = [("x-forwarded-for", "203.0.113.7"), ("x-real-ip", "203.0.113.8")];
    let answer = system.admin.request(Method::GET, "/users", &forged, "").await;
    let request = answer.headers["x-request-id"].to_str().unwrap();
    let trace = system.admin.get(&format!("/trace/{request}")).await;
    assert!(trace.text.contains("127.0.0.1") && !trace.text.contains("203.0.113"), "{}", trace.text);
    let lines: Vec<Value> = trace.json()["logs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| serde_json::from_str(line["message"].as_str().unwrap()).ok())
        .collect();
    let answered = lines.iter().find(|line| line["message"] == "answered").expect("a line for the request");
    assert_eq!(
        (&answered["span"]["user"], &answered["route"]),
        (&json!("admin@runvoy.local"), &json!("/api/v1/users"))
    );
    assert!(answered["span"]["key_id"].as_str().is_some_and(|id| id.len() == 16), "{answered}");
    system.shim.shut_down().await;
}

/// The lines would be more than Lambda takes for an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_with_too_many_lines_is_cut_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program::command(folder.path());
    command.args(["--log-level", "error,orchestrator=trace"]);
    let program = Program::run(folder.path(), command);
    let admin = &program.caller;
    let request = "11111111-1111-4111-8111-111111111111";
    // Each of these is refused, and logged with its event.
    let command = format!("{request} {}", "x".repeat(200_000));
    for _ in 0..40 {
        admin.post("/run", &json!({"command": command, "timeout": 0})).await;
    }
    let trace = admin.get(&format!("/trace/{request}")).await;
    assert_eq!(trace.status, 200, "{}", trace.text);
    assert!(trace.text.len() < 3_000_000, "{} bytes", trace.text.len());
    let trace = trace.json();
    assert_eq!(trace["is_cut"], json!(true));
    assert!(!trace["logs"].as_array().unwrap().is_empty());
}

/// CloudWatch reads all lines of a span of time for a search, and months of them take longer than a request may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_request_is_traced_by_a_search_around_its_own_time() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    let admin = &system.admin;
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    // What this request did is in the audit only.
    let read = admin.get("/secrets/s").await;
    let request = read.headers["x-request-id"].to_str().unwrap().to_owned();
    clock.move_on(Duration::from_hours(960));
    let searches = || system.shim.aws_calls(ORCHESTRATOR).get("logs:FilterLogEvents").copied().unwrap_or_default();
    let before = searches();
    let trace = admin.get(&format!("/trace/{request}")).await.json();
    assert!(!trace["logs"].as_array().unwrap().is_empty(), "{trace}");
    assert_eq!(searches() - before, 2, "one for each function");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_for_a_request_without_a_time_ends_and_says_how_far_it_came() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    let moved = clock.clone();
    system.shim.plan_faults(Some(std::sync::Arc::new(move |call: Call<'_>| {
        if call.operation == "logs:FilterLogEvents" {
            moved.move_on(Duration::from_secs(4));
        }
        None
    })));
    let trace = system.admin.get("/trace/00000000-0000-4000-8000-000000000000").await.json();
    assert_eq!(trace["logs"], json!([]));
    let since: jiff::Timestamp = trace["searched_since"].as_str().unwrap().parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(since).as_hours();
    assert!((23..=24).contains(&age), "{age} hours");
    system.shim.shut_down().await;
}
