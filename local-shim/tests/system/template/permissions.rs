//! The roles of the template allow each function the calls that it makes, and no others.

use aws_sdk_dynamodb::types::AttributeValue;
use local_shim::{EVENT_PROCESSOR, ORCHESTRATOR, aws::permissions::Statement, stack::Stack};
use runvoy_core::aws::ssm::{self, NewParameter};
use serde_json::{Value, json};

use crate::{
    client::{Seen, System, connect, id, watch_on},
    executions::queue,
};

/// Damages what reconcile repairs: a task definition, tags, and an abandoned secret.
async fn spoil(system: &System, number: u32) {
    let sdk = system.shim.sdk();
    let (ecs, ssm) = (aws_sdk_ecs::Client::new(sdk), ssm::Client::new(sdk));
    let images = system.admin.get("/images").await.json()["images"].clone();
    let family = |at: usize| images[at]["task_definition_name"].as_str().unwrap().to_owned();
    let arn = async |family: String| {
        let described = ecs.describe_task_definition().task_definition(family).send().await.unwrap();
        described.task_definition.unwrap().task_definition_arn.unwrap()
    };
    ecs.deregister_task_definition().task_definition(arn(family(0)).await).send().await.unwrap();
    let tag = aws_sdk_ecs::types::Tag::builder().key("IsDefault").value("perhaps").build();
    ecs.tag_resource().resource_arn(arn(family(1)).await).tags(tag).send().await.unwrap();

    let secret = json!({"name": format!("untagged-{number}"), "key_name": "S", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let name = format!("/runvoy-local/secrets/untagged-{number}");
    ssm.delete(name.clone()).await.unwrap();
    ssm.put(NewParameter { name, value: "v".to_owned(), ..NewParameter::default() }).await.unwrap();

    let abandoned = json!({"name": format!("abandoned-{number}"), "key_name": "S", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &abandoned).await.status, 201);
    aws_sdk_dynamodb::Client::new(sdk)
        .update_item()
        .table_name("runvoy-local-secrets")
        .key("name", AttributeValue::S(format!("abandoned-{number}")))
        .update_expression("SET #state = :deleting, updated_at = :then")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":deleting", AttributeValue::S("deleting".to_owned()))
        .expression_attribute_values(":then", AttributeValue::S("2026-01-01T00:00:00.000Z".to_owned()))
        .send()
        .await
        .unwrap();
}

/// Lets the event processor start a run that waited, and stop the task of one that was killed while it was being started.
async fn queue(system: &System) {
    let queued =
        queue::run_without_capacity(system, json!({"command": "true", "image": "ubuntu:22.04", "secrets": ["s"]}))
            .await;
    assert_eq!(system.admin.process(queue::SWEEP).await.status, 200);
    system.admin.wait_for(&queued, "SUCCEEDED").await;
    // One waits for the other, whose end lets it start.
    let pipe = tempfile::tempdir().unwrap().keep().join("go");
    let holds = json!({"command": format!("until [ -e {} ]; do sleep 0.05; done", pipe.display()), "image": "ubuntu:22.04", "lock": "l"});
    let held = id(&system.admin.run_with(holds).await);
    let waits = json!({"command": "true", "image": "ubuntu:22.04", "lock": "l", "on_conflict": "queue"});
    let waits = id(&system.admin.run_with(waits).await);
    assert_eq!(system.admin.get("/locks/l").await.json()["waiting"], 1);
    std::fs::write(&pipe, "").unwrap();
    system.admin.wait_for(&held, "SUCCEEDED").await;
    system.admin.wait_for(&waits, "SUCCEEDED").await;
    assert_eq!(system.admin.put("/locks/l", &json!({"slots": 2})).await.status, 200);
    assert_eq!(system.admin.get("/locks").await.status, 200);
    // The task's first event may come before the sweep, which then asks ECS for nothing. Without a task it always asks.
    queue::leave_half_started(system, "TERMINATING").await;
    let without = queue::leave_without_a_task(system, "TERMINATING").await;
    let killed = queue::leave_without_a_task(system, "STARTING").await;
    assert_eq!(system.admin.delete(&format!("/executions/{killed}")).await.status, 200);
    system.admin.wait_for(&killed, "STOPPED").await;
    assert_eq!(system.admin.process(queue::SWEEP).await.status, 200);
    system.admin.wait_for(&without, "STOPPED").await;
}

/// Leaves changes of schedules halfway, as a crash does, and takes one away from AWS.
async fn spoil_schedules(system: &System, number: u32) {
    let sdk = system.shim.sdk();
    let (dynamodb, scheduler) = (aws_sdk_dynamodb::Client::new(sdk), aws_sdk_scheduler::Client::new(sdk));
    // A publication of a playbook that did not get to its schedules.
    dynamodb
        .update_item()
        .table_name("runvoy-local-playbooks")
        .key("name", AttributeValue::S("daily".to_owned()))
        .key("version", AttributeValue::N("0".to_owned()))
        .update_expression("SET pending = :request")
        .expression_attribute_values(":request", AttributeValue::S(format!("a-request-{number}")))
        .send()
        .await
        .unwrap();
    for (name, change) in [
        ("unknown", None),
        ("pending", Some("SET pending = :timing, timing_id = :timing, updated_at = :then")),
        ("deleting", Some("SET #state = :deleting, updated_at = :then")),
    ] {
        let name = format!("{name}-{number}");
        let schedule = json!({"name": name, "cron": "0 0 1 1 *", "run": {"command": "true", "image": "ubuntu:22.04"}});
        assert_eq!(system.admin.post("/schedules", &schedule).await.status, 201);
        let Some(change) = change else {
            scheduler.delete_schedule().group_name("runvoy-local").name(&name).send().await.unwrap();
            continue;
        };
        let mut update = dynamodb
            .update_item()
            .table_name("runvoy-local-schedules")
            .key("name", AttributeValue::S(name))
            .update_expression(change)
            .expression_attribute_values(":then", AttributeValue::S("2026-01-01T00:00:00.000Z".to_owned()));
        if change.contains(":timing") {
            update = update.expression_attribute_values(":timing", AttributeValue::S("another-timing".to_owned()));
        } else {
            update = update
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":deleting", AttributeValue::S("deleting".to_owned()));
        }
        update.send().await.unwrap();
    }
}

