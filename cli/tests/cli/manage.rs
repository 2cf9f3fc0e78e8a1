//! Tests of images, secrets, users and operations.

use crate::prelude::*;

#[test]
fn images_secrets_and_users_are_managed() {
    let system = System::start();
    system.prints(&["images", "register", "tool:1", "--cpu", "512", "--memory", "1024", "--set-default"]);
    let images = system.json(&["images", "list", "-o", "json"]);
    let tool = images["images"].as_array().unwrap().iter().find(|image| image["image"] == "tool:1").unwrap().clone();
    assert_eq!((&tool["cpu"], &tool["is_default"]), (&json!(512), &json!(true)));
    assert!(system.prints(&["images", "show", "tool:1"]).contains("default"));
    system.prints(&["images", "unregister", tool["image_id"].as_str().unwrap()]);
    system.prints(&["images", "register", "tool:2"]);
    system.prints(&["images", "unregister", "tool:2"]);
    for memory in ["512", "1024"] {
        system.prints(&["images", "register", "tool:3", "--memory", memory]);
    }
    let several = text(&system.run(&["images", "unregister", "tool:3"]).stderr);
    assert_eq!(several.matches("tool:3-").count(), 2, "{several}");

    system.prints(&["secrets", "create", "db", "DATABASE_URL", "of the argument"]);
    assert_eq!(system.prints(&["secrets", "get", "db"]), "of the argument\n");
    std::fs::write(system.home.path().join("value"), "of a file\n").unwrap();
    system.prints(&["secrets", "update", "db", "--value-file", "value", "--description", "d"]);
    assert_eq!(system.prints(&["run", "-i", "ubuntu:22.04", "--secret", "db", "echo $DATABASE_URL"]), "of a file\n");
    assert!(system.prints(&["secrets", "list"]).contains("DATABASE_URL"));
    let asked = system.run(&["secrets", "create", "other", "OTHER"]);
    assert!(text(&asked.stderr).contains("--value-file"), "{}", text(&asked.stderr));
    system.prints(&["secrets", "delete", "db"]);
    assert_eq!(system.run(&["secrets", "get", "db"]).status.code(), Some(125));

    system.prints(&["users", "create", "a@example.com", "--role", "developer"]);
    system.prints(&["users", "revoke", "a@example.com"]);
    assert!(
        system
            .prints(&["users", "list"])
            .lines()
            .any(|line| line.contains("a@example.com") && line.contains("revoked"))
    );
    assert!(system.prints(&["health"]).contains("ok"));
    assert_eq!(system.json(&["health", "reconcile", "-o", "json"])["status"], "ok");
    for (request, word) in [("00000000-0000-4000-8000-000000000000", "no trace"), ("unknown", "is a UUID")] {
        let traced = system.run(&["trace", request]);
        let said = text(&traced.stderr);
        assert!(traced.status.code() == Some(125) && said.contains(word), "{said}");
    }
}

#[test]
fn notifications_are_made_tried_paused_and_deleted() {
    let system = System::start();
    let made = ["notifications", "create", "on-call", "--webhook", "https://example.com/hook", "--on", "failed,slow"];
    let secret = system.prints(&made);
    assert!(secret.starts_with("whsec_"), "{secret}");
    let list = system.prints(&["notifications", "list"]);
    assert!(
        list.contains("on-call") && list.contains("failed,slow") && list.contains("webhook https://example.com/hook")
    );
    assert!(system.prints(&["notifications", "test", "on-call"]).starts_with("delivered: 202"));
    assert!(system.prints(&["notifications", "deliveries", "on-call"]).contains("delivered"));
    assert_eq!(system.prints(&["notifications", "pause", "on-call"]), "on-call: paused\n");
    assert!(system.prints(&["notifications", "show", "on-call"]).contains("paused by admin@runvoy.local"));
    assert_eq!(system.prints(&["notifications", "resume", "on-call"]), "on-call: active\n");
    let rotated = system.prints(&["notifications", "rotate", "on-call"]);
    assert!(rotated.starts_with("whsec_") && rotated != secret);

    let mail =
        system.run(&["notifications", "create", "me", "--email", "a@example.com", "--user", "admin@runvoy.local"]);
    assert!(text(&mail.stderr).contains("confirm the address"), "{}", text(&mail.stderr));
    let tried = system.run(&["notifications", "test", "me"]);
    assert_eq!(tried.status.code(), Some(125));
    assert!(text(&tried.stderr).contains("has not confirmed"), "{}", text(&tried.stderr));
    let none = system.run(&["notifications", "create", "x"]);
    assert!(text(&none.stderr).contains("--webhook"), "{}", text(&none.stderr));
    for name in ["on-call", "me"] {
        system.prints(&["notifications", "rm", name]);
    }
    assert!(text(&system.run(&["notifications", "list"]).stderr).contains("no notifications"));
}

#[test]
fn keys_are_made_used_and_deleted_and_all_of_it_is_in_the_audit() {
    let system = System::start();
    let key = system.prints(&["keys", "create", "laptop", "--expires", "30d"]);
    let with_key = |arguments: &[&str]| system.command(arguments).env("RUNVOY_API_KEY", key.trim()).output().unwrap();
    assert!(with_key(&["whoami"]).status.success());
    let keys = system.json(&["keys", "list", "-o", "json"]);
    let laptop = keys["keys"].as_array().unwrap().iter().find(|key| key["name"] == "laptop").unwrap();
    assert!(!keys.to_string().contains(key.trim()) && laptop["expires_at"].is_string(), "{keys}");
    let limited = system.prints(&["keys", "create", "ci", "--action", "executions:run"]);
    let refused = system.command(&["run", "true"]).env("RUNVOY_API_KEY", limited.trim()).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("does not permit images:use") && said.contains("whose scope has images:use"), "{said}");
    system.prints(&["keys", "rm", laptop["key_id"].as_str().unwrap()]);
    assert_eq!(with_key(&["whoami"]).status.code(), Some(125));

    system.prints(&["users", "create", "a@example.com", "--role", "viewer"]);
    assert_eq!(system.prints(&["users", "role", "a@example.com", "operator"]), "a@example.com: operator, active\n");
    system.prints(&["users", "revoke", "a@example.com"]);
    assert_eq!(system.prints(&["users", "restore", "a@example.com"]), "a@example.com: operator, active\n");
    assert!(system.prints(&["users", "claim", "a@example.com"]).contains("/claim/"));
    assert!(system.prints(&["users", "list", "--search", "a@ex"]).contains("a@example.com"));

    let lines = system.prints(&["audit", "--since", "1h", "--limit", "0", "-o", "json"]);
    let entries: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(entries.iter().any(|entry| entry["action"] == "keys:create"), "{lines}");
    assert!(!lines.contains(key.trim()));
    let table = system.prints(&["audit", "--actor", "admin@runvoy.local", "--limit", "3"]);
    assert_eq!(table.lines().count(), 4, "{table}");
}
