//! The audit: who did what, or was refused it. That every route has its entry is tested beside the roles.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::Method;
use local_shim::{
    EVENT_PROCESSOR, ORCHESTRATOR, Settings,
    aws::faults::{Call, Fault},
    stack::Stack,
};
use serde_json::{Value, json};

use crate::client::{Answer, Caller, MovedClock, System, connect, id, next_page};

/// The entries that a query finds, newest first, from all pages.
async fn entries(admin: &Caller, query: &str) -> Vec<Value> {
    let mut path = format!("/audit?{query}");
    let mut entries = Vec::new();
    loop {
        let page = admin.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        entries.extend(page.json()["entries"].as_array().unwrap().iter().cloned());
        match next_page(&page) {
            Some(next) => path = next,
            None => return entries,
        }
    }
}

fn request_of(answer: &Answer) -> &str {
    answer.headers["x-request-id"].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_leaves_names_of_all_it_used_and_no_value() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    for name in ["one", "two"] {
        let secret = json!({"name": name, "key_name": format!("KEY_{name}"), "value": "v4lue-of-a-secret"});
        assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    }
    let body = json!({
        "command": "true", "secrets": ["one", "two"], "env": {"TOKEN": "v4lue-of-a-variable"},
        "git_repo": "file://user:v4lue-of-a-password@localhost/none", "git_ref": "main", "timeout": 60,
    });
    let started = developer.post("/run", &body).await;
    assert_eq!(started.status, 202, "{}", started.text);
    let found = entries(&system.admin, "actor=dev@example.com").await;
    let of_run: Vec<&Value> = found.iter().filter(|entry| entry["request_id"] == request_of(&started)).collect();
    let mut actions: Vec<&str> = of_run.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["executions:run", "images:use", "secrets:use", "secrets:use"]);
    let run = of_run.iter().find(|entry| entry["action"] == "executions:run").unwrap();
    let execution = id(&started.json());
    assert_eq!(run["resource"], format!("execution:{execution}"));
    let details = &run["details"];
    assert_eq!(
        (&details["variables"], &details["secrets"], &details["git_repo"], &details["timeout"]),
        (&json!(["TOKEN"]), &json!(["one", "two"]), &json!("file://localhost/none"), &json!(60))
    );
    assert!(!serde_json::to_string(&found).unwrap().contains("v4lue"), "{found:?}");
    let of_secret = entries(&system.admin, "resource=secret:one").await;
    let actions: Vec<&str> = of_secret.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["secrets:use", "secrets:create"]);
    let of_execution = entries(&system.admin, &format!("resource=execution:{execution}")).await;
    assert_eq!(of_execution.len(), 1);
    // Each entry is a line of the function's log, too.
    let trace = system.admin.get(&format!("/trace/{}", request_of(&started))).await.json();
    let lines: Vec<Value> = trace["logs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| serde_json::from_str(line["message"].as_str().unwrap()).ok())
        .filter(|line: &Value| line["message"] == "audit")
        .collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines.iter().all(|line| line["actor"] == "dev@example.com"), "{lines:?}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_found_by_actor_action_resource_outcome_and_time_page_by_page() {
    let clock = MovedClock::default();
    let settings =
        Settings { clock: Some(aws_smithy_async::time::SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let admin = &system.admin;
    let viewer = system.user("viewer", "v@example.com").await;
    for number in 0..7 {
        let secret = json!({"name": format!("s{number}"), "key_name": "S", "value": "v"});
        assert_eq!(admin.post("/secrets", &secret).await.status, 201);
        assert_eq!(viewer.get(&format!("/secrets/s{number}")).await.status, 403);
        // Some entries are a day older than others.
        clock.move_on(Duration::from_hours(6));
    }
    assert_eq!(entries(admin, "actor=v@example.com&outcome=refused").await.len(), 7);
    assert_eq!(entries(admin, "action=secrets:create").await.len(), 7);
    assert_eq!(entries(admin, "action=secrets:create&limit=2").await.len(), 7);
    assert_eq!(entries(admin, "resource=secret:s3").await.len(), 2);
    assert_eq!(entries(admin, "resource=secret:s3&actor=V@Example.com").await.len(), 1);
    assert_eq!(entries(admin, "outcome=failed").await.len(), 0);
    let all = entries(admin, "limit=3").await;
    let times: Vec<&str> = all.iter().map(|entry| entry["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
    assert_eq!(all.len(), entries(admin, "limit=1000").await.len());
    let third =
        entries(admin, "resource=secret:s3&action=secrets:create").await[0]["time"].as_str().unwrap().to_owned();
    assert_eq!(entries(admin, &format!("action=secrets:create&since={third}")).await.len(), 4);
    assert_eq!(entries(admin, &format!("action=secrets:create&until={third}")).await.len(), 3);
    for bad in ["outcome=perhaps", "since=soon", "limit=many", "cursor=x"] {
        assert_eq!(admin.get(&format!("/audit?{bad}")).await.status, 400, "{bad}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_connections_admin_events_and_keys_that_were_revoked_are_in_the_audit() {
    let system = System::start().await;
    let admin = &system.admin;
    let viewer = system.user("developer", "dev@example.com").await;
    let claim = &entries(admin, "actor=dev@example.com").await[0];
    assert_eq!((&claim["action"], &claim["outcome"]), (&json!("keys:claim"), &json!("done")));
    let started = viewer.run("sleep 60").await;
    drop(connect(started["websocket_url"].as_str().unwrap()).await.unwrap());
    let followed = entries(admin, "action=executions:follow").await;
    assert_eq!(followed.len(), 1);
    assert_eq!(
        (&followed[0]["actor"], &followed[0]["resource"], &followed[0]["key_id"]),
        (&json!("dev@example.com"), &json!(format!("execution:{}", id(&started))), &claim["key_id"])
    );
    assert_eq!(admin.process_with_key(include_str!("../../../examples/create-admin.json")).await.status, 200);
    let made = entries(admin, "actor=event").await;
    assert_eq!((made.len(), &made[0]["action"]), (1, &json!("users:create")));
    let sent = entries(admin, "action=events:send").await;
    assert_eq!(
        (sent.len(), &sent[0]["actor"], &sent[0]["resource"], &sent[0]["outcome"]),
        (1, &json!("admin@runvoy.local"), &json!("event:Create Admin"), &json!("done"))
    );
    assert_eq!(admin.post("/users/revoke", &json!({"email": "dev@example.com"})).await.status, 200);
    assert_eq!(viewer.get("/executions").await.status, 401);
    let refused = entries(admin, "actor=dev@example.com&outcome=refused").await;
    assert_eq!((refused.len(), &refused[0]["action"]), (1, &json!("keys:use")));
    system.shim.shut_down().await;
}

/// Under injected faults, no value of a secret is handed out, by the API or to a task, unless the audit says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_a_secret_leaves_without_its_entry() {
    let system =
        System::start_with(Settings { call_timeout: Some(Duration::from_millis(300)), ..Settings::ephemeral() }).await;
    let admin = &system.admin;
    let secret = json!({"name": "s", "key_name": "S", "value": "v4lue"});
    assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    let marker = tempfile::NamedTempFile::new().unwrap();
    let run = json!({"command": format!("echo $S >> {}", marker.path().display()), "secrets": ["s"]});
    for fault in [Fault::Fails, Fault::Throttled, Fault::Lost, Fault::Hangs] {
        // The writes of the audit fail: the only PutItem of a request that reads a secret, and the only transaction of a run.
        system.shim.plan_faults(Some(std::sync::Arc::new(move |call: Call<'_>| {
            ["dynamodb:PutItem", "dynamodb:TransactWriteItems"].contains(&call.operation).then_some(fault)
        })));
        let read = admin.get("/secrets/s").await;
        let ran = admin.post("/run", &run).await;
        system.shim.plan_faults(None);
        assert_eq!((read.status.as_u16(), ran.status.as_u16()), (503, 503), "{fault:?}");
        assert!(!read.text.contains("v4lue"), "{fault:?}: {}", read.text);
    }
    assert_eq!(std::fs::read_to_string(marker.path()).unwrap(), "", "no task was given the value");
    assert_eq!(admin.get("/secrets/s").await.status, 200);
    system.shim.shut_down().await;
}

/// The writes to the audit's table in a call to DynamoDB.
fn writes_of_entries(call: Call<'_>) -> Vec<Value> {
    let body: Value = serde_json::from_slice(call.body).unwrap_or_default();
    let writes = match call.operation {
        "dynamodb:TransactWriteItems" => body["TransactItems"].as_array().cloned().unwrap_or_default(),
        operation if operation.starts_with("dynamodb:") => vec![json!({operation: body})],
        _ => Vec::new(),
    };
    let is_entry = |write: &Value| {
        let parts = write.as_object().into_iter().flat_map(|write| write.values());
        parts
            .into_iter()
            .any(|part| part["TableName"] == "runvoy-local-audit" && part["KeyConditionExpression"].is_null())
    };
    writes.into_iter().filter(is_entry).collect()
}

/// An entry that exists is never written over, whoever has made the table's key of another entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_to_the_audit_is_of_an_entry_that_does_not_exist_yet() {
    let system = System::start().await;
    let admin = &system.admin;
    let viewer = system.user("viewer", "v@example.com").await;
    let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = written.clone();
    system.shim.plan_faults(Some(std::sync::Arc::new(move |call: Call<'_>| {
        seen.lock().unwrap().extend(writes_of_entries(call));
        None
    })));
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    assert_eq!(admin.get("/secrets/s").await.status, 200);
    assert_eq!(viewer.get("/secrets/s").await.status, 403);
    assert_eq!(admin.put("/users/v@example.com", &json!({"role": "runner"})).await.status, 200);
    admin.run_to_end(json!({"command": "true", "secrets": ["s"]})).await;
    assert_eq!(admin.delete("/secrets/s").await.status, 200);
    system.shim.plan_faults(None);
    let written = written.lock().unwrap().clone();
    // Creation, reading, refusal, change of the role, run, use of the image and of the secret, deletion.
    assert!(written.len() >= 8, "{written:#?}");
    for write in &written {
        let put = write.get("Put").or(write.get("dynamodb:PutItem")).unwrap_or_else(|| panic!("no put: {write}"));
        assert_eq!(put["ConditionExpression"], "attribute_not_exists(time_id)", "{write}");
    }
    system.shim.shut_down().await;
}

/// The roles of the functions may put entries, and neither change nor delete them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_function_may_change_or_delete_an_entry() {
    let stack = Stack::bundled(&Default::default()).unwrap();
    for function in [ORCHESTRATOR, EVENT_PROCESSOR] {
        let policies = &stack.function(function).unwrap().policies;
        for statement in local_shim::aws::permissions::Statement::all(policies) {
            for action in ["dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"] {
                let access = local_shim::aws::permissions::Access {
                    action: action.to_owned(),
                    resource: "arn:aws:dynamodb:us-east-1:000000000000:table/runvoy-local-audit".to_owned(),
                    conditions: Default::default(),
                };
                assert!(!statement.allows(&access), "{function} may {action}");
            }
        }
    }
    let system = System::start().await;
    let audit =
        aws_sdk_dynamodb::Client::new(system.shim.sdk()).scan().table_name("runvoy-local-audit").send().await.unwrap();
    let item = &audit.items()[0];
    let expires_at: i64 = item["expires_at"].as_n().unwrap().parse().unwrap();
    let kept = expires_at - jiff::Timestamp::now().as_second();
    assert!((399 * 86_400..=400 * 86_400).contains(&kept), "an entry is kept for {kept} seconds");
    assert!(item.values().all(|value| !matches!(value, AttributeValue::Null(_))), "{item:?}");
    assert_eq!(system.admin.request(Method::DELETE, "/audit", &[], "").await.status, 405);
    system.shim.shut_down().await;
}

/// The orchestrator writes the record of a run and its entries after the task has started. If it dies there, the task's first event does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_program_dies_after_its_task_has_started_has_its_entries() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    for (body, expected) in [
        (json!({"command": "true"}), vec!["executions:run", "images:use"]),
        (json!({"command": "true", "secrets": ["s"]}), vec!["executions:run", "images:use", "secrets:use"]),
    ] {
        // The orchestrator's transaction after RunTask never has an effect. Those of the task's events do, which may come before it.
        let dies: std::sync::Arc<std::sync::Mutex<(bool, Option<String>)>> = Default::default();
        system.shim.plan_faults(Some(std::sync::Arc::new(move |call: Call<'_>| {
            let mut state = dies.lock().unwrap();
            state.0 |= call.operation == "ecs:RunTask";
            let is_write = call.operation == "dynamodb:TransactWriteItems" && call.caller == Some(ORCHESTRATOR);
            if !is_write || !state.0 {
                return None;
            }
            let first = state.1.get_or_insert_with(|| call.invocation.to_owned());
            (first == call.invocation).then_some(Fault::Fails)
        })));
        let answer = developer.post("/run", &body).await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        let deadline = std::time::Instant::now() + crate::client::TIMEOUT;
        let query = format!("actor=dev@example.com&action=executions:run&since={}", "2026-01-01T00:00:00Z");
        let of_request = |found: Vec<Value>| -> Vec<Value> {
            found.into_iter().filter(|entry| entry["request_id"] == request_of(&answer)).collect()
        };
        while of_request(entries(&system.admin, &query).await).is_empty() {
            assert!(std::time::Instant::now() < deadline, "the event of the task writes no entry");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        system.shim.events_handled().await;
        system.shim.plan_faults(None);
        let found = of_request(entries(&system.admin, "actor=dev@example.com").await);
        let mut actions: Vec<&str> = found.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        actions.sort_unstable();
        assert_eq!(actions, expected);
        for entry in &found {
            assert!(entry["key_id"].is_string() && entry["source_address"].is_string(), "{entry}");
        }
    }
    system.shim.shut_down().await;
}
