//! Tests of events: what each does, whatever their order and however often they come.

use std::io::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_runtime::{Context, LambdaEvent};
use local_shim::{AwsPort, Settings};
use proptest::{prelude::*, test_runner::TestRunner};
use runvoy_core::{App, config::Config};
use serde_json::{Value, json};

use crate::{
    client::{System, connect, id, watch},
    common::events::{log_batch, task_running, task_stopped},
};

const EXAMPLE: &str = include_str!("../../../examples/ecs-task-completion.json");
const PLACEHOLDER: &str = "0123456789abcdef0123456789abcdef";

/// The example event, with the id of this execution.
fn example(id: &str) -> Value {
    serde_json::from_str(&EXAMPLE.replace(PLACEHOLDER, id)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_event_moves_a_real_execution_to_its_end() {
    let system = System::start().await;
    let id = id(&system.admin.run("sleep 60").await);
    system.admin.wait_for(&id, "RUNNING").await;
    let processed = system.admin.process(example(&id).to_string()).await;
    assert_eq!((processed.status.as_u16(), processed.json()), (200, json!({"status": "processed"})));
    let status = system.admin.wait_for(&id, "SUCCEEDED").await;
    assert_eq!((&status["exit_code"], &status["completed_at"]), (&json!(0), &json!("2026-01-15T10:32:20.000Z")));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_end_of_a_task_has_its_status_and_exit_code() {
    let system = System::start().await;
    for (stop_code, exit, status, code) in [
        ("UserInitiated", Some(143), "STOPPED", 130),
        ("TaskFailedToStart", None, "FAILED", 1),
        ("EssentialContainerExited", Some(0), "SUCCEEDED", 0),
        ("EssentialContainerExited", Some(7), "FAILED", 7),
        ("EssentialContainerExited", None, "FAILED", 1),
    ] {
        let id = id(&system.admin.run("sleep 60").await);
        let processed = system.admin.process(task_stopped(&id, stop_code, exit).to_string()).await;
        assert_eq!(processed.status, 200, "{}", processed.text);
        let ended = system.admin.get(&format!("/executions/{id}/status")).await.json();
        assert_eq!((&ended["status"], &ended["exit_code"]), (&json!(status), &json!(code)), "{stop_code} {exit:?}");
    }
    system.shim.shut_down().await;
}

/// The type of the library for the whole event unpacks it without a bound, so the function unpacks it by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_unpacks_to_more_than_cloudwatch_sends_is_refused() {
    let system = System::start().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..65 {
        gzip.write_all(&vec![b' '; 1024 * 1024]).unwrap();
    }
    let event = json!({"awslogs": {"data": STANDARD.encode(gzip.finish().unwrap())}});
    let refused = system.admin.process(event.to_string()).await;
    let details = refused.json()["details"].as_str().unwrap().to_owned();
    assert!(refused.status == 500 && details.contains("67108864 bytes"), "{details}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_event_is_refused_and_one_of_another_system_is_ignored() {
    let system = System::start().await;
    let health = system
        .admin
        .send(axum::http::Request::get(format!("{}/health", system.admin.events)).body("".into()).unwrap())
        .await;
    assert_eq!(health.json(), json!({"status": "ok", "component": "async-processor"}));
    for body in ["", "nonsense", "{", "\u{0}"] {
        let refused = system.admin.process(body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("INVALID_REQUEST")), "{body}");
    }
    assert_eq!(system.admin.process(vec![b' '; 6 * 1024 * 1024 + 1]).await.status, 413);
    let bad_arn = {
        let mut event = example("x");
        event["detail"]["taskArn"] = json!("x");
        event
    };
    for event in [
        json!({}),
        json!([]),
        json!(null),
        json!(7),
        json!({"Records": []}),
        json!({"Records": [{"eventSource": "aws:sqs"}]}),
        json!({"awslogs": {"data": "!"}}),
        json!({"awslogs": {"data": STANDARD.encode("x")}}),
        bad_arn,
        json!({"source": "aws.ecs", "detail-type": "ECS Task State Change"}),
        json!({"Records": [{"eventSource": "aws:dynamodb", "eventName": "INSERT"}]}),
    ] {
        let failed = system.admin.process(event.to_string()).await;
        assert_eq!(failed.status, 500, "{event}: {}", failed.text);
        assert!(failed.json()["details"].is_string());
    }
    for event in [
        example(PLACEHOLDER),
        serde_json::from_str(include_str!("../../../examples/cloudwatch-logs-batch.json")).unwrap(),
        json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}),
    ] {
        let ignored = system.admin.process(event.to_string()).await;
        assert_eq!((ignored.status.as_u16(), ignored.json()), (200, json!({"status": "processed"})), "{event}");
    }
    let connect = system.admin.process(include_str!("../../../examples/websocket-event.json")).await;
    assert_eq!((connect.status.as_u16(), connect.json()), (200, json!({"statusCode": 401})));
    assert_eq!(system.admin.get("/executions").await.json(), json!([]));
    system.shim.shut_down().await;
}

