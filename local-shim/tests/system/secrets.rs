//! Tests of `/secrets`.

use aws_sdk_dynamodb::types::AttributeValue;
use insta::assert_json_snapshot;
use local_shim::{Settings, aws::faults::Fault};
use serde_json::json;

use crate::{client::System, stable::stable};

const VALUE: &str = "v4lue-that-must-not-leak";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_created_read_changed_and_deleted() {
    let system = System::start().await;
    let body = json!({"name": "db", "key_name": "DATABASE_PASSWORD", "value": VALUE, "description": "of the database"});
    let created = system.admin.post("/secrets", &body).await;
    assert_eq!((created.status.as_u16(), created.json()), (201, json!({"message": "Secret created successfully"})));
    let again = system.admin.post("/secrets", &body).await;
    assert_eq!((again.status.as_u16(), &again.json()["code"]), (409, &json!("SECRET_ALREADY_EXISTS")));
    let shown = system.admin.get("/secrets/db").await.json();
    assert_json_snapshot!(stable(shown.clone()));
    let listed = system.admin.get("/secrets").await;
    assert_eq!(listed.json()["total"], 1);
    assert!(!listed.text.contains(VALUE));
    let changed = system.admin.put("/secrets/db", &json!({"value": "new", "key_name": "DB"})).await;
    assert_eq!((changed.status.as_u16(), changed.json()), (200, json!({"message": "Secret updated successfully"})));
    let shown = system.admin.get("/secrets/db").await.json();
    assert_eq!((&shown["secret"]["value"], &shown["secret"]["key_name"]), (&json!("new"), &json!("DB")));
    let deleted = system.admin.delete("/secrets/db").await;
    assert_eq!(deleted.json(), json!({"name": "db", "message": "Secret deleted successfully"}));
    for answer in [
        system.admin.get("/secrets/db").await,
        system.admin.delete("/secrets/db").await,
        system.admin.put("/secrets/db", &json!({})).await,
    ] {
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (404, &json!("SECRET_NOT_FOUND")));
    }
    assert_eq!(system.admin.post("/secrets", &body).await.status, 201, "the name is free again");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_given_its_secrets_and_env_wins() {
    let system = System::start().await;
    for (name, key_name) in [("one", "ONE_TOKEN"), ("two", "TWO_TOKEN")] {
        let body = json!({"name": name, "key_name": key_name, "value": format!("{VALUE}-{name}")});
        assert_eq!(system.admin.post("/secrets", &body).await.status, 201);
    }
    let command =
        "[ \"$ONE_TOKEN\" = mine ] && [ \"$TWO_TOKEN\" = v4lue-that-must-not-leak-two ] && ! grep -q v4lue .env";
    let body = json!({"command": command, "secrets": ["one", "two"], "env": {"ONE_TOKEN": "mine"}});
    let (_, status) = system.admin.run_to_end(body).await;
    assert_eq!(status["status"], "SUCCEEDED");
    system.shim.shut_down().await;
}

/// ECS takes a task definition of 64 KiB, and the names of the secrets are in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_more_secrets_than_ecs_takes_is_refused_as_the_callers_fault() {
    let system = System::start().await;
    let mut names = Vec::new();
    for number in 0..100 {
        let name = format!("{number:0>128}");
        let body = json!({"name": name, "key_name": format!("S{number}_{}", "x".repeat(120)), "value": VALUE});
        assert_eq!(system.admin.post("/secrets", &body).await.status, 201);
        names.push(name);
    }
    let refused = system.admin.post("/run", &json!({"command": "true", "secrets": names})).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.json()["error"].as_str().unwrap().contains("secrets"), "{}", refused.text);
    let (_, status) = system.admin.run_to_end(json!({"command": "true", "secrets": names[..50]})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    system.shim.shut_down().await;
}

