//! Tests that each refusal of an input names the input, so that clients show it at its field.

use serde_json::{Value, json};

use crate::client::System;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_field_of_a_body_is_named() {
    let system = System::start().await;
    let long = "x".repeat(5000);
    let run = |field: &str, value: Value| {
        let mut body = json!({"command": "true"});
        body[field] = value;
        body
    };
    let image = |field: &str, value: Value| {
        let mut body = json!({"image": "a:1"});
        body[field] = value;
        body
    };
    let secret = |field: &str, value: Value| {
        let mut body = json!({"name": "a", "key_name": "A", "value": "x"});
        body[field] = value;
        body
    };
    let key = |field: &str, value: Value| {
        let mut body = json!({"name": "a"});
        body[field] = value;
        body
    };
    let cases: Vec<(&str, Value, &str)> = vec![
        ("/run", run("command", json!(" ")), "command"),
        ("/run", run("command", json!("# ".repeat(8000))), "command"),
        ("/run", run("image", json!("no image")), "image"),
        ("/run", run("image", json!("unregistered:1")), "image"),
        ("/run", run("env", json!({"1X": "x"})), "env.1X"),
        ("/run", run("env", json!({"RUNVOY_COMMAND": "x"})), "env.RUNVOY_COMMAND"),
        ("/run", run("secrets", json!(["unknown"])), "secrets"),
        ("/run", run("secrets", json!((0..51).map(|n| format!("s{n}")).collect::<Vec<_>>())), "secrets"),
        ("/run", run("timeout", json!(604_801)), "timeout"),
        ("/run", run("git_repo", json!("no-url")), "git_repo"),
        ("/run", run("git_ref", json!("main")), "git_repo"),
        ("/images/register", image("image", json!("no image")), "image"),
        ("/images/register", image("image", json!("")), "image"),
        ("/images/register", image("image", json!(long)), "image"),
        ("/images/register", image("cpu", json!(300)), "cpu"),
        ("/images/register", image("memory", json!(513)), "memory"),
        ("/images/register", image("runtime_platform", json!("Amiga")), "runtime_platform"),
        ("/images/register", image("task_role_name", json!("no-such-role")), "task_role_name"),
        ("/images/register", image("task_role_name", json!("no role")), "task_role_name"),
        ("/images/register", image("task_execution_role_name", json!("no-such-role")), "task_execution_role_name"),
        ("/secrets", secret("name", json!("a b")), "name"),
        ("/secrets", secret("name", json!("..")), "name"),
        ("/secrets", secret("key_name", json!("1X")), "key_name"),
        ("/secrets", secret("key_name", json!("LD_PRELOAD")), "key_name"),
        ("/secrets", secret("value", json!("")), "value"),
        ("/secrets", secret("value", json!(long)), "value"),
        ("/secrets", secret("description", json!(long)), "description"),
        ("/users/create", json!({"email": "nobody", "role": "viewer"}), "email"),
        ("/users/create", json!({"email": "a@example.com", "role": "king"}), "role"),
        ("/users/create", json!({"email": "a@example.com", "role": "viewer", "api_key": "x"}), "api_key"),
        ("/users/revoke", json!({"email": "nobody"}), "email"),
        ("/keys", key("name", json!(" ")), "name"),
        ("/keys", key("name", json!(long)), "name"),
        ("/keys", key("expires_in", json!(999_999_999)), "expires_in"),
        ("/keys", key("scope", json!({"actions": ["no:action"]})), "scope"),
        ("/keys", key("scope", json!({})), "scope"),
        ("/keys", key("scope", json!({"actions": null, "playbooks": null})), "scope"),
        ("/keys", key("scope", json!({"actions": []})), "scope.actions"),
        ("/keys", key("scope", json!({"actions": ["executions:run"], "playbooks": []})), "scope.playbooks"),
        ("/keys", key("scope", json!({"playbooks": ["published-nowhere"]})), "scope.playbooks[0]"),
        ("/keys", key("name", json!("\u{202e}")), "name"),
        ("/keys", key("name", json!("\u{200b}\u{200b}")), "name"),
        ("/keys", key("name", json!("laptop\u{200b}")), "name"),
    ];
    let mut wrong = Vec::new();
    for (path, body, field) in cases {
        let answer = system.admin.post(path, &body).await;
        let named = answer.json()["field"].as_str().unwrap_or_default().to_owned();
        if answer.status != 400
            || !(named == field || named.starts_with(&format!("{field}[")) || named.starts_with(&format!("{field}.")))
        {
            let start: String = body.to_string().chars().take(80).collect();
            wrong.push(format!("{path} {start}: {} {named:?}, not {field:?}", answer.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    system.shim.shut_down().await;
}

/// U+202E turns the direction of what follows, and U+200B is not shown: two texts that look the same are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_and_no_description_hides_a_character_from_those_who_read_it() {
    let system = System::start().await;
    let admin = &system.admin;
    let asker = system.user("developer", "asker@example.com").await;
    let waits = json!({"commands": ["true"], "approvals": {"by": ["role:admin"]}});
    assert_eq!(admin.put("/playbooks/waits", &waits).await.status, 200);
    let started = asker.post("/playbooks/waits/run", &json!({})).await.json();
    let approve = format!("/executions/{}/approve", crate::client::id(&started));
    let channel = json!({"webhook": {"url": "https://example.com"}});
    let mut checked = crate::cases::Cases::default();
    for hidden in ["a\u{202e}b", "\u{200b}", "\u{7}"] {
        let secret = |field: &str| {
            let mut body = json!({"name": "s", "key_name": "S", "value": "v"});
            body[field] = json!(hidden);
            body
        };
        let playbook = |field: &str| json!({"commands": ["true"], "parameters": [{"name": "A", field: hidden}]});
        let schedule = json!({"name": hidden, "cron": "0 0 1 1 *", "run": {"command": "true"}});
        for (path, body, field) in [
            ("/keys", json!({"name": hidden}), "name"),
            ("/secrets", secret("name"), "name"),
            ("/secrets", secret("description"), "description"),
            ("/images/register", json!({"image": hidden}), "image"),
            ("/users/create", json!({"email": format!("{hidden}@example.com"), "role": "viewer"}), "email"),
            ("/schedules", schedule, "name"),
            ("/notifications", json!({"name": hidden, "channel": channel}), "name"),
            ("/run", json!({"command": "true", "lock": hidden}), "lock"),
            ("PUT /playbooks/p", json!({"commands": ["true"], "description": hidden}), "description"),
            ("PUT /playbooks/p", playbook("label"), "parameters[0].label"),
            ("PUT /playbooks/p", playbook("description"), "parameters[0].description"),
            (&approve, json!({"comment": hidden}), "comment"),
        ] {
            let refused = match path.strip_prefix("PUT ") {
                Some(path) => admin.put(path, &body).await,
                None => admin.post(path, &body).await,
            };
            checked.equal(&body, (refused.status.as_u16(), refused.json()["field"].as_str()), (400, Some(field)));
        }
    }
    checked.all_hold();
    // Other writing than Latin, and emoji, stay what they are.
    for name in ["مفتاح", "می\u{200c}خواهم", "👩\u{200d}💻"] {
        let made = admin.post("/keys", &json!({"name": name})).await;
        assert_eq!((made.status.as_u16(), &made.json()["key"]["name"]), (201, &json!(name)));
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_a_parameter_that_it_does_not_have_and_changes_nothing() {
    let system = System::start().await;
    let (execution, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    for (path, parameter, hint) in [
        ("/executions?limit=1&stauts=RUNNING", "stauts", "did you mean status?"),
        ("/executions?Limit=1", "Limit", "did you mean limit?"),
        ("/audit?acter=a@example.com", "acter", "did you mean actor?"),
        ("/keys?emial=a@example.com", "emial", "did you mean email?"),
        ("/keys?limt=1", "limt", "did you mean limit?"),
        ("/secrets?page=2", "page", "the parameters are limit, cursor, q"),
        ("/schedules/none/next?cuont=2", "cuont", "did you mean count?"),
        ("/me?x=1", "x", "leave it out: this path takes no parameters"),
    ] {
        let refused = system.admin.get(path).await;
        let answer = refused.json();
        assert_eq!((refused.status.as_u16(), &answer["code"]), (400, &json!("INVALID_REQUEST")), "{path}: {answer}");
        assert_eq!((&answer["field"], &answer["hint"]), (&json!(parameter), &json!(hint)), "{path}: {answer}");
    }
    for row in super::roles::rows() {
        let path = row.path.replace("{}", &execution);
        let path = format!("{path}{}no-such=1", if path.contains('?') { "&" } else { "?" });
        let answer = system.admin.request(row.method.clone(), &path, &[], row.body.replace("{}", "x")).await;
        // Pages that describe the API are files, and monitors ask for the health with parameters of their own.
        let expected = if ["/openapi.json", "/docs", "/health"].contains(&row.path) { 200 } else { 400 };
        assert_eq!(answer.status, expected, "{} {path}: {}", row.method, answer.text);
    }
    let listed = system.admin.get("/executions").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "nothing was started: {listed}");
    // Each parameter of the contract is known.
    for known in [
        "/executions?limit=1&status=RUNNING&user=me&created_by=me&image=ubuntu:22.04&source=api&since=0&until=9999999999&q=a&command=a&playbook=p&schedule=s&lock=l&cursor=&waiting_for=",
        "/audit?actor=a&action=b&resource=c&outcome=done&since=0&until=1&limit=1&cursor=",
        "/keys?email=&limit=1&cursor=&q=a",
        "/users?limit=1&cursor=&q=a",
        "/images?limit=1&cursor=&q=a",
        "/secrets?limit=1&cursor=&q=a",
        "/locks?limit=1&cursor=&q=a",
        "/schedules?limit=1&cursor=&q=a",
        "/playbooks?limit=1&cursor=&q=a",
        "/notifications?limit=1&cursor=&q=a",
        "/me?",
        "/health?&",
        "/executions?after=",
    ] {
        let answer = system.admin.get(known).await;
        assert_eq!(answer.status, 200, "{known}: {}", answer.text);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_parameter_of_a_query_is_named() {
    let system = System::start().await;
    let (ended, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let logs = format!("/executions/{ended}/logs");
    let cases = [
        ("/executions", "limit", "many"),
        ("/executions", "cursor", "nonsense"),
        ("/executions", "status", "NONE"),
        ("/executions", "since", "soon"),
        ("/executions", "until", "soon"),
        ("/executions", "waiting_for", "you"),
        ("/executions", "user", "nobody"),
        (logs.as_str(), "after", "nonsense"),
        ("/images", "limit", "many"),
        ("/images", "cursor", "nonsense"),
        ("/secrets", "limit", "-1"),
        ("/users", "cursor", "nonsense"),
        ("/keys", "email", "nobody"),
        ("/audit", "limit", "many"),
        ("/audit", "cursor", "nonsense"),
        ("/audit", "outcome", "maybe"),
        ("/audit", "since", "soon"),
        ("/audit", "until", "soon"),
    ];
    let mut wrong = Vec::new();
    for (path, parameter, value) in cases {
        let answer = system.admin.get(&format!("{path}?{parameter}={value}")).await;
        let named = answer.json()["field"].clone();
        if answer.status != 400 || named != parameter {
            wrong.push(format!("{path}?{parameter}={value}: {} {named}", answer.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_without_fields_takes_no_body_of_another() {
    let system = System::start().await;
    let admin = &system.admin;
    let schedule = json!({"name": "nightly", "cron": "0 0 1 1 *", "run": {"command": "true"}});
    assert_eq!(admin.post("/schedules", &schedule).await.status, 201);
    for body in [json!({"run": {"command": "other"}}), json!([]), json!("x")] {
        for path in [
            "/schedules/nightly/run",
            "/notifications/none/test",
            "/notifications/none/rotate",
            "/users/admin@runvoy.local/claim",
            "/health/reconcile",
        ] {
            let answer = admin.post(path, &body).await;
            assert_eq!(answer.status, 400, "{path} with {body}: {}", answer.text);
            if body.is_object() {
                assert_eq!(answer.json()["field"], "run", "{path}: {}", answer.text);
            }
        }
    }
    for body in [json!({}), json!(null)] {
        assert_eq!(admin.post("/schedules/nightly/run", &body).await.status, 202);
    }
    assert_eq!(admin.get("/executions").await.json().as_array().unwrap().len(), 2);
    system.shim.shut_down().await;
}
