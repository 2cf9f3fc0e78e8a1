//! Tests of `/users`.

use aws_sdk_dynamodb::types::AttributeValue;
use insta::assert_json_snapshot;
use serde_json::json;

use crate::{client::System, stable::stable};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_claims_a_key_once_uses_it_and_loses_it() {
    let system = System::start().await;
    let created = system.admin.post("/users/create", &json!({"email": "Ada@Example.com", "role": "viewer"})).await;
    assert_eq!(created.status, 201);
    assert_json_snapshot!(stable(created.json()));
    let old = format!("/claim/{}", created.json()["claim_token"].as_str().unwrap());
    let renewed = system.admin.post("/users/create", &json!({"email": "ada@example.com", "role": "viewer"})).await;
    assert_eq!(renewed.status, 201, "a link that was lost can be replaced: {}", renewed.text);
    assert_eq!(system.admin.get(&old).await.status, 404, "the old link works no more");

    let path = format!("/claim/{}", renewed.json()["claim_token"].as_str().unwrap());
    let claimed = system.admin.get(&path).await;
    assert_eq!(claimed.status, 200);
    assert_eq!(claimed.json()["user_email"], "ada@example.com");
    let second = system.admin.get(&path).await;
    assert_eq!((second.status.as_u16(), &second.json()["details"]), (409, &json!("key has already been claimed")));
    assert_eq!(system.admin.get("/claim/unknown").await.status, 404);
    let again = system.admin.post("/users/create", &json!({"email": "ada@example.com", "role": "admin"})).await;
    assert_eq!((again.status.as_u16(), &again.json()["code"]), (409, &json!("CONFLICT")));
    assert_eq!(again.json()["error"], "a user ada@example.com exists already");

    let mut ada = system.admin.clone();
    ada.key = claimed.json()["api_key"].as_str().unwrap().to_owned();
    assert_eq!(ada.get("/executions").await.status, 200);
    let users = system.admin.get("/users").await;
    assert!(users.text.contains("ada@example.com") && !users.text.contains(&ada.key) && !users.text.contains("hash"));

    let revoked = system.admin.post("/users/revoke", &json!({"email": "ada@example.com"})).await;
    assert_eq!((revoked.status.as_u16(), &revoked.json()["email"]), (200, &json!("ada@example.com")));
    let refused = ada.get("/executions").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (401, &json!("API_KEY_REVOKED")));
    assert_eq!(system.admin.post("/users/revoke", &json!({"email": "unknown@example.com"})).await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_cannot_choose_the_key_of_another_user() {
    let system = System::start().await;
    let body = json!({"email": "b@example.com", "role": "operator", "api_key": "correct-horse-battery-staple"});
    let refused = system.admin.post("/users/create", &body).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("INVALID_REQUEST")));
    assert!(!refused.text.contains("correct-horse"), "{}", refused.text);
    let empty = json!({"email": "b@example.com", "role": "operator", "api_key": ""});
    assert_eq!(system.admin.post("/users/create", &empty).await.status, 201, "an empty field means an absent one");
    system.shim.shut_down().await;
}

/// Earlier versions let an admin choose a key. It has no checksum, and its record lacks what came later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_before_the_checksum_is_looked_up() {
    let system = System::start().await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    dynamodb
        .put_item()
        .table_name("runvoy-local-api-keys")
        // The base64 SHA-256 of the key.
        .item("key_hash", text("h8vr/uvAX3xUrJM2xLS77IMSJ6ZBlRpL3n7dVgIPhZA="))
        .item("email", text("b@example.com"))
        .item("role", text("viewer"))
        .item("revoked", AttributeValue::Bool(false))
        .send()
        .await
        .unwrap();
    let caller = system.admin.with_key("correct-horse-battery-staple");
    assert_eq!(caller.get("/me").await.json()["email"], "b@example.com");
    assert_eq!(caller.get("/executions").await.status, 200);
    assert_eq!(system.admin.with_key("correct-horse-battery-stapl").get("/me").await.status, 401);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_cannot_be_are_refused() {
    let system = System::start().await;
    let mut caller = system.admin.clone();
    for (key, code) in [
        ("", "UNAUTHORIZED"),
        ("wrong", "INVALID_API_KEY"),
        ("runvoy_wrong", "INVALID_API_KEY"),
        (&"x".repeat(5000), "INVALID_API_KEY"),
    ] {
        caller.key = key.to_owned();
        let refused = caller.get("/executions").await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (401, &json!(code)));
    }
    for body in [
        json!({"email": "x", "role": "viewer"}),
        json!({"email": "x@example.com", "role": "root"}),
        json!({"email": "x@example.com"}),
    ] {
        assert_eq!(system.admin.post("/users/create", &body).await.status, 400, "{body}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_learns_who_they_are_and_what_they_may_do() {
    let system = System::start().await;
    let viewer = system.user("viewer", "v@example.com").await;
    let me = viewer.get("/me").await;
    assert_eq!(
        (me.status.as_u16(), me.json()),
        (
            200,
            json!({"email": "v@example.com", "role": "viewer", "permissions": ["executions:list", "executions:status"]})
        )
    );
    let admin = system.admin.get("/me/").await.json();
    assert!(admin["permissions"].as_array().unwrap().contains(&json!("users:create")), "{admin}");
    system.shim.shut_down().await;
}
