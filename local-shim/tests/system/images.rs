//! Tests of `/images`.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::TaskDefinitionFamilyStatus;
use insta::assert_json_snapshot;
use local_shim::Settings;
use serde_json::{Value, json};

use crate::{
    cases::Cases,
    client::{System, id, next_page},
    stable::stable,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_registered_found_by_any_of_its_names_and_deleted() {
    let system = System::start().await;
    let body =
        json!({"image": "ghcr.io/acme/tool:1.2", "cpu": 512, "memory": 1024, "runtime_platform": "Linux/X86_64"});
    let registered = system.admin.post("/images/register", &body).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    let image = system.admin.get("/images/ghcr.io/acme/tool:1.2").await.json();
    assert_json_snapshot!(stable(image.clone()));
    let id = image["image_id"].as_str().unwrap();
    assert_eq!(
        registered.json(),
        json!({"image": "ghcr.io/acme/tool:1.2", "image_id": id, "message": "Image registered successfully"})
    );
    for name in [id.to_owned(), id.replace('/', "%2F").replace(':', "%3A"), "ghcr.io%2Facme%2Ftool%3A1.2".to_owned()] {
        assert_eq!(system.admin.get(&format!("/images/{name}")).await.json()["image_id"], id, "{name}");
    }
    // The same registration again is the same image.
    assert_eq!(system.admin.post("/images/register", &body).await.status, 201);
    assert_eq!(system.admin.get("/images").await.json()["images"].as_array().unwrap().len(), 3);
    let (_, status) = system.admin.run_to_end(json!({"command": "true", "image": id})).await;
    assert_eq!((&status["status"], &status["image_id"]), (&json!("SUCCEEDED"), &json!(id)));

    assert_eq!(system.admin.delete(&format!("/images/{id}")).await.status, 200);
    assert_eq!(system.admin.get(&format!("/images/{id}")).await.status, 404);
    assert_eq!(system.admin.get("/images/ghcr.io/acme/tool:1.2").await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_deleted_by_a_name_that_no_other_has() {
    let system = System::start().await;
    let register = async |body: Value| {
        let registered = system.admin.post("/images/register", &body).await;
        registered.json()["image_id"].as_str().unwrap().to_owned()
    };
    let small = register(json!({"image": "ghcr.io/acme/tool:1.2"})).await;
    let large = register(json!({"image": "ghcr.io/acme/tool:1.2", "cpu": 512, "memory": 1024})).await;
    let other = register(json!({"image": "quay.io/acme/tool:1.2"})).await;
    for (name, candidates) in
        [("ghcr.io/acme/tool:1.2", vec![&small, &large]), ("acme/tool:1.2", vec![&small, &large, &other])]
    {
        let refused = system.admin.delete(&format!("/images/{name}")).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.text);
        let details = refused.json()["details"].as_str().unwrap().to_owned();
        assert!(candidates.iter().all(|id| details.contains(id.as_str())), "{details}");
    }
    assert_eq!(system.admin.delete(&format!("/images/{large}")).await.status, 200);
    for (name, id) in [("quay.io/acme/tool:1.2", other), ("acme/tool:1.2", small)] {
        let deleted = system.admin.delete(&format!("/images/{name}")).await;
        assert_eq!((deleted.status.as_u16(), &deleted.json()["image_id"]), (200, &json!(id)), "{name}");
    }
    assert_eq!(system.admin.delete("/images/acme/tool:1.2").await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_listed_in_pages_and_found_by_a_part_of_their_name() {
    let system = System::start().await;
    for n in 0..5 {
        let body = json!({"image": format!("ghcr.io/acme/Tool-{n}").to_lowercase()});
        assert_eq!(system.admin.post("/images/register", &body).await.status, 201);
    }
    let names = |page: &Value| -> Vec<String> {
        page["images"].as_array().unwrap().iter().map(|image| image["image"].as_str().unwrap().to_owned()).collect()
    };
    let all = names(&system.admin.get("/images").await.json());
    assert_eq!(all.len(), 7);
    let mut paged = Vec::new();
    let mut path = Some("/images?limit=3".to_owned());
    while let Some(next) = path {
        let page = system.admin.get(&next).await;
        let items = names(&page.json());
        assert!(items.len() <= 3);
        paged.extend(items);
        path = next_page(&page);
    }
    assert_eq!(paged, all);
    let found = system.admin.get("/images?q=ACME%2Ftool&limit=4").await;
    assert_eq!(names(&found.json()).len(), 4);
    let rest = system.admin.get(&next_page(&found).unwrap()).await;
    assert_eq!(names(&rest.json()), ["ghcr.io/acme/tool-4:latest"]);
    assert_eq!(next_page(&rest), None);
    assert_eq!(names(&system.admin.get("/images?q=nothing").await.json()), Vec::<String>::new());
    for bad in ["limit=x", "limit=%2B5", "cursor=%21"] {
        assert_eq!(system.admin.get(&format!("/images?{bad}")).await.status, 400, "{bad}");
    }
    system.shim.shut_down().await;
}

async fn defaults(system: &System) -> Vec<String> {
    let images = system.admin.get("/images").await.json();
    let images = images["images"].as_array().unwrap().clone();
    images
        .iter()
        .filter(|image| image["is_default"] == true)
        .map(|image| image["image"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_one_default_however_many_are_made_at_once() {
    let system = System::start().await;
    assert_eq!(defaults(&system).await, ["ubuntu:22.04"]);
    let bodies: Vec<Value> = (0..100).map(|n| json!({"image": format!("tool:{n}"), "is_default": true})).collect();
    let answers =
        futures_util::future::join_all(bodies.iter().map(|body| system.admin.post("/images/register", body))).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    let default = defaults(&system).await;
    assert_eq!(default.len(), 1);
    let (_, status) = system.admin.run_to_end(json!({"command": "true"})).await;
    assert!(status["image_id"].as_str().unwrap().starts_with(&default[0]));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fargate_cannot_run_is_refused() {
    let system = System::start().await;
    let mut checked = Cases::default();
    for (body, reason) in [
        (json!({"image": "Bad Name"}), "not an image name"),
        (json!({"image": "a", "cpu": 300}), "cpu"),
        (json!({"image": "a", "cpu": 256, "memory": 4096}), "memory"),
        (json!({"image": "a", "runtime_platform": "Windows"}), "runtime_platform"),
        (json!({"image": "a", "task_role_name": "runvoy-local-task-missing"}), "no IAM role"),
        (json!({"image": "a", "task_role_name": "Administrator"}), "CustomTaskRoles"),
        (json!({"image": "a", "task_execution_role_name": "not a name"}), "IAM role"),
        (json!({"image": "a", "security_groups": ["sg-1"]}), "ImageSecurityGroupIds"),
    ] {
        let refused = system.admin.post("/images/register", &body).await;
        checked.equal(&body, refused.status.as_u16(), 400);
        checked.contain(&body, refused.json()["details"].as_str().unwrap_or_default(), reason);
    }
    checked.all_hold();
    let role = json!({"image": "a", "task_role_name": "runvoy-local-TaskRole"});
    assert_eq!(system.admin.post("/images/register", &role).await.status, 201);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_may_have_security_groups_that_the_stack_names() {
    let overrides = BTreeMap::from([("RUNVOY_IMAGE_SECURITY_GROUPS".to_owned(), "sg-1,sg-2".to_owned())]);
    let system = System::start_with(Settings { overrides, ..Settings::ephemeral() }).await;
    let register = async |groups: serde_json::Value| {
        system.admin.post("/images/register", &json!({"image": "a:1", "security_groups": groups})).await
    };
    let plain = register(json!([])).await.json()["image_id"].clone();
    let registered = register(json!(["sg-2", "sg-1", "sg-2"])).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    let id = registered.json()["image_id"].clone();
    assert_ne!(id, plain);
    assert_eq!(register(json!(["sg-1", "sg-2"])).await.json()["image_id"], id, "the order says nothing");
    let shown = system.admin.get(&format!("/images/{}", id.as_str().unwrap())).await.json();
    assert_eq!(shown["security_groups"], json!(["sg-1", "sg-2"]));
    assert_eq!(system.admin.run_to_end(json!({"command": "true", "image": id})).await.1["status"], "SUCCEEDED");
    let refused = register(json!(["sg-1", "sg-3"])).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("security_groups")));
    system.shim.shut_down().await;
}

/// The families of task definitions that have an active revision.
async fn families(system: &System) -> Vec<String> {
    let ecs = aws_sdk_ecs::Client::new(system.shim.sdk());
    let listed = ecs.list_task_definition_families().status(TaskDefinitionFamilyStatus::Active).send().await.unwrap();
    listed.families.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stacks_of_one_account_leave_each_others_task_definitions_alone() {
    let directory = tempfile::tempdir().unwrap();
    let start = |overrides: &[(&str, &str)]| {
        let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        System::start_with(Settings {
            data_dir: Some(directory.path().join("data")),
            overrides,
            ..Settings::ephemeral()
        })
    };
    let system = start(&[]).await;
    let first = families(&system).await;
    assert!(first.iter().all(|family| family.starts_with("runvoy-image-runvoy-local_")), "{first:?}");
    system.shim.shut_down().await;

    // The same account, another stack: it registers its own, says nothing of the others, and deletes none of them.
    let system = start(&[("RUNVOY_STACK", "runvoy-local-2")]).await;
    let (_, status) = system.admin.run_to_end(json!({"command": "true"})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    let images = system.admin.get("/images").await.json()["images"].clone();
    for image in images.as_array().unwrap() {
        let family = image["task_definition_name"].as_str().unwrap();
        assert!(family.starts_with("runvoy-image-runvoy-local-2_"), "{family}");
        assert!(families(&system).await.contains(&family.to_owned()), "{family}");
        let path = format!("/images/{}", image["image_id"].as_str().unwrap());
        assert_eq!(system.admin.delete(&path).await.status, 200);
    }
    let report = system.admin.post("/health/reconcile", &json!({})).await.json();
    assert_eq!(report["report"]["compute_status"]["orphaned_resources"], json!([]));
    assert_eq!(families(&system).await, first);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_is_made_again_does_not_run_with_the_roles_of_the_one_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let secret = json!({"name": "db", "key_name": "DB", "value": "v"});
    let mut seen = Vec::new();
    for role in ["first", "second"] {
        let overrides = [
            ("RUNVOY_TASK_ROLE_ARN".to_owned(), format!("arn:aws:iam::000000000000:role/{role}")),
            ("RUNVOY_LOG_GROUP".to_owned(), format!("/{role}/tasks")),
        ];
        let data_dir = Some(directory.path().join("data"));
        let system =
            System::start_with(Settings { data_dir, overrides: overrides.into(), ..Settings::ephemeral() }).await;
        let _ = system.admin.post("/secrets", &secret).await;
        let report = system.admin.post("/health/reconcile", &json!({})).await.json();
        assert_eq!(report["report"]["error_count"], 0, "{report}");
        let ecs = aws_sdk_ecs::Client::new(system.shim.sdk());
        for body in [json!({"command": "true"}), json!({"command": "true", "secrets": ["db"]})] {
            let id = id(&system.admin.run_with(body).await);
            let task =
                ecs.describe_tasks().cluster("runvoy-local").tasks(&id).send().await.unwrap().tasks().first().cloned();
            let arn = task.unwrap().task_definition_arn.unwrap();
            let definition =
                ecs.describe_task_definition().task_definition(arn).send().await.unwrap().task_definition.unwrap();
            let log =
                definition.container_definitions()[0].log_configuration().unwrap().options().unwrap()["awslogs-group"]
                    .clone();
            seen.push((definition.task_role_arn.unwrap().rsplit_once('/').unwrap().1.to_owned(), log));
        }
        system.shim.shut_down().await;
    }
    let of = |role: &str| (role.to_owned(), format!("/{role}/tasks"));
    assert_eq!(seen, [of("first"), of("first"), of("second"), of("second")]);
}

/// The role with which ECS starts tasks reads every secret, so no command may have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_never_given_the_role_with_which_tasks_are_started() {
    let system = System::start().await;
    let operator = system.user("operator", "op@example.com").await;
    let role = "runvoy-local-TaskExecutionRole";
    let refused = operator.post("/images/register", &json!({"image": "x:1", "task_role_name": role})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("INVALID_REQUEST")));
    let named = json!({"image": "x:1", "task_execution_role_name": role, "task_role_name": "runvoy-local-TaskRole"});
    assert_eq!(operator.post("/images/register", &named).await.status, 201);
    system.shim.shut_down().await;
}
