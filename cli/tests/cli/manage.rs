//! Tests of images, secrets, users and operations.

use crate::prelude::*;

#[test]
fn images_secrets_and_users_are_managed() {
    let system = System::start();
    system.prints(&["images", "register", "tool:1", "--cpu", "512", "--memory", "1024", "--set-default"]);
    let images = system.json(&["images", "list", "-o", "json"]);
    let tool = images["images"].as_array().unwrap().iter().find(|image| image["image"] == "tool:1").unwrap().clone();
    assert_eq!((&tool["cpu"], &tool["is_default"]), (&json!(512), &json!(true)));
    assert!(system.prints(&["images", "show", "tool:1"]).contains("is_default"));
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
    let traced = system.run(&["trace", "unknown"]);
    assert!(traced.status.code() == Some(125) && text(&traced.stderr).contains("no trace"), "{}", text(&traced.stderr));
}
