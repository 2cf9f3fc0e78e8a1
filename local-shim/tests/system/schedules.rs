//! Schedules: what is refused, when they run, and that each time runs once.

mod changes;
mod failing;

use std::time::Duration;

use aws_smithy_async::time::SharedTimeSource;
use local_shim::{Settings, aws::faults::Fault};
use serde_json::{Value, json};

use crate::cases::Cases;
use crate::client::{Caller, MovedClock, System};

/// Waits until a schedule has this many times behind it, and answers with the schedule.
async fn after_times(caller: &Caller, name: &str, wanted: usize) -> Value {
    for _ in 0..500 {
        let shown = caller.get(&format!("/schedules/{name}")).await.json()["schedule"].clone();
        if shown["recent"].as_array().map_or(0, Vec::len) >= wanted {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the schedule {name} did not have {wanted} times: {}", caller.get(&format!("/schedules/{name}")).await.text);
}

async fn create(caller: &Caller, schedule: &Value) -> Value {
    let created = caller.post("/schedules", schedule).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.json()["schedule"].clone()
}

/// The system with a clock that the test moves.
async fn moved() -> (System, MovedClock) {
    let clock = MovedClock::default();
    let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    (System::start_with(settings).await, clock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_begins_at_once_and_its_run_is_an_execution() {
    let system = System::start().await;
    let admin = &system.admin;
    let created =
        create(admin, &json!({"name": "often", "rate": "5 minutes", "run": {"command": "echo at its time"}})).await;
    assert_eq!((&created["enabled"], &created["timezone"]), (&json!(true), &json!("UTC")));
    let shown = after_times(admin, "often", 1).await;
    let id = shown["last_execution_id"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned();
    admin.wait_for(&id, "SUCCEEDED").await;
    assert!(admin.log(&id).await.contains(&"at its time".to_owned()));
    let shown = admin.get("/schedules/often").await.json()["schedule"].clone();
    assert_eq!(shown["last_status"], "SUCCEEDED");
    let next = admin.get("/schedules/often/next?count=2").await.json()["times"].clone();
    let listed = admin.get("/schedules?q=OFT").await.json()["schedules"].clone();
    assert_eq!(listed[0]["next_at"], next[0]);
    let entries = admin.get("/audit?resource=schedule:often").await.json()["entries"].clone();
    assert_eq!(entries[0]["action"], "schedules:create", "{entries}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_time_of_a_cron_expression_runs_once_however_often_it_is_delivered() {
    let (system, clock) = moved().await;
    let admin = &system.admin;
    create(admin, &json!({"name": "hourly", "cron": "0 * * * *", "run": {"command": "true"}})).await;
    clock.move_to_next_hour();
    let shown = after_times(admin, "hourly", 1).await;
    let scheduled = shown["recent"][0]["scheduled_at"].as_str().unwrap().to_owned();
    assert!(scheduled.ends_with(":00:00.000Z"), "{scheduled}");
    let event = |time: &str| {
        json!({"source": "runvoy", "detail-type": "Scheduled Time", "detail": {
            "schedule": "hourly", "timing_id": shown["created_by_request_id"], "scheduled_time": time,
        }})
    };
    let copies = (0..4).map(|_| admin.process_with_key(event(&scheduled).to_string()));
    for copy in futures_util::future::join_all(copies).await {
        assert_eq!(copy.status, 200, "{}", copy.text);
    }
    let again = after_times(admin, "hourly", 1).await;
    assert_eq!(again["last_execution_id"], shown["last_execution_id"]);
    assert_eq!(admin.get("/executions").await.json().as_array().unwrap().len(), 1);
    clock.move_to_next_hour();
    let twice = after_times(admin, "hourly", 2).await;
    assert_ne!(twice["last_execution_id"], shown["last_execution_id"]);
    // The port takes no such event without an admin's key.
    assert_eq!(admin.process(event(&scheduled).to_string()).await.status, 401);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_schedule_does_not_run_and_goes_on_when_it_is_resumed() {
    let (system, clock) = moved().await;
    let admin = &system.admin;
    create(admin, &json!({"name": "hourly", "cron": "0 * * * *", "run": {"command": "true"}})).await;
    let paused = admin.put("/schedules/hourly", &json!({"enabled": false})).await;
    assert_eq!((paused.status.as_u16(), &paused.json()["schedule"]["next_at"]), (200, &Value::Null), "{}", paused.text);
    assert_eq!(admin.get("/schedules/hourly/next").await.json()["times"].as_array().unwrap().len(), 5);
    clock.move_on(Duration::from_hours(2));
    tokio::time::sleep(Duration::from_millis(200)).await;
    system.shim.events_handled().await;
    assert_eq!(admin.get("/schedules/hourly").await.json()["schedule"]["recent"], Value::Null);
    assert_eq!(admin.put("/schedules/hourly", &json!({"enabled": true})).await.status, 200);
    clock.move_to_next_hour();
    after_times(admin, "hourly", 1).await;
    let run = admin.post("/schedules/hourly/run", &Value::Null).await;
    assert_eq!(run.status, 202, "{}", run.text);
    assert_eq!(admin.delete("/schedules/hourly").await.status, 200);
    assert_eq!(admin.get("/schedules/hourly").await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_time_runs_once_leaves_aws_and_stays_on_record() {
    let (system, clock) = moved().await;
    let admin = &system.admin;
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(7200);
    let created = create(admin, &json!({"name": "once", "at": at.to_string(), "run": {"command": "true"}})).await;
    let next = created["next_at"].as_str().unwrap().to_owned();
    clock.move_on(Duration::from_secs(7300));
    let shown = after_times(admin, "once", 1).await;
    assert_eq!((&shown["recent"][0]["scheduled_at"], &shown["next_at"]), (&json!(next), &Value::Null));
    system.shim.events_handled().await;
    let scheduler = aws_sdk_scheduler::Client::new(system.shim.sdk());
    let left = scheduler.list_schedules().send().await.unwrap();
    assert!(left.schedules.is_empty(), "{left:?}");
    // A finding would say that AWS lacks it.
    let report = admin.post("/health/reconcile", &Value::Null).await.json();
    assert_eq!(report["report"]["issues"], json!([]), "{report}");
    assert_eq!(admin.delete("/schedules/once").await.status, 200);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_schedule_is_refused_with_the_field() {
    let system = System::start().await;
    let admin = &system.admin;
    let run = json!({"command": "true"});
    let mut checked = Cases::default();
    for (schedule, field) in [
        (json!({"name": "a b", "rate": "5 minutes", "run": run}), "name"),
        (json!({"name": "x", "run": run}), "cron"),
        (json!({"name": "x", "rate": "5 minutes", "cron": "* * * * *", "run": run}), "cron"),
        (json!({"name": "x", "cron": "0 0 13 * 5", "run": run}), "cron"),
        (json!({"name": "x", "cron": "61 * * * *", "run": run}), "cron"),
        (json!({"name": "x", "cron": "0 0 30 2 *", "run": run}), "cron"),
        (json!({"name": "x", "rate": "5 weeks", "run": run}), "rate"),
        (json!({"name": "x", "at": "2020-01-01T00:00", "run": run}), "at"),
        (json!({"name": "x", "rate": "5 minutes", "timezone": "Mars/Base", "run": run}), "timezone"),
        (json!({"name": "x", "rate": "5 minutes", "run": {"command": " "}}), "run.command"),
        (json!({"name": "x", "rate": "5 minutes", "run": {"command": "true", "cpu": 300}}), "run.cpu"),
        (json!({"name": "x", "rate": "5 minutes", "run": ["true", null]}), "run"),
        (json!({"name": "x", "rate": "5 minutes", "run": {"command": "true", "image": "none"}}), "run.image"),
        (
            json!({"name": "x", "rate": "5 minutes", "run": {"command": "true", "env": {"DB_PASSWORD": "x"}}}),
            "run.env.DB_PASSWORD",
        ),
    ] {
        let refused = admin.post("/schedules", &schedule).await;
        checked.equal(&schedule, (refused.status.as_u16(), refused.json()["field"].as_str()), (400, Some(field)));
    }
    checked.all_hold();
    create(admin, &json!({"name": "x", "rate": "5 minutes", "run": run, "enabled": false})).await;
    let twice = admin.post("/schedules", &json!({"name": "x", "rate": "5 minutes", "run": run})).await;
    assert_eq!(twice.status, 409, "{}", twice.text);
    assert_eq!(admin.get("/schedules/x/next?count=501").await.status, 400);
    assert_eq!(admin.get("/schedules/x/next?count=500").await.json()["times"].as_array().unwrap().len(), 500);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn developers_see_their_own_schedules_and_those_that_are_shared_with_them() {
    let system = System::start().await;
    let ada = system.user("developer", "ada@example.com").await;
    let bob = system.user("developer", "bob@example.com").await;
    let schedule = json!({"name": "hers", "cron": "0 0 1 1 *", "run": {"command": "true"}});
    create(&ada, &schedule).await;
    assert_eq!(bob.get("/schedules").await.json()["schedules"], json!([]));
    assert_eq!(bob.get("/schedules/hers").await.status, 404);
    assert_eq!(bob.post("/schedules/hers/run", &Value::Null).await.status, 404);
    let shared = json!({"shared_with": ["bob@example.com"]});
    assert_eq!(bob.put("/schedules/hers/sharing", &shared).await.status, 404);
    assert_eq!(ada.put("/schedules/hers/sharing", &shared).await.status, 200);
    assert_eq!(bob.get("/schedules").await.json()["schedules"][0]["name"], "hers");
    assert_eq!(bob.post("/schedules/hers/run", &Value::Null).await.status, 202);
    assert_eq!(bob.put("/schedules/hers", &json!({"enabled": false})).await.status, 403);
    let owners = json!({"owned_by": ["bob@example.com"]});
    assert_eq!(ada.put("/schedules/hers/owners", &owners).await.status, 200);
    assert_eq!(bob.put("/schedules/hers", &json!({"enabled": false})).await.status, 200);
    assert_eq!(ada.get("/schedules/hers").await.status, 404);
    system.shim.shut_down().await;
}

/// Lets the n-th call of an operation fail for good, or have its effect and fail.
fn fail(system: &System, operation: &'static str, fault: Fault) {
    system.shim.plan_faults(Some(std::sync::Arc::new(move |call| (call.operation == operation).then_some(fault))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_left_between_two_calls_is_completed_by_reconcile() {
    for fault in [Fault::Fails, Fault::Lost] {
        let (system, clock) = moved().await;
        let admin = &system.admin;
        let run = json!({"command": "true"});
        // A creation of which neither the schedule nor its undoing succeeds.
        system.shim.plan_faults(Some(std::sync::Arc::new(move |call| {
            (call.operation == "scheduler:CreateSchedule" || call.operation == "scheduler:DeleteSchedule")
                .then_some(fault)
        })));
        let failed = admin.post("/schedules", &json!({"name": "a", "cron": "0 * * * *", "run": run})).await;
        assert_eq!(failed.status, 503, "{}", failed.text);
        system.shim.plan_faults(None);
        assert_eq!(admin.get("/schedules/a").await.status, 404, "{fault:?}");
        create(admin, &json!({"name": "b", "cron": "0 * * * *", "run": run})).await;
        // A pause that AWS does not have.
        fail(&system, "scheduler:UpdateSchedule", fault);
        assert_eq!(admin.put("/schedules/b", &json!({"enabled": false})).await.status, 503);
        assert_eq!(admin.put("/schedules/b", &json!({"enabled": true})).await.status, 409, "one change at a time");
        system.shim.plan_faults(None);
        clock.move_on(Duration::from_secs(61));
        let report = admin.post("/health/reconcile", &Value::Null).await.json();
        let mended: Vec<_> =
            report["report"]["issues"].as_array().unwrap().iter().map(|issue| &issue["resource_id"]).collect();
        assert_eq!(mended, ["a", "b"], "{report}");
        let scheduler = aws_sdk_scheduler::Client::new(system.shim.sdk());
        let listed = scheduler.list_schedules().send().await.unwrap().schedules;
        let listed: Vec<_> = listed.iter().map(|one| (one.name().unwrap(), one.state().unwrap().as_str())).collect();
        assert_eq!(listed, [("b", "DISABLED")], "{fault:?}");
        assert_eq!(admin.post("/health/reconcile", &Value::Null).await.json()["report"]["issues"], json!([]));
        create(admin, &json!({"name": "a", "cron": "0 * * * *", "run": run})).await;
        // A deletion that AWS does not have.
        fail(&system, "scheduler:DeleteSchedule", fault);
        assert_eq!(admin.delete("/schedules/a").await.status, 503);
        assert_eq!(admin.get("/schedules/a").await.status, 404);
        system.shim.plan_faults(None);
        clock.move_on(Duration::from_secs(61));
        admin.post("/health/reconcile", &Value::Null).await;
        assert_eq!(scheduler.list_schedules().send().await.unwrap().schedules.len(), 1);
        system.shim.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_runs_a_playbook_with_its_users_right_to_run_it_and_shows_when_it_cannot() {
    let (system, clock) = moved().await;
    let admin = &system.admin;
    let playbook = json!({
        "commands": ["echo \"$GREETING at its time\""],
        "parameters": [{"name": "GREETING", "allowed": ["hello", "goodbye"]}],
    });
    assert_eq!(admin.put("/playbooks/greet", &playbook).await.status, 200);
    let developer = system.user("developer", "dev@example.com").await;
    let scheduled = |what: Value| json!({"name": "greetings", "cron": "0 * * * *", "playbook": what});
    for (what, field) in [
        (json!({"name": "no-such", "parameters": {}}), "playbook.name"),
        (json!({"name": "greet", "version": 7, "parameters": {"GREETING": "hello"}}), "playbook.version"),
        (json!({"name": "greet"}), "playbook.parameters.GREETING"),
        (json!({"name": "greet", "parameters": {"GREETING": "$(id)"}}), "playbook.parameters.GREETING"),
    ] {
        let refused = developer.post("/schedules", &scheduled(what.clone())).await;
        assert_eq!((refused.status.as_u16(), refused.json()["field"].as_str()), (400, Some(field)), "{what}");
    }
    let mut both = scheduled(json!({"name": "greet", "parameters": {"GREETING": "hello"}}));
    both["run"] = json!({"command": "true"});
    assert_eq!(developer.post("/schedules", &both).await.status, 400);
    assert_eq!(
        developer.post("/schedules", &json!({"name": "none", "cron": "0 * * * *"})).await.json()["field"],
        "run"
    );

    let created = create(&developer, &scheduled(json!({"name": "greet", "parameters": {"GREETING": "hello"}}))).await;
    assert!(created["run"].is_null(), "{created}");
    assert_eq!(created["playbook"], json!({"name": "greet", "parameters": {"GREETING": "hello"}}));
    clock.move_to_next_hour();
    let shown = after_times(admin, "greetings", 1).await;
    let id = shown["recent"][0]["execution_id"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned();
    let ended = admin.wait_for(&id, "SUCCEEDED").await;
    assert_eq!(ended["exit_code"], 0);
    assert!(admin.log(&id).await.contains(&"hello at its time".to_owned()));
    let execution = admin.get(&format!("/executions/{id}")).await.json();
    assert_eq!(
        (&execution["source"], &execution["playbook_version"], &execution["created_by"]),
        (&json!("schedule:greetings"), &json!("greet@1"), &json!("dev@example.com")),
        "{execution}"
    );
    for filter in ["playbook=greet", "schedule=greetings"] {
        let listed = admin.get(&format!("/executions?{filter}")).await.json();
        assert_eq!(listed[0]["execution_id"], json!(id), "{filter}");
    }
    // Run now, with the caller's right.
    let now = developer.post("/schedules/greetings/run", &json!({})).await;
    assert_eq!(now.status, 202, "{}", now.text);
    let now = now.json()["execution_id"].as_str().unwrap().to_owned();
    admin.wait_for(&now, "SUCCEEDED").await;

    // The playbook is shared with others only: the time has an execution that says so.
    let shared = admin.put("/playbooks/greet/sharing", &json!({"shared_with": ["role:runner"]})).await;
    assert_eq!(shared.status, 200, "{}", shared.text);
    let refused = developer.post("/schedules/greetings/run", &json!({})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("playbook.name")), "{}", refused.text);
    clock.move_to_next_hour();
    let shown = after_times(admin, "greetings", 2).await;
    let id = shown["recent"][0]["execution_id"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned();
    let failed = admin.wait_for(&id, "FAILED").await;
    assert!(failed["reason"].as_str().unwrap().contains("permission"), "{failed}");

    // A run takes the place of the playbook.
    let changed = admin.put("/schedules/greetings", &json!({"run": {"command": "true"}})).await.json();
    assert!(changed["schedule"]["playbook"].is_null(), "{changed}");
    assert_eq!(changed["schedule"]["run"]["command"], "true");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_names_what_a_change_of_a_schedule_has_changed() {
    let system = System::start().await;
    let ada = system.user("operator", "ada@example.com").await;
    let run = json!({"command": "echo one", "env": {"STAGE": "a"}, "git_ref": "main", "git_repo": "https://example.com/a.git"});
    let made = system
        .admin
        .post("/schedules", &json!({"name": "nightly", "rate": "1 hour", "enabled": false, "run": run}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let mut changed = run.clone();
    changed["command"] = "echo two".into();
    changed["env"]["STAGE"] = "b".into();
    for (body, expected) in [
        (json!({"run": changed}), json!(["run.command", "run.env", "runs_as"])),
        (json!({"timezone": "Europe/Rome", "on_missed": "run_once"}), json!(["on_missed", "timezone"])),
    ] {
        let answer = ada.put("/schedules/nightly", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let entries = system.admin.get("/audit?resource=schedule:nightly&action=schedules:update").await.json();
        let details = &entries["entries"][0]["details"];
        assert_eq!(details["changed"], expected, "{entries:#}");
        assert_eq!((&details["runs_as"], &details["git_ref"]), (&json!("ada@example.com"), &json!("main")));
        assert!(!entries.to_string().contains("echo"), "no value: {entries:#}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_no_task_could_carry_is_refused_before_it_is_kept() {
    let system = System::start().await;
    let long = "x".repeat(8180);
    let schedule = json!({"name": "long", "rate": "1 hour", "run": {"command": long}});
    let refused = system.admin.post("/schedules", &schedule).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("run.command")), "{}", refused.text);
    assert_eq!(system.admin.get("/schedules").await.json(), json!({"schedules": []}));
    // One that waits in line, too.
    system.admin.run_with(json!({"command": "sleep 60", "lock": "l"})).await;
    let waiting = json!({"command": long, "lock": "l", "on_conflict": "queue"});
    let refused = system.admin.post("/run", &waiting).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("command")), "{}", refused.text);
    system.shim.shut_down().await;
}
