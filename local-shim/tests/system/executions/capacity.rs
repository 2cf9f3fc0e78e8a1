//! Runs for which AWS has no room, or whose start it throttles in ways of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::Method;
use local_shim::{
    ORCHESTRATOR, Settings,
    aws::faults::{Call, Fault},
};
use serde_json::json;

use crate::client::{Answer, System};

async fn run(system: &System) -> Answer {
    system.admin.request(Method::POST, "/run", &[("idempotency-key", "one")], r#"{"command": "true"}"#).await
}

/// ECS gives this error the code of a wrong request, which the SDK does not repeat of its own accord.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_start_is_throttled_by_ec2_starts_a_moment_later() {
    let system = System::start().await;
    let tried = AtomicUsize::new(0);
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        (call.operation == "ecs:RunTask" && tried.fetch_add(1, Ordering::Relaxed) < 2).then_some(Fault::ThrottledByEc2)
    })));
    let started = run(&system).await;
    assert_eq!(started.status, 202, "{}", started.text);
    assert_eq!(system.shim.aws_calls(ORCHESTRATOR)["ecs:RunTask"], 3);
    assert_eq!(system.admin.get("/executions").await.json().as_array().unwrap().len(), 1);
    system.shim.plan_faults(Some(Arc::new(|call: Call<'_>| {
        (call.operation == "ecs:RunTask").then_some(Fault::ThrottledByEc2)
    })));
    let refused = system.admin.post("/run", &json!({"command": "true"})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (503, &json!("SERVICE_UNAVAILABLE")));
    system.shim.plan_faults(None);
    system.shim.shut_down().await;
}

/// Of many starts under `--chaos`, EC2 throttles some, which nobody notices, and Fargate has no room for one, which the caller is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_chaos_a_run_meets_throttling_and_a_lack_of_room() {
    let system = System::start_with(Settings { chaos: Some(3), ..Settings::ephemeral() }).await;
    let mut refused = Vec::new();
    let run = json!({"command": "true"});
    for _ in 0..11 {
        // ECS takes 20 starts a second.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let answers = futures_util::future::join_all((0..5).map(|_| system.admin.post("/run", &run))).await;
        refused.extend(answers.into_iter().filter(|answer| answer.status != 202));
    }
    let calls = system.shim.aws_calls(ORCHESTRATOR)["ecs:RunTask"];
    assert!(calls > 55, "{calls} calls: a start that was throttled is made again");
    assert_eq!(refused.len(), 1, "{:?}", refused.iter().map(|answer| &answer.text).collect::<Vec<_>>());
    assert_eq!(
        (refused[0].status.as_u16(), &refused[0].json()["code"]),
        (503, &json!("CAPACITY_UNAVAILABLE")),
        "{}",
        refused[0].text
    );
    system.shim.shut_down().await;
}
