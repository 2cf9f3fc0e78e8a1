//! Sizes of single runs, Fargate Spot, the parts of an execution's life, and its cost.

use std::collections::BTreeMap;

use local_shim::Settings;
use serde_json::{Value, json};

use crate::client::{System, id};

async fn with_spot(value: &str) -> System {
    System::start_with(settings_with_spot(value)).await
}

fn settings_with_spot(value: &str) -> Settings {
    Settings { overrides: BTreeMap::from([("RUNVOY_SPOT".to_owned(), value.to_owned())]), ..Settings::ephemeral() }
}

/// The task of an execution, as ECS describes it.
async fn task(system: &System, id: &str) -> aws_sdk_ecs::types::Task {
    let ecs = aws_sdk_ecs::Client::new(system.shim.sdk());
    let described = ecs.describe_tasks().cluster("runvoy-local").tasks(id).send().await.unwrap();
    described.tasks.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_may_have_a_size_of_its_own_and_be_on_spot() {
    let system = with_spot("true").await;
    let body = json!({"command": "true", "cpu": 1024, "memory": 3072, "disk": 50, "spot": true});
    let (id, _) = system.admin.run_to_end(body).await;
    let task = task(&system, &id).await;
    assert_eq!((task.cpu(), task.memory()), (Some("1024"), Some("3072")));
    assert_eq!(task.ephemeral_storage().unwrap().size_in_gib(), 50);
    assert_eq!((task.capacity_provider_name(), task.launch_type()), (Some("FARGATE_SPOT"), None));
    let shown = system.admin.get(&format!("/executions/{id}")).await.json();
    for (field, expected) in [("cpu", json!(1024)), ("memory", json!(3072)), ("disk", json!(50)), ("spot", json!(true))]
    {
        assert_eq!((&shown[field], &shown["request"][field]), (&expected, &expected), "{field}");
    }
    // The image's own size is that of other runs.
    let (other, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    assert_eq!(self::task(&system, &other).await.cpu(), Some("256"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_spot_capacity_is_reclaimed_says_so() {
    let system = System::start_with(Settings { chaos: Some(5), ..settings_with_spot("true") }).await;
    // A command that ends well after SIGTERM has not done its work either.
    let body = json!({"command": "trap 'echo warned; exit 0' TERM; sleep 60 & wait", "spot": true});
    let (id, ended) = system.admin.run_to_end(body).await;
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("FAILED"), &json!("Spot capacity was reclaimed")));
    let task = task(&system, &id).await;
    assert_eq!(task.stop_code().map(aws_sdk_ecs::types::TaskStopCode::as_str), Some("SpotInterruption"));
    let log = system.admin.log(&id).await;
    assert!(log.contains(&"warned".to_owned()), "{log:#?}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_that_fargate_does_not_have_is_refused_by_its_field() {
    let system = with_spot("").await;
    for (body, field) in [
        (json!({"cpu": 300}), "cpu"),
        // The image has 512 MiB.
        (json!({"cpu": 1024}), "memory"),
        (json!({"memory": 1536}), "memory"),
        (json!({"disk": 20}), "disk"),
        (json!({"disk": 201}), "disk"),
        (json!({"spot": true}), "spot"),
    ] {
        let mut body = body;
        body["command"] = json!("true");
        let refused = system.admin.post("/run", &body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!(field)), "{}", refused.text);
    }
    assert_eq!(system.admin.get("/executions").await.json(), json!([]));
    // Zero, and no, mean the same as absent.
    let body = json!({"command": "true", "cpu": 0, "memory": 0, "disk": 0, "spot": false});
    system.admin.run_to_end(body).await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_tells_where_its_time_went_and_what_it_cost() {
    let system = System::start().await;
    let started = system.admin.run("sleep 2").await;
    let path = format!("/executions/{}", id(&started));
    system.admin.wait_for(&id(&started), "RUNNING").await;
    let running = system.admin.get(&path).await.json();
    assert!(running["timing"]["queued"].is_number() && running["timing"]["running"].is_null(), "{running}");
    assert!(running["cost_estimate_usd"].is_null());
    system.admin.wait_for(&id(&started), "SUCCEEDED").await;
    let ended = system.admin.get(&path).await.json();
    let seconds = |part: &str| ended["timing"][part].as_f64().unwrap_or_else(|| panic!("{part}: {ended}"));
    for part in ["queued", "provisioning", "pulling", "starting", "ending"] {
        assert!((0.0..5.0).contains(&seconds(part)), "{part}: {ended}");
    }
    assert!((1.9..6.4).contains(&seconds("running")), "{ended}");
    // A minute at least, of a quarter of a vCPU and half a GiB in us-east-1, on this machine's architecture.
    let cost = if cfg!(target_arch = "aarch64") { 0.00016 } else { 0.00021 };
    assert_eq!(ended["cost_estimate_usd"], json!(cost));
    let listed: Value = system.admin.get("/executions").await.json();
    assert_eq!(listed[0]["timing"], ended["timing"]);
    system.shim.shut_down().await;
}
