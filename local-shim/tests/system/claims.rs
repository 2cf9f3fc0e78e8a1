use serde_json::json;

use crate::client::System;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_claims_at_once_one_wins() {
    let system = System::start().await;
    let created = system.admin.post("/users/create", &json!({"email": "a@example.com", "role": "viewer"})).await.json();
    let path = format!("/claim/{}", created["claim_token"].as_str().unwrap());
    let answers = futures_util::future::join_all((0..100).map(|_| system.admin.get(&path))).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.status == 409));
    let mut caller = system.admin.clone();
    caller.key = won[0].json()["api_key"].as_str().unwrap().to_owned();
    assert_eq!(caller.get("/executions").await.status, 200);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_creations_of_one_user_one_wins() {
    let system = System::start().await;
    let body = json!({"email": "a@example.com", "role": "viewer"});
    let answers = futures_util::future::join_all((0..100).map(|_| system.admin.post("/users/create", &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| answer.status == 201 || answer.status == 409));
    system.shim.shut_down().await;
}
