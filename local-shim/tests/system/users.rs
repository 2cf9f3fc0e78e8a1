use insta::assert_json_snapshot;
use serde_json::json;

use crate::client::{System, stable};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_claims_a_key_once_uses_it_and_loses_it() {
    let system = System::start().await;
    let created = system.admin.post("/users/create", &json!({"email": "Ada@Example.com", "role": "viewer"})).await;
    assert_eq!(created.status, 201);
    assert_json_snapshot!(stable(created.json()));
    let again = system.admin.post("/users/create", &json!({"email": "ada@example.com", "role": "admin"})).await;
    assert_eq!((again.status.as_u16(), &again.json()["code"]), (409, &json!("CONFLICT")));

    let path = format!("/claim/{}", created.json()["claim_token"].as_str().unwrap());
    let claimed = system.admin.get(&path).await;
    assert_eq!(claimed.status, 200);
    assert_eq!(claimed.json()["user_email"], "ada@example.com");
    let second = system.admin.get(&path).await;
    assert_eq!((second.status.as_u16(), &second.json()["details"]), (409, &json!("key has already been claimed")));
    assert_eq!(system.admin.get("/claim/unknown").await.status, 404);

    let mut ada = system.admin.clone();
    ada.key = claimed.json()["api_key"].as_str().unwrap().to_owned();
    assert_eq!(ada.get("/executions").await.status, 200);
    let users = system.admin.get("/users").await;
    assert!(users.text.contains("ada@example.com") && !users.text.contains(&ada.key) && !users.text.contains("hash"));

    let revoked = system.admin.post("/users/revoke", &json!({"email": "ada@example.com"})).await;
    assert_eq!((revoked.status.as_u16(), &revoked.json()["email"]), (200, &json!("ada@example.com")));
    let refused = ada.get("/executions").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (401, &json!("API_KEY_REVOKED")));
    assert_eq!(system.admin.post("/users/revoke", &json!({"email": "nobody@example.com"})).await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_admin_chose_works_at_once_and_is_what_the_claim_hands_over() {
    let system = System::start().await;
    let key = "correct-horse-battery-staple";
    let body = json!({"email": "b@example.com", "role": "operator", "api_key": key});
    let created = system.admin.post("/users/create", &body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let mut user = system.admin.clone();
    user.key = key.to_owned();
    assert_eq!(user.get("/users").await.status, 200);
    let claimed = system.admin.get(&format!("/claim/{}", created.json()["claim_token"].as_str().unwrap())).await;
    assert_eq!(claimed.json()["api_key"], key);
    let taken =
        system.admin.post("/users/create", &json!({"email": "c@example.com", "role": "viewer", "api_key": key})).await;
    assert_eq!(taken.status, 409);
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

/// The contract's table: what each role may do to what it does not own. The status a permitted request comes to is in the
/// row, since it differs; a forbidden one is 403.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_reaches_exactly_the_routes_of_the_table() {
    use axum::http::Method;
    let system = System::start().await;
    let (id, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let secret = json!({"name": "theirs", "key_name": "THEIRS", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let run = json!({"command": "true"}).to_string();
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let empty = String::from("{}");
    // operator, developer, viewer; the admin may do all.
    let rows = [
        (&get, "/executions".to_owned(), &empty, 200, [true, true, true]),
        (&get, format!("/executions/{id}/status"), &empty, 200, [true, false, true]),
        (&get, format!("/executions/{id}/logs"), &empty, 200, [true, false, false]),
        (&delete, format!("/executions/{id}"), &empty, 204, [true, false, false]),
        (&post, "/run".to_owned(), &run, 202, [true, true, false]),
        (&get, "/users".to_owned(), &empty, 200, [true, false, false]),
        (&post, "/users/create".to_owned(), &empty, 400, [false, false, false]),
        (&post, "/users/revoke".to_owned(), &empty, 400, [false, false, false]),
        (&get, "/images".to_owned(), &empty, 200, [true, true, false]),
        (&get, "/images/ubuntu:22.04".to_owned(), &empty, 200, [true, true, false]),
        (&post, "/images/register".to_owned(), &empty, 400, [true, false, false]),
        (&delete, "/images/unknown".to_owned(), &empty, 404, [true, true, true]),
        (&get, "/secrets".to_owned(), &empty, 200, [true, true, false]),
        (&post, "/secrets".to_owned(), &empty, 400, [true, true, false]),
        (&get, "/secrets/theirs".to_owned(), &empty, 200, [true, false, false]),
        (&put, "/secrets/theirs".to_owned(), &empty, 200, [true, true, false]),
    ];
    let callers = [
        ("operator", system.user("operator", "operator@example.com").await),
        ("developer", system.user("developer", "developer@example.com").await),
        ("viewer", system.user("viewer", "viewer@example.com").await),
    ];
    for (method, path, body, status, permitted) in &rows {
        let answer = system.admin.request((*method).clone(), path, &[], (*body).clone()).await;
        assert_eq!(answer.status, *status, "admin {method} {path}: {}", answer.text);
        for ((role, caller), permitted) in callers.iter().zip(permitted) {
            let answer = caller.request((*method).clone(), path, &[], (*body).clone()).await;
            // A body that is read only when the caller may act is a 400 for who may, and must be a 403 for who may not.
            let expected = if *permitted { *status } else { 403 };
            let early = answer.status == 400 && expected == 403 && *status == 400;
            assert!(answer.status == expected || early, "{role} {method} {path}: {} {}", answer.status, answer.text);
        }
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_reach_their_own_executions() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let id = crate::client::id(&developer.run("sleep 60").await);
    developer.wait_for(&id, "RUNNING").await;
    assert_eq!(developer.get(&format!("/executions/{id}/logs")).await.status, 200);
    assert_eq!(developer.delete(&format!("/executions/{id}")).await.status, 200);
    developer.wait_for(&id, "STOPPED").await;
    system.shim.shut_down().await;
}
