//! Tests of runs that wait before they have a task.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, ContainerOverride, KeyValuePair, LaunchType, NetworkConfiguration, TaskOverride,
};
use local_shim::aws::faults::{Call, Fault};
use serde_json::{Value, json};

use crate::client::{Seen, System, TIMEOUT, connect_at_last, id, show, watch, watch_on};

/// The event that each minute brings.
pub const SWEEP: &str =
    r#"{"source": "aws.events", "detail-type": "Scheduled Event", "detail": {"runvoy_event": "sweep"}}"#;

/// Lets calls of RunTask fail this way, as many as `tries`.
pub fn fail_run_task(system: &System, fault: Fault, tries: usize) {
    let tried = AtomicUsize::new(0);
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        (call.operation == "ecs:RunTask" && tried.fetch_add(1, Ordering::Relaxed) < tries).then_some(fault)
    })));
}

/// A run that is QUEUED because Fargate has no room for it. There is room after it.
pub async fn run_without_capacity(system: &System, mut body: Value) -> String {
    fail_run_task(system, Fault::NoCapacity, usize::MAX);
    body["on_conflict"] = json!("queue");
    let answer = system.admin.post("/run", &body).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (202, &json!("QUEUED")), "{}", answer.text);
    system.shim.plan_faults(None);
    id(&answer.json())
}

/// An execution with this status whose starter died long ago, before it started a task.
pub async fn leave_without_a_task(system: &System, status: &str) -> String {
    let queued = run_without_capacity(system, json!({"command": "sleep 60", "image": "ubuntu:22.04"})).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .update_item()
        .table_name("runvoy-local-executions")
        .key("execution_id", text(&queued))
        .update_expression("SET #status = :status, starting_at = :then, start_lease_until = :over REMOVE waits_for")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":status", text(status))
        .expression_attribute_values(":then", text("2026-01-01T00:00:00.000Z"))
        .expression_attribute_values(":over", AttributeValue::N("1".to_owned()))
        .send()
        .await
        .unwrap();
    queued
}