/// The first run with a set of secrets registers a task definition, and ECS takes one registration of a family at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_with_the_same_new_secrets_start_together() {
    let system = System::start_with(Settings { chaos: Some(1), ..Settings::ephemeral() }).await;
    let body = json!({"name": "s", "key_name": "S", "value": VALUE});
    assert_eq!(system.admin.post("/secrets", &body).await.status, 201);
    let run = json!({"command": "true", "secrets": ["s"]});
    let answers = futures_util::future::join_all((0..5).map(|_| system.admin.post("/run", &run))).await;
    for answer in answers {
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_stands_in_the_parameter_store_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let system =
        System::start_with(Settings { data_dir: Some(directory.path().into()), ..Settings::ephemeral() }).await;
    let body = json!({"name": "s", "key_name": "S", "value": VALUE});
    assert_eq!(system.admin.post("/secrets", &body).await.status, 201);
    let (id, status) = system.admin.run_to_end(json!({"command": "test -n \"$S\"", "secrets": ["s"]})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    assert!(!system.admin.log(&id).await.join("\n").contains(VALUE));
    for bad in [
        json!({"name": "t", "key_name": "T", "value": {"x": VALUE}}),
        json!({"name": "t", "key_name": "1", "value": VALUE}),
        json!({"name": "t", "key_name": "T", "value": VALUE.repeat(400)}),
    ] {
        let refused = system.admin.post("/secrets", &bad).await;
        assert_eq!(refused.status, 400);
        assert!(!refused.text.contains(VALUE), "{}", refused.text);
    }
    system.shim.shut_down().await;
    let mut holding = Vec::new();
    let mut folders = vec![directory.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let content = match std::fs::read(entry.path()) {
                // SQLite removes its journal when the last task of the system has let go of the database.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                content => content.unwrap(),
            };
            if content.windows(VALUE.len()).any(|window| window == VALUE.as_bytes()) {
                holding.push(entry.file_name().into_string().unwrap());
            }
        }
    }
    assert_eq!(holding, ["parameters.json"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_creations_of_one_secret_one_wins() {
    let system = System::start().await;
    let bodies: Vec<_> = (0..100).map(|n| json!({"name": "s", "key_name": "S", "value": n.to_string()})).collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| system.admin.post("/secrets", body))).await;
    let won: Vec<usize> = (0..100).filter(|at| answers[*at].status == 201).collect();
    assert_eq!(won.len(), 1);
    assert!(answers.iter().all(|answer| answer.status == 201 || answer.status == 409));
    assert_eq!(system.admin.get("/secrets/s").await.json()["secret"]["value"], won[0].to_string());
    system.shim.shut_down().await;
}

/// With the variable of a secret that an admin's jobs use, a developer would run code with all secrets of those jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn developers_change_and_delete_only_secrets_that_they_own() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let theirs = json!({"name": "deploy-token", "key_name": "DEPLOY_TOKEN", "value": VALUE});
    assert_eq!(system.admin.post("/secrets", &theirs).await.status, 201);
    for change in [json!({"key_name": "OTHER"}), json!({"value": "mine"}), json!({})] {
        assert_eq!(developer.put("/secrets/deploy-token", &change).await.status, 403, "{change}");
    }
    assert_eq!(developer.delete("/secrets/deploy-token").await.status, 403);
    let own = json!({"name": "own", "key_name": "OWN", "value": "v"});
    assert_eq!(developer.post("/secrets", &own).await.status, 201);
    assert_eq!(developer.put("/secrets/own", &json!({"value": "w"})).await.status, 200);
    assert_eq!(developer.get("/secrets/own").await.json()["secret"]["value"], "w");
    assert_eq!(developer.delete("/secrets/own").await.status, 200);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_given_to_runs_as_a_variable_that_steers_programs() {
    let system = System::start().await;
    let fine = json!({"name": "fine", "key_name": "FINE", "value": VALUE});
    assert_eq!(system.admin.post("/secrets", &fine).await.status, 201);
    for name in ["GIT_CONFIG_PARAMETERS", "https_proxy", "NODE_OPTIONS", "LD_PRELOAD", "HOME", "PERL5OPT", "PATH"] {
        let new = json!({"name": "new", "key_name": name, "value": VALUE});
        for refused in [
            system.admin.post("/secrets", &new).await,
            system.admin.put("/secrets/fine", &json!({"key_name": name})).await,
        ] {
            assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("INVALID_REQUEST")), "{name}");
        }
    }
    for token in ["GIT_TOKEN", "GITHUB_TOKEN", "GITLAB_TOKEN"] {
        assert_eq!(system.admin.put("/secrets/fine", &json!({"key_name": token})).await.status, 200, "{token}");
    }
    // A caller's own variables reach only the caller's own command.
    let own = json!({"command": "test \"$NODE_OPTIONS\" = --no-warnings", "env": {"NODE_OPTIONS": "--no-warnings"}});
    assert_eq!(system.admin.run_to_end(own).await.1["status"], "SUCCEEDED");
    system.shim.shut_down().await;
}

/// An earlier version stored them. They must not reach a run either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_secret_whose_variable_steers_programs_reaches_no_run() {
    let system = System::start().await;
    let old = json!({"name": "old", "key_name": "OLD", "value": VALUE});
    assert_eq!(system.admin.post("/secrets", &old).await.status, 201);
    aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .update_item()
        .table_name("runvoy-local-secrets")
        .key("name", AttributeValue::S("old".to_owned()))
        .update_expression("SET key_name = :name")
        .expression_attribute_values(":name", AttributeValue::S("GIT_SSH_COMMAND".to_owned()))
        .send()
        .await
        .unwrap();
    let refused = system.admin.post("/run", &json!({"command": "true", "secrets": ["old"]})).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("GIT_SSH_COMMAND"), "{}", refused.text);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_no_path_reaches_and_values_that_no_variable_holds_are_refused() {
    let system = System::start().await;
    for bad in [
        json!({"name": ".", "key_name": "S", "value": "v"}),
        json!({"name": "..", "key_name": "S", "value": "v"}),
        json!({"name": "s", "key_name": "S", "value": "a\u{0}b"}),
    ] {
        let refused = system.admin.post("/secrets", &bad).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("INVALID_REQUEST")), "{bad}");
    }
    assert_eq!(system.admin.post("/secrets", &json!({"name": "...", "key_name": "S", "value": "v"})).await.status, 201);
    let changed = system.admin.put("/secrets/...", &json!({"value": "a\u{0}b"})).await;
    assert_eq!(changed.status, 400, "{}", changed.text);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_a_creation_that_was_left_halfway_says_when_it_is_free_again() {
    let system = System::start().await;
    system.shim.plan_faults(Some(std::sync::Arc::new(|call| {
        ["ssm:PutParameter", "ssm:DeleteParameter"].contains(&call.operation).then_some(Fault::Fails)
    })));
    let secret = json!({"name": "halfway", "key_name": "KEY", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 503);
    system.shim.plan_faults(None);
    assert_eq!(system.admin.get("/secrets/halfway").await.status, 404);
    let refused = system.admin.post("/secrets", &secret).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("CONFLICT")), "{}", refused.text);
    assert!(refused.text.contains("being created or deleted") && !refused.text.contains("PUT"), "{}", refused.text);
    system.shim.shut_down().await;
}
