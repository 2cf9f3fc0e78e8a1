//! The emulated EventBridge Scheduler: what it refuses, and what it keeps over a restart.

use std::time::Duration;

use aws_sdk_scheduler::{
    Client,
    error::ProvideErrorMetadata as _,
    types::{FlexibleTimeWindow, FlexibleTimeWindowMode, ScheduleState, Target},
};
use aws_smithy_async::time::SharedTimeSource;
use local_shim::Settings;
use serde_json::{Value, json};

use crate::client::{MovedClock, System};

const TARGET: &str = "arn:aws:lambda:us-east-1:000000000000:function:runvoy-local-event-processor";
const ROLE: &str = "arn:aws:iam::000000000000:role/runvoy-local-ScheduleRole";

fn target(arn: &str, role: &str, input: &str) -> Target {
    Target::builder().arn(arn).role_arn(role).input(input).build().unwrap()
}

struct Wanted<'a> {
    name: &'a str,
    group: &'a str,
    expression: &'a str,
    zone: &'a str,
    target: Target,
    token: &'a str,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            name: "s",
            group: "runvoy-local",
            expression: "cron(0 2 * * ? *)",
            zone: "Europe/Berlin",
            target: target(TARGET, ROLE, "{}"),
            token: "token-1",
        }
    }
}

async fn create(client: &Client, wanted: Wanted<'_>) -> Result<String, String> {
    let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().unwrap();
    let call = client
        .create_schedule()
        .name(wanted.name)
        .group_name(wanted.group)
        .schedule_expression(wanted.expression)
        .schedule_expression_timezone(wanted.zone)
        .flexible_time_window(window)
        .client_token(wanted.token)
        .target(wanted.target);
    match call.send().await {
        Ok(created) => Ok(created.schedule_arn),
        Err(error) => Err(error.into_service_error().code().unwrap_or_default().to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_refuses_what_aws_refuses() {
    let system = System::start().await;
    let client = Client::new(system.shim.sdk());
    let usual = Wanted::default;
    let arn = create(&client, usual()).await.unwrap();
    assert_eq!(arn, "arn:aws:scheduler:us-east-1:000000000000:schedule/runvoy-local/s");
    assert_eq!(create(&client, usual()).await.unwrap(), arn, "the same call again has the first one's answer");
    for (wanted, code) in [
        (Wanted { token: "token-2", ..usual() }, "ConflictException"),
        (Wanted { expression: "cron(0 3 * * ? *)", ..usual() }, "ConflictException"),
        (Wanted { name: "a b", ..usual() }, "ValidationException"),
        (Wanted { name: &"x".repeat(65), ..usual() }, "ValidationException"),
        (Wanted { name: "t", group: "other", ..usual() }, "ResourceNotFoundException"),
        (Wanted { name: "t", expression: "cron(0 2 * * *)", ..usual() }, "ValidationException"),
        (Wanted { name: "t", expression: "cron(0 2 * * * *)", ..usual() }, "ValidationException"),
        (Wanted { name: "t", expression: "0 2 * * ? *", ..usual() }, "ValidationException"),
        (Wanted { name: "t", expression: "rate(0 minutes)", ..usual() }, "ValidationException"),
        (Wanted { name: "t", expression: "at(2030-01-01T09:00)", ..usual() }, "ValidationException"),
        (Wanted { name: "t", zone: "Mars/Base", ..usual() }, "ValidationException"),
        (Wanted { name: "t", token: "not a token", ..usual() }, "ValidationException"),
        (
            Wanted {
                name: "t",
                target: target("arn:aws:lambda:us-east-1:000000000000:function:other", ROLE, "{}"),
                ..usual()
            },
            "ValidationException",
        ),
        (
            Wanted { name: "t", target: target(TARGET, "arn:aws:iam::000000000000:role/other", "{}"), ..usual() },
            "ValidationException",
        ),
        (Wanted { name: "t", target: target(TARGET, ROLE, "not JSON"), ..usual() }, "ValidationException"),
    ] {
        let what = format!("{} {} {}", wanted.name, wanted.group, wanted.expression);
        assert_eq!(create(&client, wanted).await.unwrap_err(), code, "{what}");
    }
    for name in ["t", "u"] {
        create(&client, Wanted { name, ..usual() }).await.unwrap();
    }
    let mut pages = client.list_schedules().group_name("runvoy-local").into_paginator().page_size(2).items().send();
    let mut names = Vec::new();
    while let Some(one) = pages.next().await {
        names.push(one.unwrap().name.unwrap());
    }
    assert_eq!(names, ["s", "t", "u"]);
    let shown = client.get_schedule().group_name("runvoy-local").name("s").send().await.unwrap();
    assert_eq!(
        (shown.state, shown.schedule_expression.as_deref()),
        (Some(ScheduleState::Enabled), Some("cron(0 2 * * ? *)"))
    );
    client.delete_schedule().group_name("runvoy-local").name("s").send().await.unwrap();
    let again = client.delete_schedule().group_name("runvoy-local").name("s").send().await;
    assert_eq!(again.unwrap_err().into_service_error().code(), Some("ResourceNotFoundException"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_that_come_while_the_program_does_not_run_are_missed_and_the_last_one_runs_if_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let clock = MovedClock::default();
    let settings = || Settings {
        clock: Some(SharedTimeSource::new(clock.clone())),
        data_dir: Some(folder.path().to_owned()),
        ..Settings::ephemeral()
    };
    let system = System::start_with(settings()).await;
    for (name, on_missed) in [("skips", "skip"), ("runs", "run_once")] {
        let schedule = json!({"name": name, "cron": "30 * * * *", "run": {"command": "true"}, "on_missed": on_missed});
        assert_eq!(system.admin.post("/schedules", &schedule).await.status, 201);
    }
    system.shim.shut_down().await;
    // Between a quarter and two after the last of five times, whatever the clock showed at the start.
    clock.move_on(Duration::from_hours(5));
    let minute = || (jiff::Timestamp::now().as_second() / 60) % 60;
    while !(45..60).contains(&((minute() + moved(&clock)) % 60)) {
        clock.move_on(Duration::from_mins(1));
    }
    let system = System::start_with(settings()).await;
    for name in ["skips", "runs"] {
        let mut shown = Value::Null;
        for _ in 0..500 {
            shown = system.admin.get(&format!("/schedules/{name}")).await.json()["schedule"].clone();
            if shown["recent"].is_array() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let recent = shown["recent"].as_array().unwrap();
        assert_eq!(recent.len(), 1, "{shown}");
        assert_eq!(recent[0]["execution_id"].is_string(), name == "runs", "{shown}");
        assert!(recent[0]["scheduled_at"].as_str().unwrap().contains(":30:00"), "{shown}");
    }
    // What is handled is not sent again by the next start.
    system.shim.events_handled().await;
    system.shim.shut_down().await;
    let system = System::start_with(settings()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(system.admin.get("/executions").await.json().as_array().unwrap().len(), 1);
    system.shim.shut_down().await;
}

/// The whole minutes by which a clock was moved.
fn moved(clock: &MovedClock) -> i64 {
    use aws_smithy_async::time::TimeSource as _;
    let ahead = clock.now().duration_since(std::time::SystemTime::now()).unwrap_or_default();
    i64::try_from((ahead.as_secs() + 30) / 60).unwrap()
}