/// An execution whose task was started by an invocation that died before it wrote down which task it is, an hour ago.
pub async fn leave_half_started(system: &System, status: &str) -> String {
    let queued = leave_without_a_task(system, status).await;
    let images = system.admin.get("/images").await.json()["images"].clone();
    let vpc = AwsVpcConfiguration::builder().subnets("subnet-1").build().unwrap();
    aws_sdk_ecs::Client::new(system.shim.sdk())
        .run_task()
        .task_definition(images[0]["task_definition_name"].as_str().unwrap())
        .cluster("runvoy-local")
        .launch_type(LaunchType::Fargate)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
        .started_by(format!("{queued}-1"))
        .overrides(
            TaskOverride::builder()
                .container_overrides(
                    ["RUNVOY_COMMAND", "RUNVOY_NONCE", "RUNVOY_ENV_NAMES", "RUNVOY_REQUEST_ID", "RUNVOY_IMAGE_ID"]
                        .into_iter()
                        .fold(ContainerOverride::builder().name("runner"), |container, name| {
                            let value = if name == "RUNVOY_COMMAND" { "sleep 60" } else { "" };
                            container.environment(KeyValuePair::builder().name(name).value(value).build())
                        })
                        .build(),
                )
                .build(),
        )
        .send()
        .await
        .unwrap();
    queued
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_capacity_starts_when_there_is_room_and_its_log_is_as_any_other() {
    let system = System::start().await;
    fail_run_task(&system, Fault::NoCapacity, usize::MAX);
    let refused = system.admin.post("/run", &json!({"command": "true"})).await;
    assert_eq!(refused.status, 503, "without on_conflict, it does not wait: {}", refused.text);

    let body = json!({"command": "echo hello; echo $COLOUR", "env": {"COLOUR": "blue"}, "on_conflict": "queue"});
    let started = system.admin.post("/run", &body).await.json();
    let queued = id(&started);
    assert!(queued.len() == 32 && queued.bytes().all(|b| b.is_ascii_hexdigit()), "{queued}");
    let shown = show(&system, &queued).await;
    assert_eq!(
        (&shown["status"], &shown["waits_for"], &shown["attempt"]),
        (&json!("QUEUED"), &json!("capacity"), &json!(1))
    );
    let listed = system.admin.get("/executions?status=QUEUED").await.json();
    assert_eq!(listed[0]["execution_id"], json!(queued));
    let logs = system.admin.get(&format!("/executions/{queued}/logs")).await.json();
    assert!(logs["events"].is_null() && logs["websocket_url"].is_string(), "{logs}");
    let url = format!("{}&status=true", started["websocket_url"].as_str().unwrap());
    let mut viewer = connect_at_last(&url).await;
    let mut seen = Seen::default();
    seen.read_until(&mut viewer, |seen| seen.frames.iter().any(|frame| frame["status"] == "QUEUED")).await;
    let viewer = tokio::spawn(watch_on(seen, viewer));

    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    assert_eq!(show(&system, &queued).await["status"], "QUEUED", "there is no room yet");
    system.shim.plan_faults(None);
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    let ended = system.admin.wait_for(&queued, "SUCCEEDED").await;
    assert_eq!(ended["exit_code"], 0);
    let log = system.admin.log(&queued).await;
    assert!(log.contains(&"hello".to_owned()) && log.contains(&"blue".to_owned()), "{log:?}");
    let seen: Seen = viewer.await.unwrap();
    assert_eq!(seen.log(), log);
    let told: Vec<&str> = seen.frames.iter().filter_map(|frame| frame["status"].as_str()).collect();
    assert_eq!((told.first(), told.last()), (Some(&"QUEUED"), Some(&"SUCCEEDED")), "{told:?}");

    // The item that leads from the task to the execution is in no list, and is no execution.
    assert_eq!(system.admin.get("/executions?limit=0").await.json().as_array().unwrap().len(), 1);
    let stream = show(&system, &queued).await["log_stream_name"].as_str().unwrap().to_owned();
    let task = stream.rsplit('/').next().unwrap();
    assert_ne!(task, queued);
    assert_eq!(system.admin.get(&format!("/executions/{task}/status")).await.status, 404);
    system.shim.shut_down().await;
}

/// Fargate has no room, or the account's quota of vCPUs is used up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_did_not_ask_to_wait_fails_for_lack_of_capacity_and_one_that_asked_keeps_its_lock() {
    let system = System::start().await;
    for (fault, reason) in [
        (Fault::NoCapacity, "AWS Fargate has no capacity for the task at this time"),
        (Fault::NoVcpus, "the account's limit of vCPUs on Fargate is reached"),
    ] {
        fail_run_task(&system, fault, usize::MAX);
        let refused = system.admin.post("/run", &json!({"command": "true"})).await;
        let body = refused.json();
        assert_eq!((refused.status.as_u16(), &body["code"]), (503, &json!("CAPACITY_UNAVAILABLE")), "{body}");
        assert!(body["error"].as_str().unwrap().starts_with(reason), "{body}");
        // A run with a lock exists before its task is started.
        let failed = system.admin.run_with(json!({"command": "true", "lock": "l"})).await;
        assert_eq!(failed["status"], "FAILED", "{failed}");
        let shown = show(&system, &id(&failed)).await;
        let told = shown["reason"].as_str().unwrap();
        assert!(told.starts_with(&format!("it could not be started: {reason}")), "{shown}");
        assert!(system.admin.log(&id(&failed)).await.last().unwrap().contains(reason));
        assert_eq!(system.admin.get("/locks/l").await.json()["held"], 0);
        let queued = system.admin.run_with(json!({"command": "true", "lock": "l", "on_conflict": "queue"})).await;
        let queued = id(&queued);
        let shown = show(&system, &queued).await;
        assert_eq!((&shown["status"], &shown["waits_for"]), (&json!("QUEUED"), &json!("capacity")), "{shown}");
        assert_eq!(system.admin.get("/locks/l").await.json()["held"], 1);
        system.shim.plan_faults(None);
        assert_eq!(system.admin.process(SWEEP).await.status, 200);
        system.admin.wait_for(&queued, "SUCCEEDED").await;
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_run_that_is_killed_never_starts_and_its_viewers_are_sent_off() {
    let system = System::start().await;
    let marker = tempfile::tempdir().unwrap().keep().join("started");
    let queued = run_without_capacity(&system, json!({"command": format!("touch {}", marker.display())})).await;
    let logs = system.admin.get(&format!("/executions/{queued}/logs")).await.json();
    let viewer = tokio::spawn(watch(connect_at_last(logs["websocket_url"].as_str().unwrap()).await));
    let killed = system.admin.delete(&format!("/executions/{queued}")).await;
    assert_eq!(
        (killed.status.as_u16(), killed.json()["message"].as_str()),
        (200, Some("Execution stopped before it started"))
    );
    let ended = show(&system, &queued).await;
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("STOPPED"), &json!(130)));
    assert!(ended["reason"].as_str().unwrap().starts_with("stopped by "), "{ended}");
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    let seen = tokio::time::timeout(TIMEOUT, viewer).await.unwrap().unwrap();
    assert_eq!(seen.close_code, Some(1000));
    let log = system.admin.log(&queued).await;
    assert_eq!((seen.messages(), log.len()), (log.clone(), 1));
    assert!(log[0].starts_with("### runvoy runner: the execution ended without a task => stopped by "), "{log:?}");
    assert_eq!(system.admin.delete(&format!("/executions/{queued}")).await.status, 204);
    assert!(!marker.exists());
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_values_must_not_be_kept_cannot_wait() {
    let system = System::start().await;
    fail_run_task(&system, Fault::NoCapacity, usize::MAX);
    for (body, field) in [
        (json!({"command": "true", "env": {"API_TOKEN": "hidden"}}), "env.API_TOKEN"),
        (json!({"command": "true", "git_repo": "https://user:hidden@example.com/r.git"}), "git_repo"),
    ] {
        let mut body = body;
        body["on_conflict"] = json!("queue");
        let refused = system.admin.post("/run", &body).await;
        assert_eq!((refused.status.as_u16(), refused.json()["field"].as_str()), (400, Some(field)), "{}", refused.text);
        assert!(refused.json()["hint"].as_str().unwrap().contains("secret"), "{}", refused.text);
        assert!(!refused.text.contains("hidden"));
    }
    system.shim.shut_down().await;
}

/// RunTask is answered late, twice, or not at all, and the sweep comes twice at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_run_starts_one_task_however_often_its_start_is_tried() {
    let system = System::start().await;
    for fault in [Fault::Lost, Fault::Fails, Fault::Throttled] {
        let count = tempfile::tempdir().unwrap().keep().join("count");
        let command = format!("echo once >> {}", count.display());
        let queued = run_without_capacity(&system, json!({"command": command})).await;
        fail_run_task(&system, fault, 3);
        let (one, other) = tokio::join!(system.admin.process(SWEEP), system.admin.process(SWEEP));
        assert!(one.status.as_u16() < 500 || other.status.as_u16() < 500 || one.status == other.status);
        system.shim.plan_faults(None);
        // An attempt that has just begun is left to the invocation that began it.
        let begun = show(&system, &queued).await;
        if begun["status"] == "STARTING" {
            age(&system, &queued).await;
        }
        tokio::join!(system.admin.process(SWEEP), system.admin.process(SWEEP));
        system.admin.wait_for(&queued, "SUCCEEDED").await;
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "once\n", "{fault:?}");
    }
    system.shim.shut_down().await;
}

