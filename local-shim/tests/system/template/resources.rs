//! What the template says of services beside the functions holds for what the functions do.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{SinkExt, StreamExt};
use local_shim::{
    EVENT_PROCESSOR, ORCHESTRATOR, Settings,
    stack::{MetricFilter, Stack},
};
use runvoy_core::aws::cloudwatch_logs::{self, FilterLogEvents};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{System, connect, id, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_frame_of_a_viewer_is_answered_and_invokes_nothing() {
    let recorded = tempfile::tempdir().unwrap();
    let system =
        System::start_with(Settings { record: Some(recorded.path().to_owned()), ..Settings::ephemeral() }).await;
    let started = system.admin.run("sleep 60").await;
    system.admin.wait_for(&id(&started), "RUNNING").await;
    let mut viewer = connect(started["websocket_url"].as_str().unwrap()).await.unwrap();
    for frame in ["{\"type\":\"ping\"}", "no JSON", ""] {
        viewer.send(Message::text(frame)).await.unwrap();
        loop {
            let answer = tokio::time::timeout(Duration::from_mins(1), viewer.next()).await.unwrap().unwrap().unwrap();
            let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
            if answer.get("event_id").is_none() {
                assert_eq!(answer, json!({"type": "pong"}), "{frame:?}");
                break;
            }
        }
    }
    system.shim.shut_down().await;
    let events = std::fs::read_dir(recorded.path()).unwrap();
    let events: String = events.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(events.contains("$connect") && !events.contains("MESSAGE"), "{events}");
}

/// Tells whether a line fits a pattern of equalities and inequalities of fields, joined by `&&`.
fn fits(pattern: &str, line: &Value) -> bool {
    let terms = pattern.trim().trim_start_matches('{').trim_end_matches('}').split("&&");
    terms.map(str::trim).all(|term| {
        let (field, wanted, is_equal) = match (term.split_once(" != "), term.split_once(" = ")) {
            (Some((field, wanted)), _) => (field, wanted, false),
            (None, Some((field, wanted))) => (field, wanted, true),
            (None, None) => panic!("{term:?} is not a term that this test knows"),
        };
        let wanted: Value = serde_json::from_str(wanted.trim()).unwrap();
        let found = field.trim().trim_start_matches("$.").split('.').fold(line, |value, name| &value[name]);
        !found.is_null() && (*found == wanted) == is_equal
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_metric_counts_lines_that_the_functions_write() {
    let system = System::start().await;
    // The command prints once it has a viewer.
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let started = system.admin.run(&format!("until [ -e {} ]; do sleep 0.05; done; echo seen", go.display())).await;
    let viewer = connect(started["websocket_url"].as_str().unwrap()).await.unwrap();
    std::fs::write(&go, "").unwrap();
    watch(viewer).await;
    system.admin.wait_for(&id(&started), "SUCCEEDED").await;
    system.shim.events_handled().await;
    let mut stranger = system.admin.clone();
    stranger.key = "guessed".to_owned();
    assert_eq!(stranger.get("/me").await.status, 401);

    let logs = cloudwatch_logs::Client::new(system.shim.sdk());
    let stack = Stack::bundled(&Default::default()).unwrap();
    let mut counted = BTreeSet::new();
    let in_use = stack.metrics_in_use("runvoy/runvoy-local");
    let mut made = BTreeSet::new();
    for MetricFilter { log_group, pattern, metric, value, reference } in stack.metric_filters() {
        let all = FilterLogEvents { log_group_name: log_group.into(), ..FilterLogEvents::default() };
        let lines: Vec<Value> = logs
            .filter_log_events(all)
            .await
            .unwrap()
            .events
            .iter()
            .filter_map(|event| serde_json::from_str(&event.message).ok())
            .filter(|line| fits(pattern, line))
            .collect();
        assert!(!lines.is_empty(), "{metric}: no line fits {pattern}");
        if let Some(field) = value.strip_prefix("$.") {
            assert!(lines.iter().all(|line| line[field].as_i64() >= Some(0)), "{metric}: {lines:#?}");
        }
        counted.insert(metric);
        assert!(
            in_use.iter().any(|used| *used == reference),
            "{reference:?} is in no dashboard and no alarm: {in_use:?}"
        );
        made.insert(reference);
    }
    for used in &in_use {
        assert!(made.iter().any(|made| made == used), "no metric is {used:?}");
    }
    assert!(
        ["RefusedKeys", "EndedRuns", "FirstLineTime", "LineDelay"].iter().all(|metric| counted.contains(metric)),
        "{counted:?}"
    );
    system.shim.shut_down().await;
}

/// The sidecar sees the token of a private repository. A tag could lead to another image from one day to the next.
#[test]
fn the_image_that_clones_repositories_is_named_by_its_digest() {
    let stack = Stack::bundled(&Default::default()).unwrap();
    let environment = stack.function(ORCHESTRATOR).unwrap().environment;
    let image = environment.iter().find(|(name, _)| *name == "RUNVOY_SIDECAR_IMAGE").unwrap().1;
    let (_, digest) = image.split_once("@sha256:").unwrap_or_else(|| panic!("{image} has no digest"));
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{image}");
}

#[test]
fn the_stage_of_the_websocket_api_is_throttled_and_its_default_route_has_no_function() {
    let stack = Stack::bundled(&Default::default()).unwrap();
    let stages: Vec<&Value> = stack.of_kind("AWS::ApiGatewayV2::Stage").collect();
    assert_eq!(stages.len(), 1);
    let settings = &stages[0]["DefaultRouteSettings"];
    // An account takes 10,000 requests a second, and a burst of 5,000 ("Amazon API Gateway quotas").
    for (name, most) in [("ThrottlingRateLimit", 10_000.0), ("ThrottlingBurstLimit", 5_000.0)] {
        let limit = settings[name].as_f64().unwrap_or_default();
        assert!(limit > 0.0 && limit < most, "{name}: {settings}");
    }
    assert_eq!(stack.mock_answer("$default").as_deref(), Some(r#"{"type":"pong"}"#));
    assert_eq!(stack.mock_answer("$connect"), None);
    let route = stack.of_kind("AWS::ApiGatewayV2::Route").find(|route| route["RouteKey"] == "$default").unwrap();
    assert_eq!(route["RouteResponseSelectionExpression"], "$default", "without it, API Gateway sends no answer");
}

/// What an account pays for a flood is bounded by how many invocations there are at once.
#[test]
fn the_concurrency_of_each_function_is_a_parameter_of_the_stack() {
    let template = include_str!("../../../../template.yaml");
    for (function, parameter) in [(ORCHESTRATOR, "Api"), (EVENT_PROCESSOR, "Event")] {
        let of_function = template.split(&format!("\n  {function}:\n")).nth(1).unwrap();
        let reserved =
            of_function.lines().find(|line| line.trim().starts_with("ReservedConcurrentExecutions:")).unwrap();
        let wanted = format!("!If [Has{parameter}Concurrency, !Ref {parameter}Concurrency, !Ref AWS::NoValue]");
        assert!(reserved.ends_with(&wanted), "{function}: {reserved}");
        assert!(template.contains(&format!("\n  {parameter}Concurrency:\n    Type: Number\n")), "{parameter}");
        let condition = format!("Has{parameter}Concurrency: !Not [!Equals [!Ref {parameter}Concurrency, 0]]");
        assert!(template.replace('"', "").contains(&condition), "{condition}");
    }
}

#[test]
fn many_requests_without_a_valid_key_raise_an_alarm() {
    let stack = Stack::bundled(&Default::default()).unwrap();
    let filter = stack.metric_filters().into_iter().find(|filter| filter.metric == "RefusedKeys").unwrap();
    assert!(filter.log_group.contains("orchestrator"), "{}", filter.log_group);
    for (status, is_counted) in [(401, true), (403, false), (200, false)] {
        assert_eq!(fits(filter.pattern, &json!({"message": "answered", "status": status})), is_counted, "{status}");
    }
    let alarm = stack.of_kind("AWS::CloudWatch::Alarm").find(|alarm| alarm["MetricName"] == "RefusedKeys").unwrap();
    let namespace = stack
        .of_kind("AWS::Logs::MetricFilter")
        .map(|filter| &filter["MetricTransformations"][0])
        .find(|metric| metric["MetricName"] == "RefusedKeys")
        .map(|metric| &metric["MetricNamespace"]);
    assert_eq!(Some(&alarm["Namespace"]), namespace);
    assert_eq!((&alarm["Statistic"], &alarm["ComparisonOperator"]), (&json!("Sum"), &json!("GreaterThanThreshold")));
    assert!(alarm["Threshold"].as_f64().is_some_and(|threshold| threshold >= 1.0), "{alarm}");
    assert_eq!(alarm["AlarmActions"].as_array().map(Vec::len), Some(1), "{alarm}");
}
