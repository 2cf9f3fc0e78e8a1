//! The keys of users: several for one, limited or not, and what ends with a key.

use std::time::Duration;

use aws_smithy_async::time::SharedTimeSource;
use local_shim::{EVENT_PROCESSOR, Settings};
use serde_json::{Value, json};

use crate::client::{Caller, MovedClock, Seen, System, connect, id, watch, watch_on};
use crate::held::hold_transaction;

/// Makes another key for this caller, and returns its id and a client that uses it.
async fn another(caller: &Caller, body: Value) -> (String, Caller) {
    let made = caller.post("/keys", &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.headers["cache-control"], "no-store");
    let made = made.json();
    let key = made["api_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("runvoy_") && key.as_bytes()[7].is_ascii_alphanumeric(), "{key}");
    (made["key"]["key_id"].as_str().unwrap().to_owned(), caller.with_key(&key))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_renews_a_key_without_a_gap() {
    let system = System::start().await;
    let old = system.user("developer", "dev@example.com").await;
    let old_id = old.get("/keys").await.json()["keys"][0]["key_id"].as_str().unwrap().to_owned();
    let (new_id, new) = another(&old, json!({"name": "laptop"})).await;
    for caller in [&old, &new] {
        assert_eq!(caller.get("/me").await.json()["email"], "dev@example.com");
    }
    let listed = new.get("/keys").await;
    let keys = listed.json()["keys"].clone();
    let ids: Vec<&str> = keys.as_array().unwrap().iter().map(|key| key["key_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [old_id.as_str(), new_id.as_str()]);
    assert_eq!((&keys[1]["name"], &keys[1]["email"]), (&json!("laptop"), &json!("dev@example.com")));
    assert!(keys[0]["last_used"].is_string() && keys[0]["created_at"].is_string(), "{keys}");
    assert!(!listed.text.contains(&new.key) && !listed.text.contains("hash"), "{}", listed.text);
    assert_eq!(new.delete(&format!("/keys/{old_id}")).await.status, 200);
    let refused = old.get("/me").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (401, &json!("INVALID_API_KEY")));
    assert_eq!(new.get("/me").await.status, 200);
    assert_eq!(new.delete(&format!("/keys/{old_id}")).await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_others_are_for_admins_and_all_of_a_user_change_with_the_user() {
    let system = System::start().await;
    let admin = &system.admin;
    let ada = system.user("developer", "ada@example.com").await;
    let bob = system.user("operator", "bob@example.com").await;
    let (second_id, second) = another(&ada, json!({"name": "ci"})).await;
    assert_eq!(bob.get("/keys?email=ada@example.com").await.status, 403);
    assert_eq!(bob.delete(&format!("/keys/{second_id}")).await.status, 404);
    assert_eq!(admin.get("/keys?email=ada@example.com").await.json()["keys"].as_array().unwrap().len(), 2);

    let changed = admin.put("/users/ada@example.com", &json!({"role": "viewer"})).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["user"]["role"]), (200, &json!("viewer")));
    for caller in [&ada, &second] {
        assert_eq!(caller.get("/me").await.json()["role"], "viewer");
        assert_eq!(caller.post("/run", &json!({"command": "true"})).await.status, 403);
    }
    assert_eq!(admin.put("/users/ada@example.com", &json!({"revoked": true})).await.status, 200);
    for caller in [&ada, &second] {
        assert_eq!(caller.get("/me").await.json()["code"], "API_KEY_REVOKED");
    }
    assert_eq!(admin.put("/users/ada@example.com", &json!({"revoked": false})).await.json()["user"]["revoked"], false);
    assert_eq!(second.get("/me").await.status, 200);
    assert_eq!(admin.delete(&format!("/keys/{second_id}")).await.status, 200);
    assert_eq!((second.get("/me").await.status.as_u16(), ada.get("/me").await.status.as_u16()), (401, 200));
    assert_eq!(admin.put("/users/ada@example.com", &json!({"role": "root"})).await.status, 400);
    assert_eq!(admin.put("/users/unknown@example.com", &json!({"role": "viewer"})).await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_lost_their_key_gets_another_by_a_new_link() {
    let system = System::start().await;
    let admin = &system.admin;
    let old = system.user("developer", "dev@example.com").await;
    let again = admin.post("/users/create", &json!({"email": "dev@example.com", "role": "developer"})).await;
    assert_eq!(again.status, 409);
    let first = admin.post("/users/dev@example.com/claim", &Value::Null).await;
    assert_eq!((first.status.as_u16(), first.headers["cache-control"].to_str().unwrap()), (201, "no-store"));
    let second = admin.post("/users/dev@example.com/claim", &Value::Null).await.json();
    let path = |answer: &Value| format!("/claim/{}", answer["claim_token"].as_str().unwrap());
    assert!(second["claim_url"].as_str().unwrap().ends_with(&path(&second)));
    assert_eq!(admin.get(&path(&first.json())).await.status, 404, "the earlier link stops working");
    let claimed = admin.get(&path(&second)).await;
    assert_eq!(claimed.status, 200, "{}", claimed.text);
    let new = old.with_key(claimed.json()["api_key"].as_str().unwrap());
    assert_eq!((new.get("/me").await.status.as_u16(), old.get("/me").await.status.as_u16()), (200, 200));
    assert_eq!(admin.get(&path(&second)).await.status, 409);
    assert_eq!(admin.post("/users/revoke", &json!({"email": "dev@example.com"})).await.status, 200);
    assert_eq!(admin.post("/users/dev@example.com/claim", &Value::Null).await.status, 409);
    system.shim.shut_down().await;
}

/// A claim that was made before a change of the role hands over no key with the role of before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_of_before_a_change_of_the_role_works_no_more() {
    let system = System::start().await;
    let admin = &system.admin;
    let created = admin.post("/users/create", &json!({"email": "a@example.com", "role": "operator"})).await.json();
    assert_eq!(admin.put("/users/a@example.com", &json!({"role": "viewer"})).await.status, 200);
    let path = format!("/claim/{}", created["claim_token"].as_str().unwrap());
    assert_eq!(admin.get(&path).await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_is_neither_revoked_nor_demoted() {
    let system = System::start().await;
    let admin = &system.admin;
    // A user who has not claimed a key could not take over.
    let unclaimed = json!({"email": "b@example.com", "role": "admin"});
    assert_eq!(admin.post("/users/create", &unclaimed).await.status, 201);
    let last = "admin@runvoy.local";
    for (path, body) in
        [(format!("/users/{last}"), json!({"role": "operator"})), (format!("/users/{last}"), json!({"revoked": true}))]
    {
        let refused = admin.put(&path, &body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("CONFLICT")), "{body}");
    }
    assert_eq!(admin.post("/users/revoke", &json!({"email": last})).await.status, 409);
    assert_eq!(admin.get("/me").await.json()["role"], "admin");

    let other = system.user("admin", "c@example.com").await;
    let (viewer, path) = (json!({"role": "viewer"}), format!("/users/{last}"));
    let (one, two) = tokio::join!(admin.put("/users/c@example.com", &viewer), other.put(&path, &viewer));
    let won = [&one, &two].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1, "of two admins who demote each other, one stays: {} {}", one.text, two.text);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_key_does_its_actions_only_and_an_expired_one_nothing() {
    let clock = MovedClock::default();
    let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let admin = &system.admin;
    let scope = json!({"actions": ["executions:list", "keys:create"]});
    let (_, limited) = another(admin, json!({"name": "reader", "scope": scope, "expires_in": 3600})).await;
    assert_eq!(limited.get("/executions").await.status, 200);
    assert_eq!(limited.post("/run", &json!({"command": "true"})).await.status, 403);
    assert_eq!(limited.post("/keys", &json!({"name": "wider"})).await.status, 403);
    assert_eq!(limited.get("/me").await.json()["permissions"], json!(["executions:list"]));
    clock.move_on(Duration::from_secs(3601));
    let expired = limited.get("/executions").await;
    assert_eq!((expired.status.as_u16(), &expired.json()["code"]), (401, &json!("INVALID_API_KEY")));
    for bad in [
        json!({"name": ""}),
        json!({"name": "a\nb"}),
        json!({"name": "x".repeat(65)}),
        json!({"name": "x", "scope": {"actions": ["executions:dance"]}}),
        json!({"name": "x", "expires_in": 4_000_000_000_u64}),
    ] {
        assert_eq!(admin.post("/keys", &bad).await.status, 400, "{bad}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_key_is_told_which_action_its_scope_lacks() {
    let system = System::start().await;
    let admin = &system.admin;
    let secret = json!({"name": "s", "key_name": "S", "value": "v"});
    assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    let run = json!({"command": "true", "secrets": ["s"]});
    let key = async |actions: &[&str]| another(admin, json!({"name": "ci", "scope": {"actions": actions}})).await.1;
    let run_only = key(&["executions:run"]).await;
    let with_image = key(&["executions:run", "images:use"]).await;
    let with_all = key(&["executions:run", "images:use", "secrets:use"]).await;
    for (key, lacks, of) in [(&run_only, "images:use", "image:"), (&with_image, "secrets:use", "secret:s")] {
        let refused = key.post("/run", &run).await;
        let answer = refused.json();
        assert_eq!((refused.status.as_u16(), &answer["code"]), (403, &json!("FORBIDDEN")), "{answer}");
        assert!(answer["details"].as_str().unwrap().contains(&format!("does not permit {lacks}")), "{answer}");
        assert!(answer["hint"].as_str().unwrap().contains(lacks), "{answer}");
        let entry = admin.get(&format!("/audit?outcome=refused&action={lacks}&limit=1")).await.json();
        assert!(entry["entries"][0]["resource"].as_str().unwrap().starts_with(of), "{entry}");
    }
    assert_eq!(with_all.post("/run", &run).await.status, 202);
    let refused = with_all.get("/audit").await.json();
    assert!(refused["details"].as_str().unwrap().contains("audit:read"), "{refused}");
    let viewer = system.user("viewer", "v@example.com").await;
    let (_, of_viewer) = another(&viewer, json!({"name": "x", "scope": {"actions": ["executions:list"]}})).await;
    let refused = of_viewer.post("/run", &run).await.json();
    assert!(!refused["details"].as_str().unwrap().contains("limited"), "the user may not either: {refused}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_at_most_twenty_keys() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let bodies: Vec<Value> = (0..25).map(|number| json!({"name": format!("key {number}")})).collect();
    let made = futures_util::future::join_all(bodies.iter().map(|body| developer.post("/keys", body))).await;
    assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 19);
    assert!(made.iter().all(|answer| [201, 409].contains(&answer.status.as_u16())));
    assert_eq!(developer.get("/keys").await.json()["keys"].as_array().unwrap().len(), 20);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_connections_of_a_deleted_key_and_of_a_revoked_user_end() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let (second_id, second) = another(&developer, json!({"name": "ci"})).await;
    let follow = async |caller: &Caller| {
        let started = caller.run("sleep 60").await;
        connect(started["websocket_url"].as_str().unwrap()).await.unwrap()
    };
    let of_first = tokio::spawn(watch(follow(&developer).await));
    let of_second = tokio::spawn(watch(follow(&second).await));
    let of_admin = tokio::spawn(watch(follow(&system.admin).await));
    assert_eq!(developer.delete(&format!("/keys/{second_id}")).await.status, 200);
    of_second.await.unwrap();
    assert!(!of_first.is_finished(), "the other key of the user still works");
    assert_eq!(system.admin.post("/users/revoke", &json!({"email": "dev@example.com"})).await.status, 200);
    of_first.await.unwrap();
    assert!(!of_admin.is_finished());
    of_admin.abort();
    system.shim.shut_down().await;
}

/// Nothing changes in a table when a key expires, so whoever sends the next lines looks at the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_gets_no_line_that_comes_after_their_key_has_expired() {
    let clock = MovedClock::default();
    let system = System::start_with(clock.settings()).await;
    let (_, brief) = another(&system.admin, json!({"name": "brief", "expires_in": 3600})).await;
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let command = format!("echo before; until [ -e {} ]; do sleep 0.05; done; echo after", go.display());
    let started = brief.run(&command).await;
    let mut of_brief = connect(started["websocket_url"].as_str().unwrap()).await.unwrap();
    let logs = system.admin.get(&format!("/executions/{}/logs", id(&started))).await.json();
    let of_admin = connect(logs["websocket_url"].as_str().unwrap()).await.unwrap();
    let lines =
        |seen: &Seen| seen.messages().iter().filter(|line| ["before", "after"].contains(&line.as_str())).count();
    let mut seen = Seen::default();
    seen.read_until(&mut of_brief, |seen| lines(seen) == 1).await;
    clock.move_on(Duration::from_secs(3601));
    std::fs::write(&go, "").unwrap();
    let (of_brief, of_admin) = tokio::join!(watch_on(seen, of_brief), watch(of_admin));
    assert_eq!((lines(&of_brief), lines(&of_admin)), (1, 2));
    system.admin.wait_for(&id(&started), "SUCCEEDED").await;
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_a_viewer_ends_with_the_key_of_the_user_to_whom_it_was_given() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let (second_id, second) = another(&developer, json!({"name": "ci"})).await;
    let url = |started: &Value| started["websocket_url"].as_str().unwrap().to_owned();
    let (first_url, second_url) = (url(&developer.run("sleep 60").await), url(&second.run("sleep 60").await));
    for url in [&first_url, &second_url] {
        drop(connect(url).await.unwrap());
    }
    assert_eq!(developer.delete(&format!("/keys/{second_id}")).await.status, 200);
    assert_eq!(connect(&second_url).await.unwrap_err(), 401);
    drop(connect(&first_url).await.unwrap());
    assert_eq!(system.admin.post("/users/revoke", &json!({"email": "dev@example.com"})).await.status, 200);
    assert_eq!(connect(&first_url).await.unwrap_err(), 401);
    system.shim.shut_down().await;
}

/// The refusals of viewers in the audit: who, of which execution.
async fn refused_viewers(admin: &Caller) -> Vec<(Value, Value)> {
    let found = admin.get("/audit?action=executions:follow&outcome=refused").await.json();
    let entries = found["entries"].as_array().unwrap();
    entries.iter().map(|entry| (entry["actor"].clone(), entry["resource"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_follows_for_as_long_as_the_user_may_read_the_log_and_each_refusal_is_in_the_audit() {
    let system = System::start().await;
    let admin = &system.admin;
    let operator = system.user("operator", "op@example.com").await;
    let execution = id(&admin.run("sleep 60").await);
    admin.wait_for(&execution, "RUNNING").await;
    let logs = operator.get(&format!("/executions/{execution}/logs")).await.json();
    let url = logs["websocket_url"].as_str().unwrap().to_owned();
    let open = tokio::spawn(watch(connect(&url).await.unwrap()));
    assert_eq!(admin.put("/users/op@example.com", &json!({"role": "viewer"})).await.status, 200);
    open.await.unwrap();
    assert_eq!(connect(&url).await.unwrap_err(), 403);
    let of_other = url.replace(&execution, "00000000000000000000000000000000");
    assert_eq!(connect(&of_other).await.unwrap_err(), 403);
    let of_none = url.replace(&execution, "%1b%5b2J");
    assert_eq!(connect(&of_none).await.unwrap_err(), 403);
    let resource = |id: &str| (json!("op@example.com"), json!(format!("execution:{id}")));
    let expected = [resource(&execution), resource("00000000000000000000000000000000"), resource(&execution)];
    assert_eq!(refused_viewers(admin).await, expected);
    assert_eq!(admin.put("/users/op@example.com", &json!({"role": "operator"})).await.status, 200);
    drop(connect(&url).await.unwrap());
    assert_eq!(connect(&url.replace("token=", "token=x")).await.unwrap_err(), 401);
    assert_eq!(refused_viewers(admin).await.len(), 3, "nobody knows whose an unknown token is");
    system.shim.shut_down().await;
}

/// The revocation looks for connections after the viewer's key was found good, and before the viewer's record is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_who_connects_while_the_user_is_revoked_is_refused() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    let started = developer.run("sleep 60").await;
    let url = started["websocket_url"].as_str().unwrap().to_owned();
    developer.wait_for(&id(&started), "RUNNING").await;
    system.shim.events_handled().await;
    let held = hold_transaction(&system, EVENT_PROCESSOR);
    let connecting = tokio::spawn(async move { connect(&url).await });
    let revoked = held.during(system.admin.post("/users/revoke", &json!({"email": "dev@example.com"}))).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(connecting.await.unwrap().unwrap_err(), 401);
    let left = aws_sdk_dynamodb::Client::new(system.shim.sdk())
        .scan()
        .table_name("runvoy-local-websocket-connections")
        .send()
        .await
        .unwrap();
    assert_eq!(left.count(), 0);
    assert_eq!(refused_viewers(&system.admin).await.len(), 1);
    system.shim.shut_down().await;
}