/// Checks an asynchronous property on a running system.
fn check<T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    property: impl AsyncFn(&System, T) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let system = runtime.block_on(System::start());
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 50, ..ProptestConfig::default() };
    TestRunner::new(config).run(&strategy, |value| runtime.block_on(property(&system, value))).unwrap();
    runtime.block_on(system.shim.shut_down());
}

#[test]
fn an_execution_ends_the_same_for_every_order_and_repetition_of_its_events() {
    // 0 is RUNNING, 1 is STOPPED, and there is at least one STOPPED. With `true`, all are delivered at the same time.
    let orders =
        (prop::collection::vec(0..2_u8, 1..6).prop_filter("ends", |events| events.contains(&1)), any::<bool>());
    check(24, orders, async |system, (events, at_once)| {
        let id = id(&system.admin.run("sleep 60").await);
        let deliver = async |event: &u8| {
            let event =
                if *event == 0 { task_running(&id) } else { task_stopped(&id, "EssentialContainerExited", Some(5)) };
            system.admin.process(event.to_string()).await.status.as_u16()
        };
        if at_once {
            let statuses = futures_util::future::join_all(events.iter().map(deliver)).await;
            prop_assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        } else {
            for event in &events {
                prop_assert_eq!(deliver(event).await, 200);
            }
        }
        let ended = system.admin.get(&format!("/executions/{id}/status")).await.json();
        prop_assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("FAILED"), &json!(5)));
        Ok(())
    });
}