/// ECS may have carried out the first try, so what it says of the others does not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_whose_first_try_had_no_answer_is_not_taken_for_one_without_room() {
    let system = System::start().await;
    let queued = run_without_capacity(&system, json!({"command": "true"})).await;
    let tried = AtomicUsize::new(0);
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        let is_start = call.operation == "ecs:RunTask";
        is_start.then(|| if tried.fetch_add(1, Ordering::Relaxed) == 0 { Fault::Fails } else { Fault::NoCapacity })
    })));
    system.admin.process(SWEEP).await;
    assert_eq!(show(&system, &queued).await["status"], "STARTING");
    // The lease of the start holds off the next.
    system.shim.plan_faults(None);
    age_but_for_lease(&system, &queued).await;
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    assert_eq!(show(&system, &queued).await["status"], "STARTING");
    age(&system, &queued).await;
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    system.admin.wait_for(&queued, "SUCCEEDED").await;
    system.shim.shut_down().await;
}

/// Lets the start of an execution, and the lease of the invocation that began it, be a while ago.
async fn age(system: &System, id: &str) {
    age_but_for_lease(system, id).await;
    change_record(system, id, "REMOVE start_lease_until", None).await;
}

async fn age_but_for_lease(system: &System, id: &str) {
    let then = AttributeValue::S("2026-01-01T00:00:00.000Z".to_owned());
    change_record(system, id, "SET starting_at = :then", Some((":then", then))).await;
}

