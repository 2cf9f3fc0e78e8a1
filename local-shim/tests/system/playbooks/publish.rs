//! Tests of `PUT /playbooks/{name}`: versions and lost updates.

use axum::http::Method;
use serde_json::json;

use super::{output, publish_playbook, refusal};
use crate::client::{System, id, next_page};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_publication_is_a_version_and_a_lost_update_is_refused() {
    let system = System::start().await;
    let admin = &system.admin;
    let first = publish_playbook(admin, "greet", &json!({"commands": ["echo one"]})).await;
    assert_eq!(
        (&first["version"], &first["name"], &first["published_by"]),
        (&json!(1), &json!("greet"), &json!("admin@runvoy.local"))
    );
    // The same once more, as when an answer was lost.
    assert_eq!(publish_playbook(admin, "greet", &json!({"commands": ["echo one"]})).await["version"], 1);
    let second = json!({"commands": ["echo two"], "description": "greets"});
    let with = async |version: &str| {
        let headers = [("content-type", "application/json"), ("if-match", version)];
        admin.request(Method::PUT, "/playbooks/greet", &headers, second.to_string()).await
    };
    assert_eq!(with("0").await.status, 409);
    for wrong in ["", "*", "\"1", "\"\"1\"\"", "\"1\", \"2\"", "one"] {
        assert_eq!(with(wrong).await.status, 400, "{wrong:?}");
    }
    let changed = with("\"1\"").await;
    assert_eq!(
        (changed.status.as_u16(), changed.headers["etag"].to_str().unwrap()),
        (200, "\"2\""),
        "{}",
        changed.text
    );
    assert_eq!(publish_playbook(admin, "greet", &json!({"commands": ["echo three"]})).await["version"], 3);
    let lost = with("2").await;
    assert_eq!((lost.status.as_u16(), &lost.json()["code"]), (409, &json!("CONFLICT")));

    let listed = admin.get("/playbooks?q=GREET").await.json()["playbooks"].clone();
    assert_eq!(
        (listed.as_array().unwrap().len(), &listed[0]["version"], &listed[0]["name"]),
        (1, &json!(3), &json!("greet"))
    );
    assert_eq!(admin.get("/playbooks/greet?version=2").await.json()["playbook"]["commands"], json!(["echo two"]));
    assert_eq!(admin.get("/playbooks/greet?version=4").await.status, 404);
    let versions = admin.get("/playbooks/greet/versions").await.json()["versions"].clone();
    assert_eq!(
        versions.as_array().unwrap().iter().map(|one| one["version"].as_u64().unwrap()).collect::<Vec<_>>(),
        [3, 2, 1]
    );

    let old = admin.post("/playbooks/greet/run", &json!({"version": 2})).await;
    assert_eq!(output(admin, &old).await, ["two"]);
    let execution = admin.get(&format!("/executions/{}", id(&old.json()))).await.json();
    assert_eq!(execution["source"], "playbook:greet@2");
    let of_playbook = admin.get("/executions?playbook=greet").await.json();
    assert_eq!(of_playbook.as_array().unwrap().len(), 1);
    assert_eq!(admin.get("/executions?playbook=other").await.json(), json!([]));

    assert_eq!(admin.delete("/playbooks/greet").await.status, 200);
    assert_eq!(admin.get("/playbooks/greet").await.status, 404);
    assert_eq!(admin.get("/playbooks").await.json()["playbooks"], json!([]));
    assert_eq!(admin.delete("/playbooks/greet").await.status, 404);
    // The name is not free for others, who would get the trust of those that use it.
    let developer = system.user("developer", "dev@example.com").await;
    assert_eq!(developer.put("/playbooks/greet", &second).await.status, 403);
    assert_eq!(publish_playbook(admin, "greet", &second).await["version"], 4);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_publish_at_the_same_time_make_a_version_each_unless_they_name_the_one_that_they_have_changed() {
    let system = System::start().await;
    let admin = &system.admin;
    publish_playbook(admin, "p", &json!({"commands": ["echo 0"]})).await;
    let publish = async |n: i32, expected: Option<&str>| {
        let headers: Vec<(&str, &str)> = expected.map(|version| ("if-match", version)).into_iter().collect();
        let body = json!({"commands": [format!("echo {n}")]}).to_string();
        admin.request(Method::PUT, "/playbooks/p", &headers, body).await.status.as_u16()
    };
    let publish = &publish;
    let statuses = futures_util::future::join_all((1..9).map(async |n| publish(n, None).await)).await;
    assert_eq!(statuses, [200; 8]);
    let statuses = futures_util::future::join_all((11..15).map(async |n| publish(n, Some("9")).await)).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");

    // A page of versions names the next one.
    let mut path = "/playbooks/p/versions?limit=4".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = admin.get(&path).await;
        let versions = page.json()["versions"].as_array().unwrap().clone();
        pages.push(versions.iter().map(|one| one["version"].as_u64().unwrap()).collect::<Vec<_>>());
        match next_page(&page) {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(pages, [vec![10, 9, 8, 7], vec![6, 5, 4, 3], vec![2, 1]]);
    assert_eq!(admin.get("/playbooks/p/versions").await.json()["versions"].as_array().unwrap().len(), 10);
    assert_eq!(admin.get("/playbooks/p/versions?limit=x").await.status, 400);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_playbooks_publish_as_they_are() {
    let system = System::start().await;
    let admin = &system.admin;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/playbooks");
    for image in [
        "node:22",
        "public.ecr.aws/aws-cli/aws-cli:2.31.0",
        "postgres:17",
        "curlimages/curl:8.16.0",
        "hashicorp/terraform:1.13",
    ] {
        assert_eq!(admin.post("/images/register", &json!({"image": image})).await.status, 201);
    }
    for (name, key_name) in [("github-token", "GITHUB_TOKEN"), ("database-url", "DATABASE_URL")] {
        let secret = json!({"name": name, "key_name": key_name, "value": "v"});
        assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    }
    let mut published = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let checked = admin.post("/playbooks", &json!({"file": text})).await;
        assert_eq!(checked.status, 200, "{}: {}", path.display(), checked.text);
        publish_playbook(admin, path.file_stem().unwrap().to_str().unwrap(), &checked.json()["playbook"]).await;
        published += 1;
    }
    assert!(published >= 6, "{published}");
    let wrong =
        admin.post("/playbooks", &json!({"file": "commands:\n- true\nparameters:\n- name: A\n  defualt: b\n"})).await;
    assert_eq!(refusal(&wrong), (400, "parameters[].defualt".to_owned()), "{}", wrong.text);
    let broken = admin.post("/playbooks", &json!({"file": "commands: [\n"})).await;
    assert_eq!(refusal(&broken), (400, "file".to_owned()));
    assert!(broken.json()["error"].as_str().unwrap().contains("line"), "{}", broken.text);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playbook_keeps_no_credentials_that_others_would_read() {
    let system = System::start().await;
    for (playbook, field) in [
        (json!({"commands": ["true"], "git_repo": "https://user:pa55@example.com/r.git"}), "git_repo"),
        (json!({"commands": ["true"], "git_repo": "https://pa55@example.com/r.git"}), "git_repo"),
        (json!({"commands": ["true"], "env": {"DB_PASSWORD": "pa55"}}), "env.DB_PASSWORD"),
    ] {
        let refused = system.admin.put("/playbooks/p", &playbook).await;
        assert_eq!(refusal(&refused), (400, field.to_owned()), "{}", refused.text);
        assert!(!refused.text.contains("pa55"), "{}", refused.text);
    }
    assert_eq!(system.admin.get("/playbooks/p").await.status, 404);
    system.shim.shut_down().await;
}
