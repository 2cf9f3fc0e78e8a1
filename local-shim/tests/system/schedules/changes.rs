//! Times of a schedule that come while it is being changed, and changes that are left halfway.

use std::time::Duration;

use local_shim::{ORCHESTRATOR, aws::faults::Fault};
use serde_json::{Value, json};

use super::{after_times, create, fail, moved};
use crate::{client::System, held::hold};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_the_old_and_the_new_times_have_runs_although_aws_has_only_the_old_ones() {
    let (system, clock) = moved().await;
    let admin = &system.admin;
    create(admin, &json!({"name": "hourly", "cron": "0 * * * *", "run": {"command": "true"}})).await;
    fail(&system, "scheduler:UpdateSchedule", Fault::Fails);
    assert_eq!(admin.put("/schedules/hourly", &json!({"cron": "0,30 * * * *"})).await.status, 503);
    system.shim.plan_faults(None);
    clock.move_to_next_hour();
    let shown = after_times(admin, "hourly", 1).await;
    assert!(shown["recent"][0]["execution_id"].is_string(), "{shown}");
    // The event of the old times has brought AWS to the new ones.
    clock.move_on(Duration::from_mins(30));
    let shown = after_times(admin, "hourly", 2).await;
    assert!(shown["recent"][0]["execution_id"].is_string(), "{shown}");
    system.shim.shut_down().await;
}

/// AWS has a schedule as paused whose resumption was left halfway, so no event comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_time_that_passed_while_a_change_was_left_halfway_runs_when_it_is_completed() {
    let (system, clock) = moved().await;
    let admin = &system.admin;
    let run = json!({"command": "true"});
    create(admin, &json!({"name": "a", "cron": "0 * * * *", "run": run, "enabled": false})).await;
    fail(&system, "scheduler:UpdateSchedule", Fault::Fails);
    assert_eq!(admin.put("/schedules/a", &json!({"enabled": true})).await.status, 503);
    system.shim.plan_faults(None);
    clock.move_to_next_hour();
    clock.move_on(Duration::from_mins(2));
    for _ in 0..2 {
        let report = admin.post("/health/reconcile", &Value::Null).await;
        assert_eq!(report.status, 200, "{}", report.text);
    }
    let shown = after_times(admin, "a", 1).await;
    assert!(shown["recent"][0]["execution_id"].is_string(), "{shown}");
    assert_eq!(admin.get("/executions?limit=0").await.json().as_array().unwrap().len(), 1);
    system.shim.shut_down().await;
}

/// The system with a schedule `a` whose change was left halfway for so long that others may complete it. The hour has just begun, so that no time
/// of the schedule comes and completes it first.
async fn with_change_left_halfway() -> System {
    let (system, clock) = moved().await;
    clock.move_to_next_hour();
    let admin = &system.admin;
    create(admin, &json!({"name": "a", "cron": "0 * * * *", "run": {"command": "true"}})).await;
    fail(&system, "scheduler:UpdateSchedule", Fault::Fails);
    assert_eq!(admin.put("/schedules/a", &json!({"cron": "10 * * * *"})).await.status, 503);
    clock.move_on(Duration::from_secs(61));
    system
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_never_leaves_aws_with_times_from_before_a_change() {
    let system = with_change_left_halfway().await;
    let admin = &system.admin;
    // Reconcile is about to bring AWS to the change that was left, and a user makes another one.
    let twenty = json!({"cron": "20 * * * *"});
    let held = hold(&system, "scheduler:UpdateSchedule", ORCHESTRATOR);
    let (report, changed) =
        tokio::join!(admin.post("/health/reconcile", &Value::Null), held.during(admin.put("/schedules/a", &twenty)));
    system.shim.plan_faults(None);
    assert_eq!((report.status.as_u16(), changed.status.as_u16()), (200, 409), "{}", changed.text);
    assert_eq!(admin.put("/schedules/a", &twenty).await.status, 200);
    let scheduler = aws_sdk_scheduler::Client::new(system.shim.sdk());
    let in_aws = scheduler.list_schedules().send().await.unwrap().schedules;
    let group = in_aws[0].group_name().unwrap();
    let in_aws = scheduler.get_schedule().name("a").group_name(group).send().await.unwrap();
    assert_eq!(in_aws.schedule_expression(), Some("cron(20 * * * ? *)"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_that_completes_a_change_makes_up_for_the_time_that_came_before_it() {
    let (system, clock) = moved().await;
    let admin = &system.admin;
    clock.move_to_next_hour();
    let schedule = json!({"name": "a", "cron": "0 * * * *", "run": {"command": "true"}, "on_missed": "run_once"});
    create(admin, &schedule).await;
    fail(&system, "scheduler:UpdateSchedule", Fault::Fails);
    assert_eq!(admin.put("/schedules/a", &json!({"cron": "30 * * * *"})).await.status, 503);
    system.shim.plan_faults(None);
    clock.move_to_next_hour();
    let shown = after_times(admin, "a", 1).await;
    let made_up = &shown["recent"][0];
    let is_of_new_times = made_up["scheduled_at"].as_str().is_some_and(|at| at.contains(":30:00"));
    assert!(is_of_new_times && made_up["execution_id"].is_string(), "{shown}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_deleted_while_reconcile_brings_it_to_aws_does_not_stay_there() {
    let system = with_change_left_halfway().await;
    let admin = &system.admin;
    let held = hold(&system, "scheduler:CreateSchedule", ORCHESTRATOR);
    let (report, deleted) =
        tokio::join!(admin.post("/health/reconcile", &Value::Null), held.during(admin.delete("/schedules/a")));
    system.shim.plan_faults(None);
    assert_eq!((report.status.as_u16(), deleted.status.as_u16()), (200, 409), "{}", deleted.text);
    assert_eq!(admin.delete("/schedules/a").await.status, 200);
    let scheduler = aws_sdk_scheduler::Client::new(system.shim.sdk());
    assert_eq!(scheduler.list_schedules().send().await.unwrap().schedules.len(), 0);
    system.shim.shut_down().await;
}