async fn change_record(system: &System, id: &str, change: &str, value: Option<(&str, AttributeValue)>) {
    let values = value.map(|(name, value)| [(name.to_owned(), value)].into());
    aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .update_item()
        .table_name("runvoy-local-executions")
        .key("execution_id", AttributeValue::S(id.to_owned()))
        .update_expression(change)
        .set_expression_attribute_values(values)
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_killed_while_its_starter_died_is_stopped() {
    let system = System::start().await;
    let half = leave_half_started(&system, "TERMINATING").await;
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    let ended = system.admin.wait_for(&half, "STOPPED").await;
    assert_eq!(ended["exit_code"], 130);
    system.shim.shut_down().await;
}

/// As after a call of RunTask that ECS has carried out after its caller gave up: the execution gets a task whose events have passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_got_its_task_after_the_tasks_events_is_moved_on_by_the_sweep() {
    let system = System::start().await;
    let queued = run_without_capacity(&system, json!({"command": "exit 3"})).await;
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    system.admin.wait_for(&queued, "FAILED").await;
    aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .update_item()
        .table_name("runvoy-local-executions")
        .key("execution_id", AttributeValue::S(queued.clone()))
        .update_expression("SET #status = :starting REMOVE exit_code, completed_at, duration_seconds, stop_code")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":starting", AttributeValue::S("STARTING".to_owned()))
        .send()
        .await
        .unwrap();
    // The events of a start that is a moment ago may be on their way.
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    assert_eq!(show(&system, &queued).await["status"], "STARTING");
    age(&system, &queued).await;
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    let ended = show(&system, &queued).await;
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("FAILED"), &json!(3)), "{ended}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_run_whose_image_or_user_is_gone_fails_and_says_why() {
    let system = System::start().await;
    let image = system.admin.post("/images/register", &json!({"image": "gone:1"})).await.json();
    let queued = run_without_capacity(&system, json!({"command": "true", "image": "gone:1"})).await;
    let image = image["image_id"].as_str().map_or_else(|| "gone:1".to_owned(), str::to_owned);
    let deleted = system.admin.delete(&format!("/images/{image}")).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    assert_eq!(system.admin.process(SWEEP).await.status, 200);
    let ended = system.admin.wait_for(&queued, "FAILED").await;
    assert!(ended["reason"].as_str().unwrap().contains("is not registered"), "{ended}");
    let log = system.admin.log(&queued).await;
    assert!(log[0].contains("is not registered"), "{log:?}");
    system.shim.shut_down().await;
}