/// Sends everything that the functions can be asked for.
async fn walk(system: &System) {
    let admin = &system.admin;
    let user = system.user("viewer", "v@example.com").await;
    assert_eq!(user.get("/executions?status=RUNNING").await.status, 200);
    assert_eq!(admin.post("/users/revoke", &json!({"email": "v@example.com"})).await.status, 200);
    assert_eq!(admin.get("/users").await.status, 200);
    let admin_made = system.user("admin", "second@example.com").await;
    let key = admin_made.post("/keys", &json!({"name": "another"})).await.json();
    assert_eq!(admin.get("/keys?email=second@example.com").await.status, 200);
    assert_eq!(admin.delete(&format!("/keys/{}", key["key"]["key_id"].as_str().unwrap())).await.status, 200);
    assert_eq!(admin.put("/users/second@example.com", &json!({"role": "viewer"})).await.status, 200);
    assert_eq!(admin.post("/users/second@example.com/claim", &Value::Null).await.status, 201);
    assert_eq!(admin.get("/audit").await.status, 200);
    assert_eq!(admin.get("/audit?actor=second@example.com").await.status, 200);
    let image = json!({"image": "tool:1", "is_default": true, "task_role_name": "runvoy-local-TaskRole"});
    assert_eq!(admin.post("/images/register", &image).await.status, 201);
    let image = admin.get("/images/tool:1").await.json()["image_id"].as_str().unwrap().to_owned();
    assert_eq!(admin.delete(&format!("/images/{image}")).await.status, 200);
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    assert_eq!(admin.get("/secrets/s").await.status, 200);
    assert_eq!(admin.put("/secrets/s", &json!({"value": "w"})).await.status, 200);
    // The command takes a while to end, so the kill's own invocation tells its viewer.
    let command = "trap 'sleep 1; exit' TERM; sleep 60 & wait";
    let body = json!({"command": command, "image": "ubuntu:22.04", "secrets": ["s"]});
    let started = admin.run_with(body).await;
    let url = format!("{}&status=true", started["websocket_url"].as_str().unwrap());
    let mut viewer = connect(&url).await.unwrap();
    drop(connect(&url).await.unwrap());
    let mut seen = Seen::default();
    seen.read_until(&mut viewer, |seen| seen.frames.iter().any(|frame| frame["status"] == "RUNNING")).await;
    let watching = tokio::spawn(watch_on(seen, viewer));
    assert_eq!(admin.delete(&format!("/executions/{}", id(&started))).await.status, 200);
    admin.wait_for(&id(&started), "STOPPED").await;
    watching.await.unwrap();
    admin.log(&id(&started)).await;
    let owners = json!({"owned_by": ["second@example.com"]});
    assert_eq!(admin.put(&format!("/executions/{}/owners", id(&started)), &owners).await.status, 200);
    assert_eq!(admin.put("/secrets/s/sharing", &json!({"shared_with": []})).await.status, 200);
    assert_eq!(admin.put("/images/ubuntu:22.04/owners", &owners).await.status, 200);
    queue(system).await;
    assert_eq!(admin.delete("/secrets/s").await.status, 200);
    notify(system).await;
    let open = admin.run_with(json!({"command": "sleep 60", "image": "ubuntu:22.04"})).await;
    spoil(system, 1).await;
    let often = json!({"name": "often", "rate": "1 day", "run": {"command": "true", "image": "ubuntu:22.04"}});
    assert_eq!(admin.post("/schedules", &often).await.status, 201);
    while admin.get("/schedules/often").await.json()["schedule"]["last_status"] != "SUCCEEDED" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(admin.put("/schedules/often", &json!({"enabled": false})).await.status, 200);
    assert_eq!(admin.delete("/schedules/often").await.status, 200);
    let daily = json!({"commands": ["true"], "image": "ubuntu:22.04", "notifications": [{"name": "down"}],
        "schedules": [{"rate": "1 day"}, {"name": "monthly", "cron": "0 0 1 * *"}]});
    assert_eq!(admin.put("/playbooks/daily", &daily).await.status, 200);
    while admin.get("/schedules/daily").await.json()["schedule"]["last_status"] != "SUCCEEDED" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    spoil_schedules(system, 1).await;
    assert_eq!(admin.post("/health/reconcile", &Value::Null).await.status, 200);
    assert_eq!(admin.get("/trace/00000000-0000-4000-8000-000000000000").await.status, 200);
    spoil(system, 2).await;
    spoil_schedules(system, 2).await;
    for event in [
        include_str!("../../../../examples/scheduled-reconcile.json"),
        include_str!("../../../../examples/create-admin.json"),
    ] {
        assert_eq!(admin.process_with_key(event).await.status, 200);
    }
    assert_eq!(admin.delete(&format!("/executions/{}", id(&open))).await.status, 200);
    // For a task that has no record, the event processor asks ECS for its tags.
    let unknown = include_str!("../../../../examples/ecs-task-completion.json");
    admin.process(unknown).await;
}

