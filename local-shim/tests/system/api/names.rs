//! Names of resources that a caller may not see: no answer tells that they exist.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    resource_maker::{About, Maker},
    roles::{is_hidden, rows},
};
use crate::client::{Answer, Caller, System};

/// Everything of an answer by which two of them can be told apart, with the name left out.
fn told(answer: &Answer, name: &str) -> (u16, String) {
    (answer.status.as_u16(), answer.text.replace(name, "NAME"))
}

async fn ask(caller: &Caller, method: &Method, path: &str, body: &str, name: &str) -> Answer {
    caller.request(method.clone(), &path.replace("{}", name), &[], body.replace("{}", name)).await
}

/// A name of the same form that nothing has.
fn missing(about: About, name: &str) -> String {
    match about {
        About::Execution | About::Waiting => name.chars().rev().collect(),
        _ => "nothing-has-this-name".to_owned(),
    }
}

/// Tells whether a list shows the role all resources of this kind, so that their names are no secret to it.
fn lists_all(role: &str, about: About) -> bool {
    match (role, about) {
        ("operator", _) => true,
        ("developer", About::Notification | About::Schedule) => false,
        ("developer", _) => true,
        ("viewer", About::Execution | About::Waiting) => true,
        ("runner", About::SharedPlaybook) => true,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_may_not_see_is_answered_on_every_route_as_what_does_not_exist() {
    let system = System::start().await;
    let (execution, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let waits = json!({"commands": ["true"], "approvals": {"by": ["role:operator"]}});
    assert_eq!(system.admin.put("/playbooks/waits", &waits).await.status, 200);
    let asker = system.user("developer", "asker@example.com").await;
    let mut maker = Maker { admin: &system.admin, asker: &asker, dynamodb, execution, made: 0 };
    let mut compared = 0;
    for role in ["developer", "viewer", "runner"] {
        let caller = system.user(role, &format!("{role}@example.com")).await;
        for row in rows() {
            if !row.path.contains("{}") || row.about == About::Account || lists_all(role, row.about) {
                continue;
            }
            let name = maker.make(row.about, "other@example.com").await;
            let missing = missing(row.about, &name);
            let of_existing = ask(&caller, &row.method, row.path, row.body, &name).await;
            let of_missing = ask(&caller, &row.method, row.path, row.body, &missing).await;
            let what = format!("{role} {} {}", row.method, row.path);
            assert_eq!(told(&of_existing, &name), told(&of_missing, &missing), "{what}");
            let runs_first = row.path == "/schedules/{}/run" && role != "developer";
            let publishes = row.method == Method::PUT && row.path == "/playbooks/{}";
            let expected = if is_hidden(role, row.about) && !runs_first && !publishes { 404 } else { 403 };
            assert_eq!(of_existing.status, expected, "{what}: {}", of_existing.text);
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared} routes and roles");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_a_hidden_name_is_in_the_audit_and_a_missing_one_is_none() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let viewer = system.user("viewer", "v@example.com").await;
    let schedule = json!({"name": "hers", "cron": "0 0 1 1 *", "run": {"command": "true"}});
    assert_eq!(system.admin.post("/schedules", &schedule).await.status, 201);
    assert_eq!(developer.get("/schedules/hers").await.status, 404);
    assert_eq!(developer.get("/schedules/none").await.status, 404);
    // A viewer may list no schedules, so that both are refused, and both are refusals.
    assert_eq!(viewer.get("/schedules/hers").await.status, 403);
    assert_eq!(viewer.get("/schedules/none").await.status, 403);
    let refusals = async |actor: &str| -> Vec<Value> {
        let path = format!("/audit?actor={actor}&outcome=refused");
        let entries = system.admin.get(&path).await.json()["entries"].clone();
        let mut named: Vec<Value> = entries.as_array().unwrap().iter().map(|one| one["resource"].clone()).collect();
        named.sort_by_key(Value::to_string);
        named
    };
    assert_eq!(refusals("dev@example.com").await, ["schedule:hers"]);
    assert_eq!(refusals("v@example.com").await, ["schedule:hers", "schedule:none"]);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_key_learns_no_names_that_its_scope_does_not_reach() {
    let system = System::start().await;
    let admin = &system.admin;
    let secret = json!({"name": "prod", "key_name": "VALUE", "value": "v"});
    assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    for name in ["p", "q"] {
        assert_eq!(admin.put(&format!("/playbooks/{name}"), &json!({"commands": ["true"]})).await.status, 200);
    }
    let key = async |scope: Value| {
        let made = admin.post("/keys", &json!({"name": "limited", "scope": scope})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        admin.with_key(made.json()["api_key"].as_str().unwrap())
    };
    let of_p = key(json!({"playbooks": ["p"]})).await;
    let reads = key(json!({"actions": ["secrets:read"]})).await;
    let lists = key(json!({"actions": ["images:list"]})).await;
    for (caller, path, existing, missing) in [
        (&of_p, "/playbooks/{}", "q", "none"),
        (&of_p, "/secrets/{}", "prod", "none"),
        (&lists, "/secrets/{}", "prod", "none"),
        (&lists, "/playbooks/{}", "q", "none"),
    ] {
        let of_existing = caller.get(&path.replace("{}", existing)).await;
        let of_missing = caller.get(&path.replace("{}", missing)).await;
        assert_eq!(told(&of_existing, existing), told(&of_missing, missing), "{path}");
        assert_eq!(of_existing.status, 403, "it says that the key is limited: {}", of_existing.text);
    }
    let runs = key(json!({"actions": ["executions:run", "schedules:create"]})).await;
    for (field, existing, missing) in
        [("secrets", json!(["prod"]), json!(["none"])), ("image", json!("ubuntu:22.04"), json!("none"))]
    {
        let ask = async |named: &Value| {
            let run = json!({"command": "true", field: named});
            let scheduled = json!({"name": "s", "cron": "0 0 1 1 *", "run": run});
            let name = named.as_str().or(named[0].as_str()).unwrap().to_owned();
            let (now, later) = (runs.post("/run", &run).await, runs.post("/schedules", &scheduled).await);
            [told(&now, &name), told(&later, &name)]
        };
        let of_existing = ask(&existing).await;
        assert_eq!(of_existing, ask(&missing).await);
        assert!(of_existing.iter().all(|(status, _)| *status == 403), "{of_existing:?}");
    }
    let made = admin.get("/audit?action=keys:create").await.json()["entries"].clone();
    let limits: Vec<_> = made.as_array().unwrap().iter().map(|one| &one["details"]).collect();
    assert_eq!((&limits[3]["playbooks"], &limits[2]["actions"]), (&json!(["p"]), &json!(["secrets:read"])), "{made}");
    // A key that may read every secret is told which there are not.
    assert_eq!(
        (reads.get("/secrets/prod").await.status.as_u16(), reads.get("/secrets/none").await.status.as_u16()),
        (200, 404)
    );
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_for_a_playbook_that_its_maker_may_not_see_is_refused_as_one_for_none() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let viewer = system.user("viewer", "v@example.com").await;
    assert_eq!(system.admin.put("/playbooks/hers", &json!({"commands": ["true"]})).await.status, 200);
    assert_eq!(system.admin.put("/playbooks/hers/sharing", &json!({"shared_with": []})).await.status, 200);
    for caller in [&developer, &viewer] {
        let create = async |playbook: &str| {
            caller.post("/keys", &json!({"name": "ci", "scope": {"playbooks": [playbook]}})).await
        };
        let (of_existing, of_missing) = (create("hers").await, create("none").await);
        assert_eq!(told(&of_existing, "hers"), told(&of_missing, "none"));
        assert_eq!((of_existing.status.as_u16(), &of_existing.json()["field"]), (400, &json!("scope.playbooks[0]")));
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_of_a_playbook_that_its_maker_may_not_see_is_refused_as_one_of_none() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    assert_eq!(system.admin.put("/playbooks/hers", &json!({"commands": ["true"]})).await.status, 200);
    assert_eq!(system.admin.put("/playbooks/hers/sharing", &json!({"shared_with": []})).await.status, 200);
    let create = async |playbook: &str| {
        let schedule = json!({"name": "mine", "cron": "0 0 1 1 *", "playbook": {"name": playbook}});
        developer.post("/schedules", &schedule).await
    };
    let (of_existing, of_missing) = (create("hers").await, create("none").await);
    assert_eq!(told(&of_existing, "hers"), told(&of_missing, "none"));
    assert_eq!((of_existing.status.as_u16(), &of_existing.json()["field"]), (400, &json!("playbook.name")));
    system.shim.shut_down().await;
}
