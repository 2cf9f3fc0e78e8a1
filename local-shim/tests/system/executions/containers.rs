//! The containers of runs, with and without a repository.

use aws_sdk_ecs::types::{ContainerDefinition, TaskDefinition};
use axum::http::Method;
use serde_json::{Value, json};

use crate::client::{System, id};

/// The task definition that an execution's task was started from.
async fn definition(system: &System, started: &Value) -> TaskDefinition {
    let ecs = aws_sdk_ecs::Client::new(system.shim.sdk());
    let tasks = ecs.describe_tasks().cluster("runvoy-local").tasks(id(started)).send().await.unwrap();
    let arn = tasks.tasks()[0].task_definition_arn().unwrap().to_owned();
    ecs.describe_task_definition().task_definition(arn).send().await.unwrap().task_definition.unwrap()
}

fn container<'a>(definition: &'a TaskDefinition, name: &str) -> Option<&'a ContainerDefinition> {
    definition.container_definitions().iter().find(|container| container.name() == Some(name))
}

fn secrets(container: &ContainerDefinition) -> Vec<&str> {
    container.secrets().iter().map(aws_sdk_ecs::types::Secret::name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_a_repository_has_one_container_and_no_volume() {
    let system = System::start().await;
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    for body in [json!({"command": "pwd"}), json!({"command": "pwd", "secrets": ["s"]})] {
        let started = system.admin.run_with(body).await;
        let definition = definition(&system, &started).await;
        assert_eq!((definition.container_definitions().len(), definition.volumes().len()), (1, 0), "{definition:?}");
        assert!(container(&definition, "runner").unwrap().mount_points().is_empty());
        system.admin.wait_for(&id(&started), "SUCCEEDED").await;
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_of_a_run_with_a_repository_gets_the_git_token_and_no_other_secret() {
    let system = System::start().await;
    for (name, key_name) in [("token", "GITHUB_TOKEN"), ("database", "DATABASE")] {
        let secret = json!({"name": name, "key_name": key_name, "value": "v"});
        assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    }
    let body = json!({"command": "true", "secrets": ["token", "database"], "git_repo": "https://localhost:1/none"});
    let with_secrets = definition(&system, &system.admin.run_with(body).await).await;
    assert_eq!(secrets(container(&with_secrets, "sidecar").unwrap()), ["GITHUB_TOKEN"]);
    let mut of_runner = secrets(container(&with_secrets, "runner").unwrap());
    of_runner.sort_unstable();
    assert_eq!(of_runner, ["DATABASE", "GITHUB_TOKEN"]);
    let body = json!({"command": "true", "git_repo": "https://localhost:1/none"});
    let without = definition(&system, &system.admin.run_with(body).await).await;
    assert_eq!((without.container_definitions().len(), without.volumes().len()), (2, 1));
    assert!(without.container_definitions().iter().all(|container| container.mount_points().len() == 1));
    system.shim.shut_down().await;
}

/// An earlier version of the program has registered images with a sidecar for each run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_takes_the_sidecar_out_of_images_that_an_earlier_version_has_registered() {
    let system = System::start().await;
    let ecs = aws_sdk_ecs::Client::new(system.shim.sdk());
    let body = json!({"command": "true", "git_repo": "https://localhost:1/none"});
    let two = definition(&system, &system.admin.run_with(body).await).await;
    let family = two.family().unwrap().trim_end_matches("-git").to_owned();
    let latest = async || {
        let described = ecs.describe_task_definition().task_definition(&family).send().await.unwrap();
        described.task_definition.unwrap().container_definitions().len()
    };
    ecs.register_task_definition()
        .family(&family)
        .cpu("256")
        .memory("512")
        .set_volumes(two.volumes)
        .set_container_definitions(two.container_definitions)
        .send()
        .await
        .unwrap();
    assert_eq!(latest().await, 2);
    let report = system.admin.request(Method::POST, "/health/reconcile", &[], "").await.json();
    assert_eq!(report["report"]["compute_status"]["recreated_count"], 1, "{report:#}");
    assert_eq!(report["report"]["compute_status"]["orphaned_count"], 0, "{report:#}");
    assert_eq!(latest().await, 1);
    system.shim.shut_down().await;
}
