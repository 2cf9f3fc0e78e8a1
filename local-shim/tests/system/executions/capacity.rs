//! Runs for which AWS has no room, or whose start it throttles in ways of its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::http::Method;
use local_shim::{
    ORCHESTRATOR,
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
