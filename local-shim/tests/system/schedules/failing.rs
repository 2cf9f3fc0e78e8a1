//! Schedules whose runs cannot start.

use serde_json::{Value, json};

use super::{after_times, create, moved};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_owner_pauses_the_schedule_visibly_and_a_run_that_cannot_start_says_why() {
    let (system, clock) = moved().await;
    let admin = &system.admin;
    let ada = system.user("developer", "ada@example.com").await;
    let secret = json!({"name": "key", "key_name": "KEY", "value": "v"});
    assert_eq!(admin.post("/secrets", &secret).await.status, 201);
    create(&ada, &json!({"name": "hers", "cron": "0 * * * *", "run": {"command": "true", "secrets": ["key"]}})).await;
    assert_eq!(admin.delete("/secrets/key").await.status, 200);
    clock.move_to_next_hour();
    let shown = after_times(admin, "hers", 1).await;
    let failed = admin.get(&format!("/executions/{}", shown["last_execution_id"].as_str().unwrap())).await.json();
    assert_eq!((&failed["status"], &failed["source"]), (&json!("FAILED"), &json!("schedule:hers")), "{failed}");
    assert!(failed["reason"].as_str().unwrap().contains("there is no secret"), "{failed}");
    let images = admin.get("/images").await.json();
    let image = &images["images"][0]["image_id"];
    assert_eq!((&failed["image_id"], &failed["request"]["image"]), (image, image), "{failed}");
    // Without a default image there is none to name.
    assert_eq!(admin.delete(&format!("/images/{}", image.as_str().unwrap())).await.status, 200);
    clock.move_to_next_hour();
    let shown = after_times(admin, "hers", 2).await;
    let failed = admin.get(&format!("/executions/{}", shown["last_execution_id"].as_str().unwrap())).await.json();
    assert_eq!((&failed["image_id"], failed["request"].get("image")), (&json!("default"), None), "{failed}");
    let image = json!({"image": "ubuntu:22.04", "is_default": true});
    assert_eq!(admin.post("/images/register", &image).await.status, 201);
    assert_eq!((&shown["last_status"], &shown["enabled"]), (&json!("FAILED"), &json!(true)));
    assert_eq!(admin.post("/users/revoke", &json!({"email": "ada@example.com"})).await.status, 200);
    let at_once = admin.get("/schedules/hers").await.json()["schedule"].clone();
    assert_eq!(admin.get("/schedules").await.json()["schedules"][0], at_once);
    assert_eq!((&at_once["enabled"], &at_once["next_at"]), (&json!(false), &Value::Null), "{at_once}");
    assert!(at_once["paused_reason"].as_str().unwrap().contains("ada@example.com has been revoked"), "{at_once}");
    assert_eq!(admin.put("/users/ada@example.com", &json!({"revoked": false})).await.status, 200);
    let back = admin.get("/schedules/hers").await.json()["schedule"].clone();
    assert_eq!((&back["enabled"], &back["paused_reason"]), (&json!(true), &Value::Null), "{back}");
    assert!(back["next_at"].is_string(), "{back}");
    assert_eq!(admin.post("/users/revoke", &json!({"email": "ada@example.com"})).await.status, 200);
    clock.move_to_next_hour();
    after_times(admin, "hers", 3).await;
    system.shim.events_handled().await;
    let paused = admin.get("/schedules/hers").await.json()["schedule"].clone();
    assert_eq!((&paused["enabled"], &paused["last_status"]), (&json!(false), &json!("FAILED")), "{paused}");
    assert!(paused["paused_reason"].as_str().unwrap().contains("ada@example.com has been revoked"), "{paused}");
    // An admin who says what it runs runs it with rights of their own.
    let taken = admin.put("/schedules/hers", &json!({"run": {"command": "true"}, "enabled": true})).await;
    assert_eq!(taken.json()["schedule"]["runs_as"], "admin@runvoy.local", "{}", taken.text);
    clock.move_to_next_hour();
    let shown = after_times(admin, "hers", 4).await;
    admin.wait_for(shown["recent"][0]["execution_id"].as_str().unwrap(), "SUCCEEDED").await;
    system.shim.shut_down().await;
}
