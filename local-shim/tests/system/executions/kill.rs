//! Tests of `DELETE /executions/{id}`.

use std::time::Duration;

use serde_json::json;

use crate::{
    client::{System, id},
    sleepers::{DETACH, Sleepers},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_stops_the_command_and_all_that_it_has_started() {
    let system = System::start().await;
    let sleepers = Sleepers::new(61);
    let mark = &sleepers.seconds;
    let command = format!("sleep {mark} & ({DETACH}sleep {mark} &) ; trap '' HUP; sleep {mark}");
    let id = id(&system.admin.run(&command).await);
    system.admin.wait_for(&id, "RUNNING").await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while sleepers.count() < 3 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let killed = system.admin.delete(&format!("/executions/{id}")).await;
    assert_eq!(killed.status, 200);
    assert_eq!(killed.json(), json!({"execution_id": id, "message": "Execution termination initiated"}));
    let status = system.admin.wait_for(&id, "STOPPED").await;
    assert_eq!(status["exit_code"], 130);
    assert_eq!(sleepers.count(), 0);
    let again = system.admin.delete(&format!("/executions/{id}")).await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (204, ""));
    system.shim.shut_down().await;
}

/// ECS takes 255 characters as the reason of a stop, and an email may have nearly as many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_the_longest_email_can_stop_a_run() {
    let system = System::start().await;
    let email =
        format!("{}@{}.example.com", "a".repeat(64), ["b".repeat(60), "c".repeat(60), "d".repeat(55)].join("."));
    assert_eq!(email.len(), 254);
    let user = system.user("developer", &email).await;
    let id = id(&user.run("sleep 60").await);
    user.wait_for(&id, "RUNNING").await;
    let killed = user.delete(&format!("/executions/{id}")).await;
    assert_eq!(killed.status, 200, "{}", killed.text);
    assert_eq!(user.wait_for(&id, "STOPPED").await["exit_code"], 130);
    system.shim.shut_down().await;
}
