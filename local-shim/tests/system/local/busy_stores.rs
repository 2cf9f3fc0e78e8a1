//! Calls that wait for a store hold up no request that needs none.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_scheduler::types::{FlexibleTimeWindow, FlexibleTimeWindowMode, Target};
use futures_util::future::{BoxFuture, FutureExt};
use local_shim::{Settings, aws::faults::Call};
use rusqlite::Connection;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::client::System;

/// More calls than the runtime of this test has threads.
const CALLS: usize = 6;

/// Makes one call that writes to a store, and tells whether it succeeded.
type Write = fn(Arc<System>, usize) -> BoxFuture<'static, bool>;

fn run(system: Arc<System>, _: usize) -> BoxFuture<'static, bool> {
    async move { system.admin.post("/run", &json!({"command": "true"})).await.status.is_success() }.boxed()
}

fn send_message(system: Arc<System>, number: usize) -> BoxFuture<'static, bool> {
    const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/000000000000/runvoy-local-UnsentNotifications";
    let sqs = aws_sdk_sqs::Client::new(system.shim.sdk());
    async move { sqs.send_message().queue_url(QUEUE).message_body(number.to_string()).send().await.is_ok() }.boxed()
}

fn create_schedule(system: Arc<System>, number: usize) -> BoxFuture<'static, bool> {
    let target = Target::builder()
        .arn("arn:aws:lambda:us-east-1:000000000000:function:runvoy-local-event-processor")
        .role_arn("arn:aws:iam::000000000000:role/runvoy-local-ScheduleRole")
        .build()
        .unwrap();
    let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().unwrap();
    let create = aws_sdk_scheduler::Client::new(system.shim.sdk())
        .create_schedule()
        .name(format!("s{number}"))
        .group_name("runvoy-local")
        .schedule_expression("cron(0 2 * * ? *)")
        .flexible_time_window(window)
        .target(target);
    async move { create.send().await.is_ok() }.boxed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_for_a_store_are_received_and_hold_up_no_other_request() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let system = System::start_with(Settings { data_dir: Some(data.clone()), ..Settings::ephemeral() }).await;
    let system = Arc::new(system);
    let stores: [(&str, &[&str], Write); 4] = [
        ("dynamodb.sqlite", &["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:TransactWriteItems"], run),
        ("ecs.sqlite", &["ecs:RunTask"], run),
        ("queues.sqlite", &["sqs:SendMessage"], send_message),
        ("schedules.sqlite", &["scheduler:CreateSchedule"], create_schedule),
    ];
    for (file, writes, write) in stores {
        // What was asked before leads to no writes meanwhile.
        system.shim.events_handled().await;
        let received: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let seen = received.clone();
        system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
            if writes.contains(&call.operation) {
                seen.lock().unwrap().insert(call.invocation.to_owned());
            }
            None
        })));
        // Another connection has the right to write, as a slow disk would keep it.
        let other = Connection::open(data.join(file)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let calls: Vec<_> = (0..CALLS).map(|number| tokio::spawn(write(system.clone(), number))).collect();
        while received.lock().unwrap().len() < CALLS {
            assert!(!calls.iter().any(JoinHandle::is_finished), "{file}: a call is answered without its write");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(system.admin.get("/health").await.status, 200);
        assert!(!calls.iter().any(JoinHandle::is_finished), "{file}: a call is answered without its write");
        other.execute_batch("COMMIT").unwrap();
        for call in calls {
            assert!(call.await.unwrap(), "{file}");
        }
    }
    system.shim.plan_faults(None);
    let system = Arc::into_inner(system).unwrap();
    system.shim.shut_down().await;
}
