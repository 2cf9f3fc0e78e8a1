//! Tests of `POST /health/reconcile`, and of the hourly event that does the same.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ecs::types::ContainerDefinition;
use axum::http::Method;
use local_shim::Settings;
use runvoy_core::aws::ssm::{self, NewParameter};
use serde_json::{Value, json};

use crate::client::{Caller, MovedClock, System, TIMEOUT};

async fn reconcile(caller: &Caller) -> Value {
    let answer = caller.request(Method::POST, "/health/reconcile", &[], "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    assert_eq!(answer["status"], "ok");
    answer["report"].clone()
}

/// Severity, kind and id of each issue.
fn issues(report: &Value) -> Vec<(String, String, String)> {
    let text = |issue: &Value, key: &str| issue[key].as_str().unwrap().to_owned();
    let issues = report["issues"].as_array().unwrap();
    issues
        .iter()
        .map(|issue| (text(issue, "severity"), text(issue, "resource_type"), text(issue, "resource_id")))
        .collect()
}

fn issue(severity: &str, kind: &str, id: &str) -> (String, String, String) {
    (severity.to_owned(), kind.to_owned(), id.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_system_reconciles_without_a_finding() {
    let system = System::start().await;
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let started = system.admin.run_with(json!({"command": "sleep 60", "secrets": ["s"]})).await;
    system.admin.wait_for(&crate::client::id(&started), "RUNNING").await;
    insta::assert_json_snapshot!(crate::stable::stable(reconcile(&system.admin).await));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_mends_what_it_can_and_reports_the_rest() {
    let system = System::start().await;
    let admin = &system.admin;
    let sdk = system.shim.sdk();
    let (dynamodb, ecs, ssm) =
        (aws_sdk_dynamodb::Client::new(sdk), aws_sdk_ecs::Client::new(sdk), ssm::Client::new(sdk));
    let images = admin.get("/images").await.json()["images"].clone();
    let (first, second) = (&images[0], &images[1]);
    let family = |image: &Value| image["task_definition_name"].as_str().unwrap().to_owned();
    for name in ["kept", "lost"] {
        let secret = json!({"name": name, "key_name": "S", "value": "v"});
        assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    }

    // One task definition is removed, one gets a wrong tag, and one is registered that no image knows.
    ecs.deregister_task_definition().task_definition(format!("{}:1", family(first))).send().await.unwrap();
    let described = ecs.describe_task_definition().task_definition(family(second)).send().await.unwrap();
    let definition = described.task_definition.unwrap();
    let tag = aws_sdk_ecs::types::Tag::builder().key("IsDefault").value("true").build();
    ecs.tag_resource().resource_arn(definition.task_definition_arn.unwrap()).tags(tag).send().await.unwrap();
    ecs.register_task_definition()
        .family("runvoy-image-runvoy-local_orphan")
        .cpu("256")
        .memory("512")
        .set_container_definitions(definition.container_definitions)
        .send()
        .await
        .unwrap();
    // A secret's value is removed, and a value is stored that no secret refers to.
    ssm.delete("/runvoy-local/secrets/lost".to_owned()).await.unwrap();
    let name = "/runvoy-local/secrets/stray".to_owned();
    ssm.put(NewParameter { name, value: "v".to_owned(), ..NewParameter::default() }).await.unwrap();
    // An execution whose task is gone, one that was being stopped, and a user whose role does not exist.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (id, status) in [("gone", "RUNNING"), ("stopping", "TERMINATING"), ("young", "STARTING")] {
        let started =
            if id == "young" { jiff::Timestamp::now().to_string() } else { "2026-01-01T00:00:00.000Z".into() };
        let put = dynamodb.put_item().table_name("runvoy-local-executions");
        put.item("execution_id", text(id))
            .item("status", text(status))
            .item("started_at", text(&started))
            .item("started_key", text(&format!("{started}#{id}")))
            .item("listing", text("executions"))
            .item("command", text("sleep 1"))
            .item("image_id", text("x"))
            .item("created_by", text("unknown@example.com"))
            .item("owned_by", AttributeValue::L(vec![text("unknown@example.com")]))
            .item("created_by_request_id", text("r"))
            .item("modified_by_request_id", text("r"))
            .item("cloud", text("AWS"))
            .item("log_sequence", AttributeValue::N("0".to_owned()))
            .item("viewers", AttributeValue::N("0".to_owned()))
            .send()
            .await
            .unwrap();
    }
    let put = dynamodb.put_item().table_name("runvoy-local-users").item("email", text("odd@example.com"));
    put.item("role", text("emperor")).send().await.unwrap();

    let report = reconcile(admin).await;
    let found = issues(&report);
    let id = |image: &Value| image["image_id"].as_str().unwrap().to_owned();
    for expected in [
        issue("info", "image", &id(first)),
        issue("info", "image", &id(second)),
        issue("warning", "task_definition", "runvoy-image-runvoy-local_orphan"),
        issue("error", "secret", "lost"),
        issue("warning", "parameter", "/runvoy-local/secrets/stray"),
        issue("info", "execution", "gone"),
        issue("info", "execution", "stopping"),
        issue("error", "user", "odd@example.com"),
        issue("warning", "execution", "gone"),
    ] {
        assert!(found.contains(&expected), "{expected:?} is not among {found:#?}");
    }
    assert_eq!(report["compute_status"]["recreated_count"], 1);
    assert_eq!(report["compute_status"]["tag_updated_count"], 1);
    assert_eq!(report["compute_status"]["orphaned_resources"], json!(["runvoy-image-runvoy-local_orphan"]));
    assert_eq!(report["secrets_status"]["missing_count"], 1);
    assert_eq!(report["secrets_status"]["orphaned_parameters"], json!(["/runvoy-local/secrets/stray"]));
    assert_eq!(report["identity_status"]["default_roles_verified"], true);
    assert_eq!(report["authorizer_status"]["users_with_invalid_roles"], json!(["odd@example.com"]));
    assert_eq!((&report["reconciled_count"], &report["error_count"]), (&json!(4), &json!(0)));
    let repairs = admin.get("/audit?actor=admin@runvoy.local&action=health:repair").await.json();
    assert_eq!(repairs["entries"].as_array().unwrap().len(), 4, "{repairs}");
    for (id, status, exit_code) in
        [("gone", "FAILED", json!(1)), ("stopping", "STOPPED", json!(130)), ("young", "STARTING", json!(null))]
    {
        let now = admin.get(&format!("/executions/{id}/status")).await.json();
        assert_eq!((&now["status"], &now["exit_code"]), (&json!(status), &exit_code), "{id}");
    }
    admin.run_to_end(json!({"command": "true", "image": "ubuntu:22.04"})).await;

    let again = reconcile(admin).await;
    assert_eq!(again["reconciled_count"], 0, "{again:#}");
    assert!(!issues(&again).iter().any(|(severity, ..)| severity == "info"), "what was mended stays mended");
    // The stray value is reported, and not deleted.
    assert_eq!(again["secrets_status"]["orphaned_count"], 1);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_definition_of_another_version_is_replaced_by_the_next_start_too() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings { data_dir: Some(directory.path().join("data")), ..Settings::ephemeral() };
    let mut system = System::start_with(settings()).await;
    let image = system.admin.get("/images").await.json()["images"][0].clone();
    let family = image["task_definition_name"].as_str().unwrap();
    let latest = async |system: &System| {
        let ecs = aws_sdk_ecs::Client::new(system.shim.sdk());
        let described = ecs.describe_task_definition().task_definition(family).send().await.unwrap();
        described.task_definition.unwrap().container_definitions.unwrap()
    };
    let mode = |container: &ContainerDefinition| {
        let options = container.log_configuration.as_ref().and_then(|logs| logs.options.as_ref());
        options.and_then(|options| options.get("mode")).is_some_and(|mode| mode == "blocking")
    };
    for restart in [false, true] {
        let mut containers = latest(&system).await;
        for container in &mut containers {
            // In this mode ECS drops lines that come too fast.
            container.log_configuration.as_mut().unwrap().options.as_mut().unwrap().remove("mode").unwrap();
        }
        let ecs = aws_sdk_ecs::Client::new(system.shim.sdk());
        let register = ecs.register_task_definition().family(family).cpu("256").memory("512");
        register.set_container_definitions(Some(containers)).send().await.unwrap();
        assert!(!latest(&system).await.iter().any(mode));
        if restart {
            system.shim.shut_down().await;
            system = System::start_with(settings()).await;
        } else {
            let report = reconcile(&system.admin).await;
            assert_eq!(report["compute_status"]["recreated_count"], 1, "{report:#}");
        }
        let deadline = Instant::now() + TIMEOUT;
        while !latest(&system).await.iter().all(mode) {
            assert!(Instant::now() < deadline, "it was not replaced");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hourly_event_reconciles_as_the_route_does() {
    let system = System::start().await;
    let image = system.admin.get("/images").await.json()["images"][0].clone();
    let family = image["task_definition_name"].as_str().unwrap();
    let ecs = aws_sdk_ecs::Client::new(system.shim.sdk());
    ecs.deregister_task_definition().task_definition(format!("{family}:1")).send().await.unwrap();
    let event = |detail: Value| json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": detail});
    let other = system.admin.process(event(json!({})).to_string()).await;
    assert_eq!(other.status, 200);
    assert!(ecs.describe_task_definition().task_definition(family).send().await.is_err(), "not ours to handle");
    let hourly = system.admin.process(event(json!({"runvoy_event": "health_reconcile"})).to_string()).await;
    assert_eq!((hourly.status.as_u16(), hourly.json()), (200, json!({"status": "processed"})));
    ecs.describe_task_definition().task_definition(family).send().await.unwrap();
    system.shim.shut_down().await;
}

/// A run may last a week, and the event of its end may fail for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_run_that_lasted_for_days_is_completed_too() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    let (id, _) = system.admin.run_to_end(json!({"command": "echo hello"})).await;
    system.shim.events_handled().await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let started = (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(6 * 24)).to_string();
    dynamodb
        .update_item()
        .table_name("runvoy-local-executions")
        .key("execution_id", text(&id))
        .update_expression("SET started_at = :at, started_key = :key")
        .expression_attribute_values(":at", text(&started))
        .expression_attribute_values(":key", text(&format!("{started}#{id}")))
        .send()
        .await
        .unwrap();
    // No line has ever been stored.
    let stored = dynamodb
        .query()
        .table_name("runvoy-local-execution-logs")
        .key_condition_expression("execution_id = :id")
        .expression_attribute_values(":id", text(&id))
        .send()
        .await
        .unwrap();
    for item in stored.items() {
        let delete = dynamodb.delete_item().table_name("runvoy-local-execution-logs").key("execution_id", text(&id));
        delete.key("sequence", item["sequence"].clone()).send().await.unwrap();
    }
    let delete = dynamodb.delete_item().table_name("runvoy-local-log-heads").key("execution_id", text(&id));
    delete.send().await.unwrap();
    clock.move_on(Duration::from_mins(30));
    let report = reconcile(&system.admin).await;
    assert!(issues(&report).contains(&issue("info", "execution", &id)), "{report:#}");
    assert_eq!(reconcile(&system.admin).await["reconciled_count"], 0);
    assert!(system.admin.log(&id).await.contains(&"hello".to_owned()));
    system.shim.shut_down().await;
}