#[test]
fn every_viewer_sees_every_line_once_however_batches_are_cut_repeated_and_reordered() {
    // Batches of 40 lines, cut anywhere, overlapping, repeated, in any order, and some at the same time.
    let cuts = prop::collection::vec((0..40_usize, 1..15_usize), 0..12);
    let deliveries = (cuts, any::<bool>(), any::<u64>());
    check(24, deliveries, async |system, (cuts, at_once, shuffle)| {
        let lines: Vec<(usize, String)> = (0..40).map(|n| (n, format!("crafted {n}"))).collect();
        let started = system.admin.run("sleep 60").await;
        let id = id(&started);
        let url = started["websocket_url"].as_str().unwrap().to_owned();
        system.admin.wait_for(&id, "RUNNING").await;
        let early = tokio::spawn(watch(connect(&url).await.unwrap()));
        // All lines are delivered once more in order, so that every line is delivered at least once.
        let mut batches: Vec<&[(usize, String)]> =
            cuts.iter().map(|(from, length)| &lines[*from..(from + length).min(lines.len())]).collect();
        batches.extend(lines.chunks(7));
        let mut random = shuffle;
        for at in (1..batches.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            batches.swap(at, (random >> 33) as usize % (at + 1));
        }
        let deliver =
            async |lines: &&[(usize, String)]| system.admin.process(log_batch(&id, lines).to_string()).await.status;
        if at_once {
            for group in batches.chunks(5) {
                let statuses = futures_util::future::join_all(group.iter().map(deliver)).await;
                prop_assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
            }
        } else {
            for batch in &batches {
                prop_assert_eq!(deliver(batch).await, 200);
            }
        }
        let late = tokio::spawn(watch(connect(&format!("{url}&batch=true")).await.unwrap()));
        system.admin.delete(&format!("/executions/{id}")).await;
        system.admin.wait_for(&id, "STOPPED").await;
        let (early, late) = (early.await.unwrap(), late.await.unwrap());
        prop_assert_eq!(early.lines(), late.lines(), "one order for all");
        for seen in [&early, &late] {
            let mut crafted: Vec<String> =
                seen.messages().into_iter().filter(|line| line.starts_with("crafted")).collect();
            prop_assert_eq!(crafted.len(), lines.len());
            crafted.sort();
            crafted.dedup();
            prop_assert_eq!(crafted.len(), lines.len());
            prop_assert_eq!(&seen.frames.last().unwrap()["type"], &json!("disconnect"));
        }
        let stored: Vec<String> =
            system.admin.log(&id).await.into_iter().filter(|line| line.starts_with("crafted")).collect();
        prop_assert_eq!(stored, lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>(), "in order when read back");
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_creates_an_admin_once() {
    let system = System::start().await;
    let event = include_str!("../../../examples/create-admin.json");
    let made = system.admin.process_with_key(event).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(made.json()["email"], "first-admin@example.com");
    let url = made.json()["claim_url"].as_str().unwrap().to_owned();
    let path = made.json()["claim_path"].as_str().unwrap().to_owned();
    assert_eq!(url, format!("http://localhost:{}{path}", system.shim.orchestrator.port()));
    let claimed = system.admin.get(&path).await.json();
    let mut admin = system.admin.clone();
    admin.key = claimed["api_key"].as_str().unwrap().to_owned();
    assert_eq!(admin.get("/users").await.status, 200);
    // The same event again creates no second admin, and the answer says so.
    let again = system.admin.process_with_key(event).await;
    assert_eq!(again.status, 500);
    assert!(again.text.contains("exists already"), "{}", again.text);
    let bad = json!({"source": "runvoy", "detail-type": "Create Admin", "detail": {"email": "no-address"}});
    assert_eq!(system.admin.process_with_key(bad.to_string()).await.status, 500);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_acts_for_a_person_needs_the_key_of_an_admin() {
    let system = System::start().await;
    let operator = system.user("operator", "op@example.com").await;
    let mut unknown = system.admin.clone();
    unknown.key = "not-a-key".to_owned();
    let event = |source: &str, kind: &str| {
        json!({"source": source, "detail-type": kind, "detail": {"email": "evil@example.com"}}).to_string()
    };
    let twice = event("runvoy", "Create Admin").replacen('{', "{\"source\": \"aws.ecs\", ", 1);
    for body in [event("runvoy", "Create Admin"), event("runvoy", "Schedule"), twice] {
        let refused = system.admin.process(body.clone()).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (401, &json!("UNAUTHORIZED")), "{body}");
        assert_eq!(unknown.process_with_key(body.clone()).await.status, 401, "{body}");
        let refused = operator.process_with_key(body.clone()).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!("FORBIDDEN")), "{body}");
    }
    let users = system.admin.get("/users").await.text;
    assert!(!users.contains("evil@example.com"), "{users}");
    // Each refusal of someone who is known is in the audit, that of a limited key of an admin, and of a revoked one too.
    let made = system.admin.post("/keys", &json!({"name": "ci", "scope": {"actions": ["users:create"]}})).await;
    let limited = system.admin.with_key(made.json()["api_key"].as_str().unwrap());
    assert_eq!(limited.process_with_key(event("runvoy", "Create Admin")).await.status, 403);
    assert_eq!(system.admin.post("/users/revoke", &json!({"email": "op@example.com"})).await.status, 200);
    assert_eq!(operator.process_with_key(event("runvoy", "Create Admin")).await.status, 401);
    let refused = system.admin.get("/audit?outcome=refused").await.json()["entries"].clone();
    let refused: Vec<String> = refused
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(entry["key_id"].is_string() && entry["source_address"] == "127.0.0.1", "{entry}");
            let text = |field: &str| entry[field].as_str().unwrap().to_owned();
            let resource = text("resource");
            format!("{} {} {}", text("actor"), text("action"), resource.split(':').next().unwrap())
        })
        .collect();
    let by_operator = "op@example.com events:send event";
    let expected =
        ["op@example.com keys:use key", "admin@runvoy.local events:send event", by_operator, by_operator, by_operator];
    assert_eq!(refused, expected);
    // Events of AWS's own services need none.
    assert_eq!(system.admin.process(EXAMPLE).await.status, 200);
    assert_eq!(system.admin.process_with_key(event("runvoy", "Create Admin")).await.status, 200);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_in_another_process_reaches_the_viewers_of_this_one() {
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let environment = &system.shim.function_environment;
    let sdk = runvoy_core::aws::sdk_settings()
        .endpoint_url(&environment["AWS_ENDPOINT_URL"])
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(system.credentials())
        .load()
        .await;
    let app = App::new(Config::from_lookup(|name| environment.get(name).cloned()).unwrap(), &sdk);
    let started = system.admin.run("sleep 60").await;
    let id = id(&started);
    system.admin.wait_for(&id, "RUNNING").await;
    let viewer = connect(started["websocket_url"].as_str().unwrap()).await.unwrap();
    let watching = tokio::spawn(watch(viewer));
    for event in [log_batch(&id, &[(1, "from another process".to_owned())]), example(&id)] {
        event_processor::handle(&app, LambdaEvent::new(event, Context::default())).await.unwrap();
    }
    let seen = watching.await.unwrap();
    assert!(seen.messages().contains(&"from another process".to_owned()), "{seen:?}");
    assert_eq!(seen.close_code, Some(1000));

    let path = format!("{}/@connections/any", environment["RUNVOY_WEBSOCKET_API_ENDPOINT"]);
    let unsigned = system.admin.send(axum::http::Request::post(path).body("{}".into()).unwrap()).await;
    assert_eq!(unsigned.status, 403, "{}", unsigned.text);
    system.shim.shut_down().await;
}
