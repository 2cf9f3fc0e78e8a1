//! Tests of the notifications and the schedules that a published playbook brings along.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_smithy_async::time::SharedTimeSource;
use local_shim::{
    Settings,
    aws::faults::{Call, Fault},
};
use serde_json::{Value, json};

use super::{publish_playbook, refusal, run_playbook};
use crate::{
    client::{Caller, MovedClock, System, id},
    common::receiver::{Got, Receiver},
};

fn restart(schedules: Value) -> Value {
    json!({
        "commands": ["echo \"$SERVICE\""],
        "parameters": [{"name": "SERVICE", "allowed": ["web", "worker"]}],
        "schedules": schedules,
    })
}

/// Publishes the playbook. Returns its version and what became of each schedule.
async fn publish(caller: &Caller, playbook: &Value) -> (u64, Vec<(String, String)>) {
    let published = caller.put("/playbooks/restart", playbook).await;
    assert_eq!(published.status, 200, "{}", published.text);
    let answer = published.json();
    (answer["playbook"]["version"].as_u64().unwrap(), outcomes(&answer))
}

fn outcomes(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = answer["schedules"].as_array().into_iter().flatten();
    all.map(|one| (text(&one["name"]), text(&one["change"]))).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, change)| ((*name).to_owned(), (*change).to_owned())).collect()
}

