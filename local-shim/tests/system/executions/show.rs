//! Tests of `GET /executions/{id}`.

use serde_json::{Value, json};

use crate::client::System;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_shows_what_was_asked_without_values() {
    let system = System::start().await;
    let secret = json!({"name": "db", "key_name": "DB", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let repo = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        let output = git
            .current_dir(repo.path())
            .args(["-c", "user.email=a@b", "-c", "user.name=a"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["commit", "--quiet", "--allow-empty", "--message=one"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let url = format!("file://{}", repo.path().display());
    let body = json!({
        "command": "true", "env": {"PORT": "8080", "A": "a-value", "API_TOKEN": "t"}, "secrets": ["db"], "timeout": 60,
        "git_repo": url, "git_ref": "main", "git_path": ".",
    });
    let (id, _) = system.admin.run_to_end(body).await;
    let execution = system.admin.get(&format!("/executions/{id}")).await.json();
    for (field, expected) in [
        ("variables", json!(["A", "API_TOKEN", "PORT"])),
        ("secrets", json!(["db"])),
        ("timeout", json!(60)),
        ("git_repo", json!(url)),
        ("git_ref", json!("main")),
        ("git_path", json!(".")),
        ("git_commit", json!(commit)),
        ("source", json!("api")),
    ] {
        assert_eq!(execution[field], expected, "{field}: {execution}");
    }
    let checkouts =
        system.admin.get(&format!("/audit?resource=execution:{id}&action=executions:checkout")).await.json();
    let checkouts = checkouts["entries"].as_array().unwrap();
    assert_eq!((checkouts.len(), &checkouts[0]["details"]["git_commit"]), (1, &json!(commit)));
    let request = &execution["request"];
    assert_eq!(request["env"], json!({"A": "a-value", "PORT": "8080"}), "{request}");
    assert_eq!(
        (&request["left_out"], &request["secrets"], &request["timeout"]),
        (&json!(["API_TOKEN"]), &json!(["db"]), &json!(60))
    );
    for role in ["viewer", "developer"] {
        let other = system.user(role, &format!("{role}@example.com")).await;
        let shown = other.get(&format!("/executions/{id}")).await;
        assert_eq!((shown.status.as_u16(), &shown.json()["request"]), (200, &Value::Null), "{role}");
        assert!(!shown.text.contains("a-value"), "{role}: {}", shown.text);
    }
    let viewer = system.user("viewer", "viewer2@example.com").await;
    let listed = viewer.get("/executions").await;
    assert!(!listed.text.contains("a-value") && !listed.text.contains("8080"), "{}", listed.text);
    assert_eq!(listed.json()[0]["variables"], json!(["A", "API_TOKEN", "PORT"]));
    system.shim.shut_down().await;
}