/// Makes notifications of each kind of channel, and lets them tell of a failure and a recovery.
async fn notify(system: &System) {
    let admin = &system.admin;
    let on = json!(["failed", "recovered", "slow"]);
    for (name, channel) in [
        ("hook", json!({"webhook": {"url": "https://example.com"}})),
        ("chat", json!({"slack": {"url": "https://example.com/services/x"}})),
        ("mail", json!({"email": {"address": "a@example.com"}})),
    ] {
        let body = json!({"name": name, "channel": channel, "on": on, "slow_after": 1});
        assert_eq!(admin.post("/notifications", &body).await.status, 201);
    }
    assert_eq!(admin.post("/notifications/hook/rotate", &Value::Null).await.status, 200);
    assert_eq!(admin.get("/notifications").await.status, 200);
    assert_eq!(admin.post("/notifications/hook/test", &Value::Null).await.status, 202);
    assert_eq!(admin.put("/notifications/chat", &json!({"state": "paused"})).await.status, 200);
    assert_eq!(admin.put("/notifications/chat", &json!({"state": "active"})).await.status, 200);
    let outbox = admin.outbox().await["entries"].as_array().unwrap().clone();
    let token = outbox.iter().find_map(|entry| entry["confirms"].as_str()).unwrap();
    admin.confirm(token).await;
    // Nothing listens there, so the message is tried again.
    let down = json!({"name": "down", "channel": {"webhook": {"url": "http://127.0.0.1:9/"}}, "on": ["failed"]});
    assert_eq!(admin.post("/notifications", &down).await.status, 201);
    for command in ["exit 1", "sleep 2"] {
        admin.run_to_end(json!({"command": command, "image": "ubuntu:22.04"})).await;
    }
    for _ in 0..500 {
        if admin.get("/notifications/down/deliveries").await.text.contains("retrying") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for name in ["hook", "chat", "mail"] {
        let path = format!("/notifications/{name}/deliveries");
        for _ in 0..500 {
            let all = admin.get(&path).await.json();
            let all = all["deliveries"].as_array().unwrap();
            if all.iter().filter(|one| one["state"] == "delivered" && one["event"] != "test").count() == 2 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let all = admin.get(&path).await.text;
        assert!(all.matches("delivered").count() >= 2, "{name}: {all}");
        assert_eq!(admin.delete(&format!("/notifications/{name}")).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_function_is_allowed_what_it_does_and_nothing_else() {
    let system = System::start().await;
    system.shim.watch_permissions();
    walk(&system).await;
    let stack = Stack::bundled(&Default::default()).unwrap();
    for function in [ORCHESTRATOR, EVENT_PROCESSOR] {
        let statements = Statement::all(&stack.function(function).unwrap().policies);
        let needed = system.shim.needed_of_iam(function);
        let forbidden: Vec<_> =
            needed.iter().filter(|access| !statements.iter().any(|statement| statement.allows(access))).collect();
        assert!(forbidden.is_empty(), "{function} does what its role in template.yaml does not allow: {forbidden:#?}");
        let actions = statements.iter().flat_map(|statement| &statement.actions);
        let idle: Vec<_> = actions.filter(|action| needed.iter().all(|access| access.action != **action)).collect();
        assert!(idle.is_empty(), "{function} is allowed what it never does: {idle:?}");
    }
    system.shim.shut_down().await;
}