/// The names of the schedules that AWS has.
async fn in_aws(system: &System) -> Vec<String> {
    let scheduler = aws_sdk_scheduler::Client::new(system.shim.sdk());
    let listed = scheduler.list_schedules().send().await.unwrap().schedules;
    listed.iter().map(|one| one.name().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_makes_changes_and_deletes_the_schedules_of_a_playbook() {
    let system = System::start().await;
    let (admin, developer) = (&system.admin, system.user("developer", "dev@example.com").await);
    let first = json!([
        {"cron": "0 4 1 1 *", "timezone": "Europe/Berlin", "parameters": {"SERVICE": "web"}, "on_missed": "run_once"},
        {"cron": "0 5 1 1 *", "parameters": {"SERVICE": "worker"}},
        {"name": "on-demand", "rate": "1 day", "parameters": {"SERVICE": "web"}},
    ]);
    let (version, made) = publish(&developer, &restart(first.clone())).await;
    assert_eq!(version, 1);
    assert_eq!(made, pairs(&[("restart", "created"), ("restart-2", "created"), ("on-demand", "created")]));
    let shown = developer.get("/schedules/restart").await.json()["schedule"].clone();
    assert_eq!(
        (&shown["of_playbook"], &shown["runs_as"], &shown["owned_by"]),
        (&json!("restart"), &json!("dev@example.com"), &json!(["dev@example.com"]))
    );
    assert_eq!(shown["playbook"], json!({"name": "restart", "parameters": {"SERVICE": "web"}}));
    assert_eq!((&shown["timezone"], &shown["on_missed"]), (&json!("Europe/Berlin"), &json!("run_once")));
    // A rate begins at once.
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let ran = loop {
        assert!(tokio::time::Instant::now() < deadline, "the schedule has not run");
        let schedule = developer.get("/schedules/on-demand").await.json()["schedule"].clone();
        if schedule["last_status"] == "SUCCEEDED" {
            break schedule["last_execution_id"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(developer.log(&ran).await.contains(&"web".to_owned()));
    assert_eq!(publish(&developer, &restart(first)).await, (1, Vec::new()), "the same again changes nothing");

    // By hand, only a pause: the rest is what the playbook says.
    let by_hand = developer.put("/schedules/restart", &json!({"cron": "0 6 1 1 *"})).await;
    assert_eq!(by_hand.status, 409, "{}", by_hand.text);
    assert_eq!(developer.delete("/schedules/restart").await.status, 409);
    assert_eq!(developer.put("/schedules/restart", &json!({"enabled": false})).await.status, 200);

    let second = json!([
        {"cron": "30 4 1 1 *", "timezone": "Europe/Berlin", "parameters": {"SERVICE": "worker"}},
        {"cron": "0 5 1 1 *", "parameters": {"SERVICE": "worker"}},
    ]);
    let (version, made) = publish(&developer, &restart(second.clone())).await;
    assert_eq!(version, 2);
    assert_eq!(made, pairs(&[("restart", "changed"), ("restart-2", "kept"), ("on-demand", "deleted")]));
    let shown = developer.get("/schedules/restart").await.json()["schedule"].clone();
    assert_eq!((&shown["cron"], &shown["enabled"]), (&json!("30 4 1 1 *"), &json!(false)), "it stays paused");
    assert_eq!(in_aws(&system).await, ["restart", "restart-2"]);

    // Whoever publishes it next gives it their rights.
    let (version, made) = publish(admin, &restart(second)).await;
    assert_eq!((version, made), (3, pairs(&[("restart", "changed"), ("restart-2", "changed")])));
    let shown = admin.get("/schedules/restart-2").await.json()["schedule"].clone();
    assert_eq!(shown["runs_as"], "admin@runvoy.local");

    let deleted = admin.delete("/playbooks/restart").await;
    assert_eq!(
        outcomes(&deleted.json()),
        pairs(&[("restart", "deleted"), ("restart-2", "deleted")]),
        "{}",
        deleted.text
    );
    assert_eq!(admin.get("/schedules/restart").await.status, 404);
    assert_eq!(in_aws(&system).await, Vec::<String>::new());
    let entries = admin.get("/audit?resource=schedule:restart-2").await.json()["entries"].clone();
    let actions: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["schedules:delete", "schedules:update", "schedules:create"], "{entries:#}");
    assert_eq!(entries[2]["details"]["of_playbook"], "restart", "{entries:#}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playbook_whose_parts_cannot_be_is_refused_as_a_whole_at_its_field() {
    let system = System::start().await;
    let (admin, developer) = (&system.admin, system.user("developer", "dev@example.com").await);
    let own = json!({"name": "nightly", "cron": "0 0 1 1 *", "run": {"command": "true"}});
    assert_eq!(admin.post("/schedules", &own).await.status, 201);
    let hook = json!({"name": "of-the-admin", "channel": {"webhook": {"url": "https://example.com"}}});
    assert_eq!(admin.post("/notifications", &hook).await.status, 201);
    let web = json!({"SERVICE": "web"});
    for (schedule, field) in [
        (json!({"cron": "0 25 * * *", "parameters": web}), "schedules[0].cron"),
        (json!({"cron": "0 1 1 1 *", "rate": "1 day", "parameters": web}), "schedules[0].cron"),
        (json!({"at": "2001-01-01T00:00", "parameters": web}), "schedules[0].at"),
        (json!({"cron": "0 1 1 1 *", "timezone": "Mars/Base", "parameters": web}), "schedules[0].timezone"),
        (json!({"cron": "0 1 1 1 *"}), "schedules[0].parameters.SERVICE"),
        (json!({"cron": "0 1 1 1 *", "parameters": {"SERVICE": "db"}}), "schedules[0].parameters.SERVICE"),
        (json!({"name": "a b", "cron": "0 1 1 1 *", "parameters": web}), "schedules[0].name"),
    ] {
        let refused = developer.put("/playbooks/restart", &restart(json!([schedule]))).await;
        assert_eq!(refusal(&refused), (400, field.to_owned()), "{}", refused.text);
    }
    let twice = json!({"name": "x", "cron": "0 1 1 1 *", "parameters": web});
    let refused = developer.put("/playbooks/restart", &restart(json!([twice, twice]))).await;
    assert_eq!(refusal(&refused), (400, "schedules[1].name".to_owned()));
    // The schedule of someone else is not taken over.
    let taken = restart(json!([{"name": "nightly", "cron": "0 1 1 1 *", "parameters": web}]));
    let refused = developer.put("/playbooks/restart", &taken).await;
    assert_eq!(refusal(&refused), (409, "schedules[0].name".to_owned()), "{}", refused.text);
    // What a developer may not change is not told from what does not exist.
    for name in ["of-the-admin", "no-such"] {
        let told = json!({"commands": ["true"], "notifications": [{"name": name}]});
        let refused = developer.put("/playbooks/restart", &told).await;
        assert_eq!(refusal(&refused), (400, "notifications[0].name".to_owned()), "{}", refused.text);
    }
    let file = "commands: [true]\nschedules:\n- {corn: 0 1 * * *}\n";
    let refused = admin.post("/playbooks", &json!({"file": file})).await;
    assert_eq!(refusal(&refused), (400, "schedules[].corn".to_owned()), "{}", refused.text);
    let file = "commands: [true]\nschedules:\n- {cron: 0 1 * * 9}\n";
    let refused = admin.post("/playbooks", &json!({"file": file})).await;
    assert_eq!(refusal(&refused), (400, "schedules[0].cron".to_owned()), "{}", refused.text);
    assert_eq!(admin.get("/playbooks/restart").await.status, 404);
    assert_eq!(in_aws(&system).await, ["nightly"]);
    system.shim.shut_down().await;
}

/// Lets the n-th transaction from now on fail, or succeed without an answer, and those after it fail.
fn fail_from(system: &System, number: usize, fault: Fault) {
    let transactions = AtomicUsize::new(0);
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        if call.operation != "dynamodb:TransactWriteItems" {
            return None;
        }
        match transactions.fetch_add(1, Ordering::Relaxed) {
            at if at < number => None,
            at if at == number => Some(fault),
            _ => Some(Fault::Fails),
        }
    })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_is_left_halfway_goes_on_with_the_next_one_or_with_reconcile() {
    for fault in [Fault::Fails, Fault::Lost] {
        for by_reconcile in [false, true] {
            let clock = MovedClock::default();
            let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
            let system = System::start_with(settings).await;
            let admin = &system.admin;
            let web = json!({"SERVICE": "web"});
            let playbook = restart(json!([
                {"cron": "0 1 1 1 *", "parameters": web},
                {"cron": "0 2 1 1 *", "parameters": web},
            ]));
            // The version is published, and one of its schedules at most is made.
            fail_from(&system, 2, fault);
            let left = admin.put("/playbooks/restart", &playbook).await;
            assert_eq!(left.status, 503, "{}", left.text);
            system.shim.plan_faults(None);
            assert_eq!(admin.get("/playbooks/restart").await.json()["playbook"]["version"], 1);
            go_on(&system, by_reconcile, async || publish(admin, &playbook).await.0).await;
            assert_eq!(admin.get("/playbooks/restart").await.json()["playbook"]["version"], 1);
            for name in ["restart", "restart-2"] {
                assert_eq!(admin.get(&format!("/schedules/{name}")).await.status, 200, "{name}, {fault:?}");
            }
            // A schedule whose own change was left halfway is completed after a minute.
            clock.move_on(Duration::from_secs(61));
            admin.post("/health/reconcile", &Value::Null).await;
            assert_eq!(in_aws(&system).await, ["restart", "restart-2"], "{fault:?}");

            fail_from(&system, 1, fault);
            let left = admin.delete("/playbooks/restart").await;
            assert_eq!(left.status, 503, "{}", left.text);
            system.shim.plan_faults(None);
            assert_eq!(admin.get("/playbooks/restart").await.status, 404);
            // The same name again has other schedules.
            let other = restart(json!([{"name": "other", "cron": "0 3 1 1 *", "parameters": web}]));
            go_on(&system, by_reconcile, async || publish(admin, &other).await.0).await;
            for name in ["restart", "restart-2"] {
                assert_eq!(admin.get(&format!("/schedules/{name}")).await.status, 404, "{name}, {fault:?}");
            }
            clock.move_on(Duration::from_secs(61));
            admin.post("/health/reconcile", &Value::Null).await;
            let others: Vec<String> = in_aws(&system).await.into_iter().filter(|name| name != "other").collect();
            assert_eq!(others, Vec::<String>::new(), "{fault:?}");
            system.shim.shut_down().await;
        }
    }
}

async fn go_on(system: &System, by_reconcile: bool, again: impl AsyncFn() -> u64) {
    if !by_reconcile {
        again().await;
        return;
    }
    let report = system.admin.post("/health/reconcile", &Value::Null).await.json();
    let issues = report["report"]["issues"].as_array().unwrap().clone();
    let its = issues.iter().find(|issue| issue["resource_type"] == "playbook").unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!((&its["resource_id"], &its["severity"]), (&json!("restart"), &json!("info")), "{report:#}");
    let report = system.admin.post("/health/reconcile", &Value::Null).await.json();
    assert!(!report["report"]["issues"].to_string().contains("\"playbook\""), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_publications_at_once_the_schedules_are_those_of_the_newest_version() {
    let system = System::start().await;
    let admin = &system.admin;
    let of = |number: usize| {
        let name = format!("s{}", number % 3);
        restart(json!([{"name": name, "cron": format!("{number} 1 * * *"), "parameters": {"SERVICE": "web"}}]))
    };
    let answers =
        futures_util::future::join_all((0..9).map(async |number| admin.put("/playbooks/restart", &of(number)).await))
            .await;
    for answer in &answers {
        assert!([200, 409].contains(&answer.status.as_u16()), "{}", answer.text);
    }
    admin.post("/health/reconcile", &Value::Null).await;
    let newest = admin.get("/playbooks/restart").await.json()["playbook"]["schedules"][0].clone();
    let schedules = admin.get("/schedules").await.json()["schedules"].clone();
    let all: Vec<(&Value, &Value)> =
        schedules.as_array().unwrap().iter().map(|one| (&one["name"], &one["cron"])).collect();
    assert_eq!(all, [(&newest["name"], &newest["cron"])], "{schedules:#}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_notifications_that_a_playbook_names_are_told_of_its_runs_and_of_no_others() {
    let system = System::start().await;
    let (admin, developer) = (&system.admin, system.user("developer", "dev@example.com").await);
    let receiver = Receiver::start().await;
    // By itself it is about nobody's runs.
    let hook =
        json!({"name": "hook", "channel": {"webhook": {"url": receiver.url}}, "for": {"user": "nobody@example.com"}});
    assert_eq!(developer.post("/notifications", &hook).await.status, 201);
    let playbook = json!({
        "commands": ["exit \"$CODE\""],
        "parameters": [{"name": "CODE", "type": "number"}],
        "notifications": [{"name": "hook", "on": ["succeeded", "failed"]}],
    });
    publish_playbook(&developer, "p", &playbook).await;
    admin.run_to_end(json!({"command": "exit 9"})).await;
    let mut told = Vec::new();
    for (code, event) in [(0, "succeeded"), (3, "failed")] {
        let run = id(&run_playbook(admin, "p", json!({"CODE": code})).await.json());
        admin.wait_for(&run, if code == 0 { "SUCCEEDED" } else { "FAILED" }).await;
        told.push((format!("{run}-{event}"), event.to_owned()));
    }
    let mut got: Vec<_> = receiver.wait(2).await.iter().map(Got::change).collect();
    got.sort();
    told.sort();
    assert_eq!(got, told);
    // The next version tells of nothing, and a run of the first one still does.
    let silent = json!({"commands": ["exit 4"]});
    publish_playbook(&developer, "p", &silent).await;
    let run = id(&run_playbook(admin, "p", json!({})).await.json());
    admin.wait_for(&run, "FAILED").await;
    let first = admin.post("/playbooks/p/run", &json!({"version": 1, "parameters": {"CODE": 5}})).await;
    let first = id(&first.json());
    admin.wait_for(&first, "FAILED").await;
    let got = receiver.wait(3).await;
    assert_eq!(got[2].change().0, format!("{first}-failed"));
    // A publisher who may not change the notification any more tells nobody by it.
    let owners = json!({"owned_by": ["admin@runvoy.local"]});
    assert_eq!(developer.put("/notifications/hook/owners", &owners).await.status, 200);
    assert_eq!(developer.get("/notifications/hook").await.status, 404);
    let run = admin.post("/playbooks/p/run", &json!({"version": 1, "parameters": {"CODE": 6}})).await;
    admin.wait_for(&id(&run.json()), "FAILED").await;
    system.shim.events_handled().await;
    assert_eq!(receiver.got().len(), 3);
    system.shim.shut_down().await;
}
