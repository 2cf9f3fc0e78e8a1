//! Owners of executions, images and secrets, and those with whom images and secrets are shared.

use local_shim::ORCHESTRATOR;
use serde_json::{Value, json};

use crate::client::{Caller, System, connect, id, watch};
use crate::held::hold_transaction;

/// A resource of each kind, made by a developer but for the image. Answers with the paths of their owners.
async fn owned_things(admin: &Caller, ada: &Caller) -> [String; 6] {
    assert_eq!(ada.post("/secrets", &json!({"name": "s", "key_name": "S", "value": "v"})).await.status, 201);
    let schedule = json!({"name": "s", "cron": "0 0 1 1 *", "run": {"command": "true"}});
    assert_eq!(ada.post("/schedules", &schedule).await.status, 201);
    assert_eq!(ada.put("/playbooks/s", &json!({"commands": ["true"]})).await.status, 200);
    let notification = json!({"name": "s", "channel": {"webhook": {"url": "https://example.com"}}});
    assert_eq!(ada.post("/notifications", &notification).await.status, 201);
    let image = admin.post("/images/register", &json!({"image": "x:1"})).await.json()["image_id"].clone();
    let execution = id(&ada.run("true").await);
    [
        "/secrets/s/owners".to_owned(),
        "/schedules/s/owners".to_owned(),
        "/playbooks/s/owners".to_owned(),
        "/notifications/s/owners".to_owned(),
        format!("/images/{}/owners", image.as_str().unwrap()),
        format!("/executions/{execution}/owners"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_reads_the_log_of_an_execution_that_it_owns_together() {
    let system = System::start().await;
    let ada = system.user("developer", "ada@example.com").await;
    let bob = system.user("developer", "bob@example.com").await;
    let (id, _) = ada.run_to_end(json!({"command": "echo hello"})).await;
    assert_eq!(bob.get(&format!("/executions/{id}/logs")).await.status, 403);
    let owners = json!({"owned_by": ["ada@example.com", "Bob@Example.com"]});
    assert_eq!(bob.put(&format!("/executions/{id}/owners"), &owners).await.status, 403);
    let changed = ada.put(&format!("/executions/{id}/owners"), &owners).await;
    assert_eq!(
        (changed.status.as_u16(), changed.json()),
        (200, json!({"owned_by": ["ada@example.com", "bob@example.com"]}))
    );
    assert!(bob.log(&id).await.contains(&"hello".to_owned()));
    for bad in [json!({"owned_by": []}), json!({"owned_by": ["nobody"]}), json!({})] {
        assert_eq!(ada.put(&format!("/executions/{id}/owners"), &bad).await.status, 400, "{bad}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_who_is_no_owner_any_more_follows_no_longer() {
    let system = System::start().await;
    let ada = system.user("developer", "ada@example.com").await;
    let bob = system.user("developer", "bob@example.com").await;
    let execution = id(&ada.run("sleep 60").await);
    ada.wait_for(&execution, "RUNNING").await;
    let path = format!("/executions/{execution}/owners");
    let both = json!({"owned_by": ["ada@example.com", "bob@example.com"]});
    assert_eq!(ada.put(&path, &both).await.status, 200);
    let logs = bob.get(&format!("/executions/{execution}/logs")).await.json();
    let url = logs["websocket_url"].as_str().unwrap().to_owned();
    let open = tokio::spawn(watch(connect(&url).await.unwrap()));
    assert_eq!(ada.put(&path, &json!({"owned_by": ["ada@example.com"]})).await.status, 200);
    open.await.unwrap();
    assert_eq!(connect(&url).await.unwrap_err(), 403);
    let own = ada.get(&format!("/executions/{execution}/logs")).await.json();
    drop(connect(own["websocket_url"].as_str().unwrap()).await.unwrap());
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_users_who_are_not_revoked_become_owners_and_present_ones_may_stay() {
    let system = System::start().await;
    let admin = &system.admin;
    let ada = system.user("developer", "ada@example.com").await;
    system.user("developer", "bob@example.com").await;
    let paths = owned_things(admin, &ada).await;
    let both = json!({"owned_by": ["admin@runvoy.local", "bob@example.com"]});
    for path in &paths {
        let refused = admin.put(path, &json!({"owned_by": ["admin@runvoy.local", "typo@example.com"]})).await;
        let answer = refused.json();
        assert_eq!((refused.status.as_u16(), &answer["field"]), (400, &json!("owned_by")), "{path}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("typo@example.com"), "{path}: {answer}");
        assert_eq!(admin.put(path, &both).await.status, 200, "{path}");
    }
    assert_eq!(admin.post("/users/revoke", &json!({"email": "bob@example.com"})).await.status, 200);
    let alone = json!({"owned_by": ["admin@runvoy.local"]});
    for path in &paths {
        assert_eq!(admin.put(path, &both).await.status, 200, "{path}: a present owner may stay");
        assert_eq!(admin.put(path, &alone).await.status, 200, "{path}");
        assert_eq!(admin.put(path, &both).await.status, 400, "{path}: a revoked user becomes none");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_shared_is_used_by_those_only() {
    let system = System::start().await;
    let admin = &system.admin;
    let ada = system.user("developer", "ada@example.com").await;
    let bob = system.user("developer", "bob@example.com").await;
    let secret = json!({"name": "prod", "key_name": "PROD", "value": "v"});
    assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    let run = json!({"command": "true", "secrets": ["prod"]});
    assert_eq!(bob.post("/run", &run).await.status, 202, "without sharing, everyone who may run may use it");
    assert_eq!(bob.put("/secrets/prod/sharing", &json!({"shared_with": ["bob@example.com"]})).await.status, 403);
    let refused = admin.put("/secrets/prod/sharing", &json!({"shared_with": ["role:nobody"]})).await;
    assert_eq!((refused.status.as_u16(), refused.json()["field"].clone()), (400, json!("shared_with")));
    let shared = admin.put("/secrets/prod/sharing", &json!({"shared_with": ["ada@example.com"]})).await;
    assert_eq!((shared.status.as_u16(), shared.json()), (200, json!({"shared_with": ["ada@example.com"]})));
    assert_eq!(admin.get("/secrets/prod").await.json()["secret"]["shared_with"], json!(["ada@example.com"]));
    assert_eq!(ada.post("/run", &run).await.status, 202);
    let refused = bob.post("/run", &run).await;
    assert_eq!(refused.status, 403);
    assert!(refused.json()["details"].as_str().unwrap().contains("prod"), "it names the secret: {}", refused.text);
    assert_eq!(admin.put("/secrets/prod/sharing", &json!({"shared_with": ["role:developer"]})).await.status, 200);
    assert_eq!(bob.post("/run", &run).await.status, 202);
    assert_eq!(admin.put("/secrets/prod/sharing", &json!({"shared_with": []})).await.status, 200);
    assert_eq!(bob.post("/run", &run).await.status, 403);
    let without = admin.put("/secrets/prod/sharing", &json!({})).await;
    assert_eq!((without.status.as_u16(), &without.json()["field"]), (400, &json!("shared_with")), "{}", without.text);
    assert_eq!(admin.put("/secrets/prod/sharing", &json!({"shared_with": null})).await.status, 200);
    assert_eq!(bob.post("/run", &run).await.status, 202);
    assert_eq!(admin.put("/secrets/prod/sharing", &json!({"shared_with": ["role:root"]})).await.status, 400);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_owner_of_a_secret_changes_it_and_the_old_one_does_not() {
    let system = System::start().await;
    let ada = system.user("developer", "ada@example.com").await;
    let bob = system.user("developer", "bob@example.com").await;
    assert_eq!(ada.post("/secrets", &json!({"name": "s", "key_name": "S", "value": "v"})).await.status, 201);
    assert_eq!(ada.put("/secrets/s/owners", &json!({"owned_by": ["bob@example.com"]})).await.status, 200);
    assert_eq!(ada.put("/secrets/s", &json!({"value": "w"})).await.status, 403);
    assert_eq!(bob.put("/secrets/s", &json!({"value": "w"})).await.status, 200);
    system.shim.shut_down().await;
}

/// An image is found by its id, by its name and as the default: all three say the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_shared_is_used_by_those_only_by_whatever_name() {
    let system = System::start().await;
    let admin = &system.admin;
    let developer = system.user("developer", "dev@example.com").await;
    let image = json!({"image": "ghcr.io/acme/tool:1", "is_default": true});
    let image_id = admin.post("/images/register", &image).await.json()["image_id"].as_str().unwrap().to_owned();
    assert!(image_id.contains('/'), "{image_id}");
    let names = [Value::Null, json!(image_id), json!("ghcr.io/acme/tool:1")];
    let path = format!("/images/{image_id}/sharing");
    assert_eq!(admin.put(&path, &json!({"shared_with": ["role:operator"]})).await.status, 200);
    for name in &names {
        let refused = developer.post("/run", &json!({"command": "true", "image": name})).await;
        assert_eq!(refused.status, 403, "{name}: {}", refused.text);
    }
    let encoded = image_id.replace('/', "%2F").replace(':', "%3A");
    let owners = json!({"owned_by": ["dev@example.com"]});
    assert_eq!(admin.put(&format!("/images/{encoded}/owners"), &owners).await.status, 200);
    for name in &names {
        let started = developer.post("/run", &json!({"command": "true", "image": name})).await;
        assert_eq!(started.status, 202, "{name}: {}", started.text);
        developer.wait_for(&id(&started.json()), "SUCCEEDED").await;
    }
    assert_eq!(admin.get(&format!("/images/{image_id}")).await.json()["shared_with"], json!(["role:operator"]));
    assert_eq!(admin.put("/images/unknown/owners", &owners).await.status, 404);
    system.shim.shut_down().await;
}

/// Each change of owners or sharing is made for the owners who were read when it was permitted. An owner who is removed at the same
/// moment does not return by a request that is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_is_removed_does_not_return_by_a_request_that_is_under_way() {
    let system = System::start().await;
    let admin = &system.admin;
    let ada = system.user("developer", "ada@example.com").await;
    let paths = owned_things(admin, &ada).await;
    for path in &paths {
        let theirs = json!({"owned_by": ["ada@example.com"]});
        let both = json!({"owned_by": ["ada@example.com", "admin@runvoy.local"]});
        assert_eq!(admin.put(path, &both).await.status, 200, "{path}");
        // Ada's request waits until the admin's has been written.
        let held = hold_transaction(&system, ORCHESTRATOR);
        let alone = json!({"owned_by": ["admin@runvoy.local"]});
        let (late, removed) = tokio::join!(ada.put(path, &theirs), held.during(admin.put(path, &alone)));
        system.shim.plan_faults(None);
        assert_eq!((late.status.as_u16(), removed.status.as_u16()), (409, 200), "{path}: {}", late.text);
        // Others' schedules and notifications are not shown to developers.
        let is_hidden = ["/schedules/", "/notifications/"].iter().any(|hidden| path.starts_with(hidden));
        assert_eq!(ada.put(path, &theirs).await.status, if is_hidden { 404 } else { 403 }, "{path}");
    }
    system.shim.shut_down().await;
}
