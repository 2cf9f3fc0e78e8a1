//! The calls of AWS that the functions make for each request.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use axum::http::Method;
use local_shim::{EVENT_PROCESSOR, ORCHESTRATOR, Settings};
use runvoy_core::aws::cloudwatch_logs::{self, FilterLogEvents};
use serde_json::json;

use crate::client::{Caller, Seen, System, connect, id, watch};

/// The calls that the orchestrator makes while this runs.
async fn calls<T>(system: &System, work: impl Future<Output = T>) -> (T, BTreeMap<String, u64>) {
    calls_of(ORCHESTRATOR, system, work).await
}

async fn calls_of<T>(function: &str, system: &System, work: impl Future<Output = T>) -> (T, BTreeMap<String, u64>) {
    let before = system.shim.aws_calls(function);
    let done = work.await;
    let after = system.shim.aws_calls(function);
    let made = after
        .into_iter()
        .map(|(operation, count)| (operation.clone(), count - before.get(&operation).copied().unwrap_or(0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    (done, made)
}

fn expected(operations: &[(&str, u64)]) -> BTreeMap<String, u64> {
    operations.iter().map(|(operation, count)| ((*operation).to_owned(), *count)).collect()
}

/// Tells whether the log of an execution is stored up to this line.
async fn is_stored(system: &System, execution_id: &str, line: &str) -> bool {
    let request = FilterLogEvents {
        log_group_name: "/runvoy/runvoy-local/tasks".to_owned(),
        log_stream_names: Some(vec![format!("task/runner/{execution_id}")]),
        ..FilterLogEvents::default()
    };
    let found = cloudwatch_logs::Client::new(system.shim.sdk()).filter_log_events(request).await;
    let Some(event) = found.ok().and_then(|page| page.events.into_iter().find(|event| event.message == line)) else {
        return false;
    };
    let head = aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .get_item()
        .table_name("runvoy-local-log-heads")
        .key("execution_id", AttributeValue::S(execution_id.to_owned()))
        .send()
        .await
        .unwrap();
    let head = head.item.unwrap_or_default();
    head.get("last_event_id").and_then(|id| id.as_s().ok()).map(String::as_str) == Some(event.event_id.as_str())
}

/// How many batches of lines are stored for an execution.
async fn stored_batches(system: &System, execution_id: &str) -> u64 {
    let found = aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .query()
        .table_name("runvoy-local-execution-logs")
        .key_condition_expression("execution_id = :id")
        .expression_attribute_values(":id", AttributeValue::S(execution_id.to_owned()))
        .select(Select::Count)
        .send()
        .await;
    found.unwrap().count().try_into().unwrap()
}

async fn get(caller: &Caller, path: &str) {
    let answer = caller.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_request_makes_the_calls_it_must_and_no_more() {
    let system = System::start().await;
    let (id, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    system.admin.run_to_end(json!({"command": "true", "secrets": ["s"]})).await;

    let key = ("dynamodb:GetItem", 1);
    let ((), made) = calls(&system, get(&system.admin, "/health")).await;
    assert_eq!(made, expected(&[]), "health");
    let mistyped = system.admin.with_key("runvoy_mistyped");
    let (_, made) = calls(&system, mistyped.get("/executions")).await;
    assert_eq!(made, expected(&[]), "a mistyped key is refused by its checksum");
    let ((), made) = calls(&system, get(&system.admin, &format!("/executions/{id}/status"))).await;
    assert_eq!(made, expected(&[("dynamodb:GetItem", 2)]), "status");
    let ((), made) = calls(&system, get(&system.admin, "/executions")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Query", 1)]), "list");
    let ((), made) = calls(&system, get(&system.admin, "/executions?status=FAILED,SUCCEEDED")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Query", 2)]), "list by status");
    // The first reader completes the log, which has a test of its own.
    get(&system.admin, &format!("/executions/{id}/logs")).await;
    let ((), made) = calls(&system, get(&system.admin, &format!("/executions/{id}/logs"))).await;
    // The key, the execution, the log's head; which batches there are, and the first of them.
    assert_eq!(made, expected(&[("dynamodb:GetItem", 3), ("dynamodb:Query", 2)]), "logs");
    let ((), made) = calls(&system, get(&system.admin, "/users")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Scan", 1)]), "users");
    let ((), made) = calls(&system, get(&system.admin, "/images")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Scan", 1)]), "images");
    let ((), made) = calls(&system, get(&system.admin, "/images/ubuntu:22.04")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:BatchGetItem", 1)]), "image");
    let ((), made) = calls(&system, get(&system.admin, "/secrets")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Scan", 1)]), "secrets: nothing of SSM");
    let ((), made) = calls(&system, get(&system.admin, "/secrets/s")).await;
    let read = [("dynamodb:GetItem", 2), ("ssm:GetParameter", 1), ("dynamodb:PutItem", 1)];
    assert_eq!(made, expected(&read), "secret, with its entry in the audit");

    // The key, the image, the record with its entry in the audit, AWS, that AWS has it, and the user whose rights it has.
    let schedule = json!({"name": "hourly", "cron": "0 * * * *", "run": {"command": "true"}});
    let (_, made) = calls(&system, system.admin.post("/schedules", &schedule)).await;
    let create = [
        key,
        ("dynamodb:BatchGetItem", 2),
        ("dynamodb:TransactWriteItems", 1),
        ("scheduler:CreateSchedule", 1),
        ("dynamodb:UpdateItem", 1),
    ];
    assert_eq!(made, expected(&create), "create a schedule");
    let ((), made) = calls(&system, get(&system.admin, "/schedules")).await;
    let users = ("dynamodb:BatchGetItem", 1);
    assert_eq!(made, expected(&[key, ("dynamodb:Scan", 1), users]), "schedules: nothing of the Scheduler");
    let ((), made) = calls(&system, get(&system.admin, "/schedules/hourly")).await;
    assert_eq!(made, expected(&[("dynamodb:GetItem", 2), users]), "schedule");
    // Today, yesterday, and tomorrow just before midnight, by four shards each, back to the day before the first user was created.
    let ((), made) = calls(&system, get(&system.admin, "/audit?action=secrets:read")).await;
    assert!(made["dynamodb:Query"] <= 3 * 4, "audit of a new system: {made:?}");

    // The key, the image, the task, and a token for its viewers. The execution's record and its entries of the audit are one transaction.
    let run = [
        key,
        ("dynamodb:BatchGetItem", 1),
        ("ecs:RunTask", 1),
        ("dynamodb:PutItem", 1),
        ("dynamodb:TransactWriteItems", 1),
    ];
    let (started, made) = calls(&system, system.admin.run("sleep 60")).await;
    assert_eq!(made, expected(&run), "run");
    let id = crate::client::id(&started);
    // The secrets, which are read from their table only. The audit has their use and that of the image before the task has their values.
    let mut with_secret = run;
    with_secret[1].1 = 2;
    with_secret[4].1 = 2;
    let body = json!({"command": "sleep 60", "secrets": ["s"]});
    let (_, made) = calls(&system, system.admin.run_with(body)).await;
    assert_eq!(made, expected(&with_secret), "run with a secret");
    // A playbook: its newest version and its publisher are read too, and its record once more for the schedules that it brings along.
    let playbook = json!({"commands": ["sleep 60"]});
    let (_, made) = calls(&system, system.admin.put("/playbooks/p", &playbook)).await;
    let publish = [("dynamodb:GetItem", 3), ("dynamodb:BatchGetItem", 1), ("dynamodb:TransactWriteItems", 1)];
    assert_eq!(made, expected(&publish), "publish a playbook");
    let mut of_playbook = run;
    of_playbook[0].1 = 3;
    let (_, made) = calls(&system, system.admin.post("/playbooks/p/run", &json!({}))).await;
    assert_eq!(made, expected(&of_playbook), "run a playbook");
    let ((), made) = calls(&system, get(&system.admin, "/playbooks")).await;
    assert_eq!(made, expected(&[key, ("dynamodb:Query", 1)]), "playbooks");
    // A query for the execution that has the idempotency key, while the image is read. Where one has it, the repeat reads it and makes a
    // token.
    let keyed =
        || system.admin.request(Method::POST, "/run", &[("idempotency-key", "k")], r#"{"command": "sleep 60"}"#);
    let (first, made) = calls(&system, keyed()).await;
    let with_key: Vec<_> = run.into_iter().chain([("dynamodb:Query", 1)]).collect();
    assert_eq!(made, expected(&with_key), "run with an idempotency key");
    let (again, made) = calls(&system, keyed()).await;
    assert_eq!(again.text, first.text);
    let repeat = expected(&[
        ("dynamodb:GetItem", 2),
        ("dynamodb:BatchGetItem", 1),
        ("dynamodb:Query", 1),
        ("dynamodb:PutItem", 1),
    ]);
    assert_eq!(made, repeat, "the same run again");
    system.admin.wait_for(&id, "RUNNING").await;
    let (_, made) = calls(&system, system.admin.delete(&format!("/executions/{id}"))).await;
    // The key, the execution, and the log's head, which says whether there are viewers to tell.
    let kill =
        expected(&[("dynamodb:GetItem", 3), ("dynamodb:PutItem", 1), ("ecs:StopTask", 1), ("dynamodb:UpdateItem", 1)]);
    assert_eq!(made, kill, "kill");
    system.shim.shut_down().await;
}

/// Without a limit, a run makes the calls that the test above counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_under_a_limit_of_running_executions_makes_fourteen_calls() {
    let overrides = BTreeMap::from([("RUNVOY_MAX_RUNNING".to_owned(), "2".to_owned())]);
    let system = System::start_with(Settings { overrides, ..Settings::ephemeral() }).await;
    system.admin.run_to_end(json!({"command": "true"})).await;
    let (_, made) = calls(&system, system.admin.run("sleep 60")).await;
    // 14: the record with its place is written before the task is asked for, and read and leased by what starts it. If the task's first
    // event comes before the answer of RunTask has been written down, two more.
    assert!(made.values().sum::<u64>() <= 16 && made["ecs:RunTask"] == 1, "run: {made:?}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_change_makes_the_calls_it_must_and_no_more() {
    let system = System::start().await;
    let admin = &system.admin;
    admin.get("/users").await;
    let key = ("dynamodb:GetItem", 1);
    let write = ("dynamodb:TransactWriteItems", 1);

    let user = json!({"email": "new@example.com", "role": "viewer"});
    let (created, made) = calls(&system, admin.post("/users/create", &user)).await;
    assert_eq!(made, expected(&[key, write]), "create a user");
    let claim = format!("/claim/{}", created.json()["claim_token"].as_str().unwrap());
    let ((), made) = calls(&system, get(admin, &claim)).await;
    assert_eq!(made, expected(&[key, write]), "claim a key");
    let (_, made) = calls(&system, admin.post("/users/revoke", &json!({"email": "new@example.com"}))).await;
    // The scan finds the viewers whose connections end with the user's keys.
    assert_eq!(made, expected(&[("dynamodb:GetItem", 2), ("dynamodb:Scan", 1), write]), "revoke a user");

    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    let (_, made) = calls(&system, admin.post("/secrets", &secret)).await;
    let create = [key, ("dynamodb:PutItem", 1), ("ssm:PutParameter", 1), write];
    assert_eq!(made, expected(&create), "create a secret");
    let (_, made) = calls(&system, admin.put("/secrets/s", &json!({"description": "d"}))).await;
    assert_eq!(made, expected(&[("dynamodb:GetItem", 2), write]), "change a secret's description");
    let (_, made) = calls(&system, admin.put("/secrets/s", &json!({"value": "w"}))).await;
    let change = [("dynamodb:GetItem", 2), ("dynamodb:PutItem", 1), ("ssm:PutParameter", 1), write];
    assert_eq!(made, expected(&change), "change a secret's value");
    let (_, made) = calls(&system, admin.delete("/secrets/s")).await;
    let delete = [("dynamodb:GetItem", 2), write, ("ssm:DeleteParameter", 1), ("dynamodb:DeleteItem", 1)];
    assert_eq!(made, expected(&delete), "delete a secret");

    let image = json!({"image": "tool:1"});
    let (_, made) = calls(&system, admin.post("/images/register", &image)).await;
    let register = [key, ("dynamodb:BatchGetItem", 1), ("ecs:RegisterTaskDefinition", 1), write];
    assert_eq!(made, expected(&register), "register an image");
    let id = admin.get("/images/tool:1").await.json()["image_id"].as_str().unwrap().to_owned();
    let (_, made) = calls(&system, admin.delete(&format!("/images/{id}"))).await;
    let delete = [
        key,
        ("dynamodb:BatchGetItem", 2),
        ("dynamodb:Scan", 1),
        ("ecs:ListTaskDefinitionFamilies", 1),
        ("ecs:ListTaskDefinitions", 1),
        ("ecs:DeregisterTaskDefinition", 1),
        write,
    ];
    assert_eq!(made, expected(&delete), "delete an image");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_of_lines_costs_three_writes_and_a_frame_a_viewer_however_many_watch_and_however_long_the_log_is() {
    let system = System::start().await;
    let pipe = tempfile::tempdir().unwrap().keep().join("pipe");
    let path = pipe.to_str().unwrap().to_owned();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let started = system.admin.run(&format!("while read line; do echo $line; done <>{path}")).await;
    let id = id(&started);
    // Lets the command print a line, until the line is stored and every event that it caused is handled.
    let print = async |line: &'static str| {
        let path = pipe.clone();
        tokio::task::spawn_blocking(move || std::fs::write(path, format!("{line}\n")).unwrap()).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_stored(&system, &id, line).await {
            assert!(Instant::now() < deadline, "{line} is not stored");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        system.shim.events_handled().await;
    };
    // The runner's own lines are stored before it.
    print("first").await;

    let batch = [("dynamodb:GetItem", 1), ("dynamodb:TransactWriteItems", 1)];
    let ((), made) = calls_of(EVENT_PROCESSOR, &system, print("without a viewer")).await;
    assert_eq!(made, expected(&batch));
    let mut viewer = connect(&format!("{}&batch=true", started["websocket_url"].as_str().unwrap())).await.unwrap();
    Seen::default().read_until(&mut viewer, |seen| seen.messages().contains(&"without a viewer".to_owned())).await;
    system.shim.events_handled().await;
    for line in ["one", "two", "three"] {
        let ((), made) = calls_of(EVENT_PROCESSOR, &system, print(line)).await;
        // Besides the batch: the query for viewers, one frame, and the release of the lease that the transaction took. The first of
        // these batches takes the viewer into the fan-out.
        let mut cost = [
            ("dynamodb:GetItem", 1),
            ("dynamodb:TransactWriteItems", 1),
            ("dynamodb:Query", 1),
            ("dynamodb:UpdateItem", 1),
            ("execute-api:PostToConnection", 1),
        ];
        cost[3].1 += u64::from(line == "one");
        assert_eq!(made, expected(&cost), "{line}");
    }
    let mut watching = Vec::new();
    for (viewers, joined, line) in [(10, "ten", "for ten"), (100, "hundred", "for a hundred")] {
        while watching.len() as u64 + 1 < viewers {
            let address = format!("{}&batch=true&status=true", started["websocket_url"].as_str().unwrap());
            let mut viewer = connect(&address).await.unwrap();
            Seen::default().read_until(&mut viewer, |seen| seen.messages().contains(&"three".to_owned())).await;
            watching.push(tokio::spawn(watch(viewer)));
        }
        system.shim.events_handled().await;
        // This batch takes the new viewers into the fan-out.
        print(joined).await;
        let ((), made) = calls_of(EVENT_PROCESSOR, &system, print(line)).await;
        // The execution is read for those that want its status.
        let cost = [
            ("dynamodb:GetItem", 2),
            ("dynamodb:TransactWriteItems", 1),
            ("dynamodb:Query", 1),
            ("dynamodb:UpdateItem", 1),
            ("execute-api:PostToConnection", viewers),
        ];
        assert_eq!(made, expected(&cost), "{viewers} viewers");
    }
    watching.push(tokio::spawn(watch(viewer)));
    assert_eq!(system.admin.delete(&format!("/executions/{id}")).await.status, 200);
    for viewer in watching {
        viewer.await.unwrap();
    }
    system.shim.shut_down().await;
}

/// An account may call FilterLogEvents 5 times a second, so a task that ends must not need it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cloudwatch_logs_is_read_for_viewers_and_for_the_first_reader_only() {
    let system = System::start().await;
    let read = ("logs:FilterLogEvents", 1);
    let (id, made) = calls_of(EVENT_PROCESSOR, &system, async {
        let (id, _) = system.admin.run_to_end(json!({"command": "echo hello"})).await;
        system.shim.events_handled().await;
        id
    })
    .await;
    assert_eq!(made.get(read.0), None, "the end of a task that nobody watches: {made:?}");
    for expected in [Some(&read.1), None] {
        let ((), made) = calls(&system, get(&system.admin, &format!("/executions/{id}/logs"))).await;
        assert_eq!(made.get(read.0), expected, "{made:?}");
    }
    let ((), made) = calls_of(EVENT_PROCESSOR, &system, async {
        let started = system.admin.run("sleep 0.5").await;
        watch(connect(started["websocket_url"].as_str().unwrap()).await.unwrap()).await;
        system.shim.events_handled().await;
    })
    .await;
    assert_eq!(made.get(read.0), Some(&read.1), "the end of a task with a viewer: {made:?}");
    system.shim.shut_down().await;
}

/// A job of 12 hours that prints a line in each second or two has as many batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_long_log_of_small_batches_is_read_with_few_calls() {
    const BATCHES: u64 = 20_000;
    let system = System::start().await;
    let (id, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let before = system.admin.log(&id).await.len();
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: u64| AttributeValue::N(number.to_string());
    let first = stored_batches(&system, &id).await + 1;
    let event_id = |at: u64| format!("8{at:055}");
    let put = |at: u64| {
        let events = json!([{"event_id": event_id(at), "timestamp": 4_000_000_000_000_u64 + at, "message": format!("line {at}")}]);
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, events.to_string().as_bytes()).unwrap();
        let item = aws_sdk_dynamodb::types::PutRequest::builder()
            .item("execution_id", text(&id))
            .item("sequence", number(at))
            .item("first_event_id", text(&event_id(at)))
            .item("last_event_id", text(&event_id(at)))
            .item("lines", number(1))
            .item("events", AttributeValue::B(encoder.finish().unwrap().into()))
            .build()
            .unwrap();
        aws_sdk_dynamodb::types::WriteRequest::builder().put_request(item).build()
    };
    let sequences: Vec<u64> = (first..first + BATCHES).collect();
    for sequences in sequences.chunks(25) {
        let writes = sequences.iter().map(|at| put(*at)).collect();
        dynamodb.batch_write_item().request_items("runvoy-local-execution-logs", writes).send().await.unwrap();
    }
    dynamodb
        .update_item()
        .table_name("runvoy-local-log-heads")
        .key("execution_id", text(&id))
        .update_expression("SET #sequence = :sequence, last_event_id = :last")
        .expression_attribute_names("#sequence", "sequence")
        .expression_attribute_values(":sequence", number(first + BATCHES - 1))
        .expression_attribute_values(":last", text(&event_id(first + BATCHES - 1)))
        .send()
        .await
        .unwrap();
    let (log, made) = calls(&system, system.admin.log(&id)).await;
    let printed = log.iter().filter(|line| line.starts_with("line ")).count() as u64;
    assert_eq!((printed, log.len() as u64), (BATCHES, BATCHES + before as u64));
    // An answer of DynamoDB carries 1 MB: the ranges of thousands of batches, or thousands of these batches.
    assert!(made.values().sum::<u64>() < 100, "{made:?}");
    system.shim.shut_down().await;
}
