//! Events that the local system keeps in files.

use std::path::Path;

use local_shim::Settings;
use serde_json::{Value, json};

use crate::client::{System, connect, id, watch};

fn recorded(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_events_have_no_secret_and_are_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { record: Some(folder.path().join("events")), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let secret = json!({"name": "db", "key_name": "DB", "value": "hidden-value"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let user = system.user("viewer", "a@example.com").await;
    let started = system
        .admin
        .run_with(
            json!({"command": "echo hello", "secrets": ["db"], "env": {"MY_TOKEN": "hidden-token", "DATABASE_URL": "hidden-url"}}),
        )
        .await;
    let url = started["websocket_url"].as_str().unwrap();
    watch(connect(url).await.unwrap()).await;
    system.admin.post("/run", &json!({"command": "true", "envv": {"A": "hidden-misspelt"}})).await;
    system.admin.get("/executions?limit=1&api_key=hidden-in-query").await;
    let channel = json!({"webhook": {"url": "https://example.com/hidden-path?token=hidden-query"}});
    system.admin.post("/notifications", &json!({"channel": channel, "on": ["failed"], "for": {}})).await;
    let id = id(&started);
    system.admin.wait_for(&id, "SUCCEEDED").await;
    let log = system.admin.log(&id).await;
    let token = url.rsplit_once("token=").unwrap().1.to_owned();

    let files = recorded(&folder.path().join("events"));
    for (name, text) in &files {
        for hidden in ["hidden-", &token, &system.admin.key, &user.key] {
            assert!(!text.contains(hidden), "{name} has {hidden}: {text}");
        }
    }
    let all: String = files.iter().map(|(_, text)| text.as_str()).collect();
    assert!(all.contains("echo hello") && all.contains("ECS Task State Change") && all.contains("awslogs"));

    // Repeated events change nothing.
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with("-event-processor.json")) {
        let answer = system.admin.process(text.clone()).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    }
    assert_eq!(system.admin.log(&id).await, log);
    system.shim.shut_down().await;

    // The next start goes on with the numbers.
    let settings = Settings { record: Some(folder.path().join("events")), ..Settings::ephemeral() };
    System::start_with(settings).await.shim.shut_down().await;
    let after = recorded(&folder.path().join("events"));
    assert!(after.len() > files.len() && after.iter().all(|(_, text)| serde_json::from_str::<Value>(text).is_ok()));
}
