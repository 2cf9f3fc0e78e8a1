//! Every role on every route, for its own and for others' resources, through HTTP. The policies have a table of their own in
//! core; these tests show that each route asks for the right action on the right resource.

use axum::http::Method;
use serde_json::{Value, json};

use super::resource_maker::{About, Maker};
use crate::client::{Answer, System, id};

/// A route with an example of a request.
pub struct Row {
    pub method: Method,
    pub path: &'static str,
    /// The kind of resource that `{}` in the path and the body stands for.
    pub about: About,
    pub body: &'static str,
    /// The status for a caller who is allowed.
    status: u16,
    /// Tells whether an operator, a developer, a viewer and a runner are allowed without owning the resource.
    may: [bool; 4],
    /// The action that a refusal names in the audit.
    action: &'static str,
    /// The actions of the entries that the audit has when the caller is allowed.
    done: &'static [&'static str],
}

const ALL: [bool; 4] = [true; 4];
const OPERATOR: [bool; 4] = [true, false, false, false];
const DEVELOPER: [bool; 4] = [true, true, false, false];
const RUNNER: [bool; 4] = [true, true, false, true];
const ADMIN: [bool; 4] = [false; 4];

pub fn rows() -> Vec<Row> {
    use About::*;
    let row = |method: &str, path, about, body, status, may, action, done| {
        let method = method.parse().unwrap();
        Row { method, path, about, body, status, may, action, done }
    };
    let run_image = r#"{"command": "true", "image": "{}"}"#;
    let run_secret = r#"{"command": "true", "secrets": ["{}"]}"#;
    let new_secret = r#"{"name": "new-{}", "key_name": "NEW", "value": "v"}"#;
    let new_notification = r#"{"name": "new-{}", "channel": {"webhook": {"url": "https://example.com"}}}"#;
    let new_user = r#"{"email": "new-{}@example.com", "role": "viewer"}"#;
    let unknown = r#"{"email": "unknown@example.com"}"#;
    let owners = r#"{"owned_by": ["admin@runvoy.local"]}"#;
    let sharing = r#"{"shared_with": ["role:developer"]}"#;
    let playbook = r#"{"commands": ["true", "true"]}"#;
    let new_schedule = r#"{"name": "new-{}", "cron": "0 0 1 1 *", "run": {"command": "true"}}"#;
    let pause = r#"{"enabled": false}"#;
    let ran: &[&str] = &["executions:run", "images:use"];
    let ran_with_secret: &[&str] = &["executions:run", "images:use", "secrets:use"];
    vec![
        row("GET", "/health", Account, "", 200, ALL, "", &[]),
        row("GET", "/openapi.json", Account, "", 200, ALL, "", &[]),
        row("GET", "/docs", Account, "", 200, ALL, "", &[]),
        row("GET", "/claim/unknown", Account, "", 404, ALL, "", &[]),
        row("POST", "/run", Account, r#"{"command": "true"}"#, 202, DEVELOPER, "executions:run", ran),
        row("POST", "/run", Image, run_image, 202, DEVELOPER, "executions:run", ran),
        row("POST", "/run", Secret, run_secret, 202, DEVELOPER, "executions:run", ran_with_secret),
        row("GET", "/executions", Account, "", 200, ALL, "executions:list", &[]),
        row("GET", "/executions/{}", Execution, "", 200, [true, true, true, false], "executions:read", &[]),
        row("GET", "/executions/{}/status", Execution, "", 200, [true, true, true, false], "executions:status", &[]),
        row("GET", "/executions/{}/logs", Execution, "", 200, OPERATOR, "executions:logs", &[]),
        row("DELETE", "/executions/{}", Execution, "", 204, OPERATOR, "executions:kill", &[]),
        row(
            "POST",
            "/executions/{}/approve",
            Waiting,
            "{ }",
            200,
            OPERATOR,
            "executions:approve",
            &["executions:approve"],
        ),
        row("POST", "/executions/{}/deny", Waiting, "{ }", 200, OPERATOR, "executions:deny", &["executions:deny"]),
        row("PUT", "/executions/{}/owners", Execution, owners, 200, ADMIN, "executions:own", &["executions:own"]),
        row("GET", "/users", Account, "", 200, OPERATOR, "users:list", &[]),
        row("POST", "/users/create", Account, new_user, 201, ADMIN, "users:create", &["users:create"]),
        row("POST", "/users/revoke", Account, unknown, 404, ADMIN, "users:revoke", &[]),
        row("PUT", "/users/unknown@example.com", Account, r#"{"role": "viewer"}"#, 404, ADMIN, "users:update", &[]),
        row("POST", "/users/unknown@example.com/claim", Account, "", 404, ADMIN, "users:claim", &[]),
        row("GET", "/keys", Account, "", 200, ALL, "keys:list", &[]),
        row("GET", "/keys?email=admin@runvoy.local", Account, "", 200, ADMIN, "keys:list", &[]),
        row("POST", "/keys", Account, r#"{"name": "key {}"}"#, 201, ALL, "keys:create", &["keys:create"]),
        row("DELETE", "/keys/unknown", Account, "", 404, ALL, "keys:delete", &[]),
        row("GET", "/images", Account, "", 200, DEVELOPER, "images:list", &[]),
        row("GET", "/images/{}", Image, "", 200, DEVELOPER, "images:read", &[]),
        row(
            "POST",
            "/images/register",
            Account,
            r#"{"image": "x:{}"}"#,
            201,
            OPERATOR,
            "images:register",
            &["images:register"],
        ),
        row("PUT", "/images/{}/owners", Image, owners, 200, ADMIN, "images:own", &["images:own"]),
        row("PUT", "/images/{}/sharing", Image, sharing, 200, OPERATOR, "images:share", &["images:share"]),
        row("DELETE", "/images/{}", Image, "", 200, OPERATOR, "images:delete", &["images:delete"]),
        row("GET", "/secrets", Account, "", 200, DEVELOPER, "secrets:list", &[]),
        row("GET", "/secrets/{}", Secret, "", 200, OPERATOR, "secrets:read", &["secrets:read"]),
        row("POST", "/secrets", Account, new_secret, 201, DEVELOPER, "secrets:create", &["secrets:create"]),
        row("PUT", "/secrets/{}", Secret, r#"{"value": "w"}"#, 200, OPERATOR, "secrets:update", &["secrets:update"]),
        row("PUT", "/secrets/{}/owners", Secret, owners, 200, ADMIN, "secrets:own", &["secrets:own"]),
        row("PUT", "/secrets/{}/sharing", Secret, sharing, 200, OPERATOR, "secrets:share", &["secrets:share"]),
        row("DELETE", "/secrets/{}", Secret, "", 200, OPERATOR, "secrets:delete", &["secrets:delete"]),
        row("GET", "/locks", Account, "", 200, DEVELOPER, "locks:list", &[]),
        row("GET", "/locks/unknown", Account, "", 404, DEVELOPER, "locks:read", &[]),
        row("PUT", "/locks/l", Account, r#"{"slots": 2}"#, 200, OPERATOR, "locks:set", &["locks:set"]),
        row("DELETE", "/locks/unknown", Account, "", 404, OPERATOR, "locks:delete", &[]),
        row("GET", "/executions?user=me", Account, "", 200, ALL, "executions:list", &[]),
        row(
            "GET",
            "/executions?user=admin@runvoy.local",
            Account,
            "",
            200,
            [true, true, true, false],
            "executions:list",
            &[],
        ),
        row("GET", "/playbooks", Account, "", 200, RUNNER, "playbooks:list", &[]),
        row("POST", "/playbooks", Account, r#"{"file": "commands: [true]"}"#, 200, DEVELOPER, "playbooks:publish", &[]),
        row("PUT", "/playbooks/new-{}", Account, playbook, 200, DEVELOPER, "playbooks:publish", &["playbooks:publish"]),
        row("PUT", "/playbooks/{}", Playbook, playbook, 200, OPERATOR, "playbooks:update", &["playbooks:publish"]),
        row("GET", "/playbooks/{}", Playbook, "", 200, DEVELOPER, "playbooks:read", &[]),
        row("GET", "/playbooks/{}", SharedPlaybook, "", 200, RUNNER, "playbooks:read", &[]),
        row("GET", "/playbooks/{}/versions", Playbook, "", 200, DEVELOPER, "playbooks:read", &[]),
        row("POST", "/playbooks/{}/run", Playbook, "{ }", 202, DEVELOPER, "playbooks:run", ran),
        row("POST", "/playbooks/{}/run", SharedPlaybook, "{ }", 202, RUNNER, "playbooks:run", ran),
        row("PUT", "/playbooks/{}/owners", Playbook, owners, 200, ADMIN, "playbooks:own", &["playbooks:own"]),
        row("PUT", "/playbooks/{}/sharing", Playbook, sharing, 200, OPERATOR, "playbooks:share", &["playbooks:share"]),
        row("DELETE", "/playbooks/{}", SharedPlaybook, "", 200, OPERATOR, "playbooks:delete", &["playbooks:delete"]),
        row("GET", "/notifications", Account, "", 200, DEVELOPER, "notifications:list", &[]),
        row("GET", "/notifications/{}", Notification, "", 200, OPERATOR, "notifications:read", &[]),
        row(
            "PUT",
            "/notifications/{}/owners",
            Notification,
            owners,
            200,
            ADMIN,
            "notifications:own",
            &["notifications:own"],
        ),
        row("GET", "/notifications/{}/deliveries", Notification, "", 200, OPERATOR, "notifications:read", &[]),
        row(
            "POST",
            "/notifications",
            Account,
            new_notification,
            201,
            DEVELOPER,
            "notifications:create",
            &["notifications:create"],
        ),
        row(
            "PUT",
            "/notifications/{}",
            Notification,
            r#"{"state": "paused"}"#,
            200,
            OPERATOR,
            "notifications:update",
            &["notifications:update"],
        ),
        row(
            "POST",
            "/notifications/{}/test",
            Notification,
            "",
            202,
            OPERATOR,
            "notifications:test",
            &["notifications:test"],
        ),
        row(
            "POST",
            "/notifications/{}/rotate",
            Notification,
            "",
            200,
            OPERATOR,
            "notifications:update",
            &["notifications:update"],
        ),
        row(
            "DELETE",
            "/notifications/{}",
            Notification,
            "",
            200,
            OPERATOR,
            "notifications:delete",
            &["notifications:delete"],
        ),
        row("GET", "/schedules", Account, "", 200, DEVELOPER, "schedules:list", &[]),
        row("POST", "/schedules", Account, new_schedule, 201, DEVELOPER, "schedules:create", &["schedules:create"]),
        row("GET", "/schedules/{}", Schedule, "", 200, OPERATOR, "schedules:read", &[]),
        row("GET", "/schedules/{}/next", Schedule, "", 200, OPERATOR, "schedules:read", &[]),
        row("PUT", "/schedules/{}", Schedule, pause, 200, OPERATOR, "schedules:update", &["schedules:update"]),
        row("POST", "/schedules/{}/run", Schedule, "", 202, OPERATOR, "schedules:run", ran),
        row("PUT", "/schedules/{}/owners", Schedule, owners, 200, ADMIN, "schedules:own", &["schedules:own"]),
        row("PUT", "/schedules/{}/sharing", Schedule, sharing, 200, OPERATOR, "schedules:share", &["schedules:share"]),
        row("DELETE", "/schedules/{}", Schedule, "", 200, OPERATOR, "schedules:delete", &["schedules:delete"]),
        row("POST", "/health/reconcile", Account, "", 200, OPERATOR, "health:reconcile", &["health:reconcile"]),
        row("GET", "/trace/00000000-0000-4000-8000-000000000000", Account, "", 200, ADMIN, "requests:trace", &[]),
        row("GET", "/audit", Account, "", 200, ADMIN, "audit:read", &[]),
    ]
}

/// Tells whether a list shows this role such resources only as far as they are its own, or shared with it.
pub fn is_hidden(role: &str, about: About) -> bool {
    match about {
        About::Execution | About::Waiting | About::Playbook => role == "runner",
        About::Notification | About::Schedule => role == "developer",
        _ => false,
    }
}

/// The entries that the audit has of the request that this answers: actor, action, outcome.
async fn entries(system: &System, actor: &str, answer: &Answer) -> Vec<(String, String)> {
    let request = answer.headers["x-request-id"].to_str().unwrap();
    let audit = system.admin.get(&format!("/audit?limit=20&actor={actor}")).await.json();
    let entries = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["request_id"] == request);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut entries: Vec<_> = entries
        .map(|entry| {
            assert_eq!(entry["source_address"], "127.0.0.1", "{entry}");
            assert!(entry["key_id"].is_string() && entry["resource"].is_string(), "{entry}");
            (text(&entry["action"]), text(&entry["outcome"]))
        })
        .collect();
    entries.sort();
    entries
}

fn as_done(actions: &[&str]) -> Vec<(String, String)> {
    actions.iter().map(|action| ((*action).to_owned(), "done".to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_may_do_on_every_route_what_the_contract_says_and_the_audit_has_one_entry_for_each() {
    let system = System::start().await;
    let (execution, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let waits = json!({"commands": ["true"], "approvals": {"by": ["role:operator"]}});
    assert_eq!(system.admin.put("/playbooks/waits", &waits).await.status, 200);
    let asker = system.user("developer", "asker@example.com").await;
    let mut maker = Maker { admin: &system.admin, asker: &asker, dynamodb, execution, made: 0 };
    let roles = ["operator", "developer", "viewer", "runner"];
    for (at, role) in roles.into_iter().enumerate() {
        let email = format!("{role}@example.com");
        let caller = system.user(role, &email).await;
        for row in rows() {
            for owned in [false, true] {
                if owned && row.about == About::Account {
                    continue;
                }
                let thing = maker.make(row.about, if owned { &email } else { "other@example.com" }).await;
                // Owning an image, a secret, a playbook or a schedule is not enough to run other commands: the role must allow runs, too.
                let publishes = row.method == Method::PUT && row.path == "/playbooks/{}";
                let may_run = ["operator", "developer"].contains(&role);
                let runs = row.path == "/run" || row.about == About::Schedule && row.path.ends_with("/run");
                let allowed = row.may[at]
                    || owned && row.path != "/run" && (may_run || !publishes && !runs) && row.about != About::Waiting;
                let (path, body) = (row.path.replace("{}", &thing), row.body.replace("{}", &thing));
                let answer = caller.request(row.method.clone(), &path, &[], body).await;
                let what = format!("{role} {} {path} owned: {owned}", row.method);
                let hides = is_hidden(role, row.about) && !publishes;
                let refused = if hides && !owned && (may_run || !runs) { 404 } else { 403 };
                assert_eq!(answer.status, if allowed { row.status } else { refused }, "{what}: {}", answer.text);
                let expected = if allowed {
                    as_done(row.done)
                } else {
                    let refusal = answer.json();
                    if refused == 403 {
                        assert_eq!((&refusal["error"], &refusal["code"]), (&json!("Forbidden"), &json!("FORBIDDEN")));
                    } else {
                        assert_eq!(refusal["code"], "NOT_FOUND", "{what}: {refusal}");
                    }
                    let action = if owned && publishes || runs && !may_run { "executions:run" } else { row.action };
                    vec![(action.to_owned(), "refused".to_owned())]
                };
                assert_eq!(entries(&system, &email, &answer).await, expected, "{what}");
            }
        }
    }
    // An admin may do everything to what others own.
    for row in rows() {
        let thing = maker.make(row.about, "other@example.com").await;
        let (path, body) = (row.path.replace("{}", &thing), row.body.replace("{}", &thing));
        let answer = system.admin.request(row.method.clone(), &path, &[], body).await;
        assert_eq!(answer.status, row.status, "admin {} {path}: {}", row.method, answer.text);
        let entries = entries(&system, "admin@runvoy.local", &answer).await;
        assert_eq!(entries, as_done(row.done), "admin {} {path}", row.method);
    }
    system.shim.shut_down().await;
}

/// A route that is described and has no row is one of which nobody has said who may use it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_of_the_description_has_a_row() {
    let system = System::start().await;
    let description = system.admin.get("/openapi.json").await.json();
    let same = |pattern: &str, path: &str| {
        let path = path.split('?').next().unwrap_or_default();
        let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len() && pattern.iter().zip(&path).all(|(part, of)| part.starts_with('{') || part == of)
    };
    let rows = rows();
    let mut without = Vec::new();
    for (pattern, methods) in description["paths"].as_object().unwrap() {
        let pattern = pattern.trim_start_matches("/api/v1");
        for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let has_row =
                rows.iter().any(|row| row.method.as_str().eq_ignore_ascii_case(method) && same(pattern, row.path));
            if !has_row {
                without.push(format!("{method} {pattern}"));
            }
        }
    }
    // Each user asks who they are.
    assert_eq!(without, ["get /me"]);
    system.shim.shut_down().await;
}

/// Without a key, only health, claims and the description of the API are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_but_the_public_ones_answers_without_a_key() {
    let system = System::start().await;
    let mut anonymous = system.admin.clone();
    anonymous.key.clear();
    for Row { method, path, body, status, action, .. } in rows() {
        let answer = anonymous.request(method.clone(), &path.replace("{}", "x"), &[], body).await;
        // Only what is public has no action.
        let expected = if action.is_empty() { status } else { 401 };
        assert_eq!(answer.status.as_u16(), expected, "{method} {path}: {}", answer.text);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_reach_their_own_executions() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let id = id(&developer.run("sleep 60").await);
    developer.wait_for(&id, "RUNNING").await;
    assert_eq!(developer.get(&format!("/executions/{id}/logs")).await.status, 200);
    assert_eq!(developer.delete(&format!("/executions/{id}")).await.status, 200);
    developer.wait_for(&id, "STOPPED").await;
    system.shim.shut_down().await;
}
