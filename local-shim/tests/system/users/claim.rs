//! Tests of `GET /claim/{token}`.

use std::time::Duration;

use aws_smithy_async::time::SharedTimeSource;
use axum::http::Method;
use local_shim::Settings;
use serde_json::json;

use crate::client::{MovedClock, System};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_works_for_fifteen_minutes_and_no_longer() {
    let clock = MovedClock::default();
    let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let mut claims = Vec::new();
    for email in ["in-time@example.com", "late@example.com"] {
        let created = system.admin.post("/users/create", &json!({"email": email, "role": "viewer"})).await.json();
        claims.push(format!("/claim/{}", created["claim_token"].as_str().unwrap()));
    }
    clock.move_on(Duration::from_secs(14 * 60 + 50));
    assert_eq!(system.admin.get(&claims[0]).await.status, 200);
    clock.move_on(Duration::from_secs(10));
    let late = system.admin.get(&claims[1]).await;
    assert_eq!((late.status.as_u16(), &late.json()["code"]), (404, &json!("NOT_FOUND")));
    system.shim.shut_down().await;
}

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
async fn of_a_hundred_creations_of_one_user_one_link_works() {
    let system = System::start().await;
    let body = json!({"email": "a@example.com", "role": "viewer"});
    let answers = futures_util::future::join_all((0..100).map(|_| system.admin.post("/users/create", &body))).await;
    let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert!(!created.is_empty() && answers.iter().all(|answer| answer.status == 201 || answer.status == 409));
    let mut claimed = 0;
    for answer in &created {
        let path = format!("/claim/{}", answer.json()["claim_token"].as_str().unwrap());
        claimed += usize::from(system.admin.get(&path).await.status == 200);
    }
    assert_eq!(claimed, 1, "of {} links", created.len());
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_prefetch_claim_nothing() {
    let system = System::start().await;
    let created = system.admin.post("/users/create", &json!({"email": "a@example.com", "role": "viewer"})).await;
    assert_eq!(created.headers["cache-control"], "no-store");
    let path = format!("/claim/{}", created.json()["claim_token"].as_str().unwrap());
    assert_eq!(system.admin.request(Method::HEAD, &path, &[], "").await.status, 200);
    for header in [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch"), ("x-moz", "prefetch")] {
        assert_eq!(system.admin.request(Method::GET, &path, &[header], "").await.status, 400, "{header:?}");
    }
    let claimed = system.admin.get(&path).await;
    assert_eq!((claimed.status.as_u16(), claimed.headers["cache-control"].to_str().unwrap()), (200, "no-store"));
    assert_eq!(system.admin.request(Method::HEAD, &path, &[], "").await.status, 409);
    assert_eq!(system.admin.request(Method::HEAD, "/claim/unknown", &[], "").await.status, 404);
    system.shim.shut_down().await;
}
