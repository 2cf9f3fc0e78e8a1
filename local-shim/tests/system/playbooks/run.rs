//! Tests of `POST /playbooks/{name}/run`: the values of parameters, and the rights with which a playbook runs.

use axum::http::Method;
use proptest::{strategy::Strategy, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{output, publish_playbook, refusal, run_playbook, share};
use crate::cases::Cases;
use crate::client::{System, id};

/// A value of a parameter is a variable of the command, whatever it contains, and never a part of the command's text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_reach_the_command_as_they_are() {
    const VALUES: usize = 20;
    let system = System::start().await;
    let names: Vec<String> = (0..VALUES).map(|n| format!("P{n}")).collect();
    let parameters: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "type": "text", "required": false})).collect();
    let command =
        format!("for name in {}; do printenv $name | od -An -v -tx1 | tr -d ' \\n'; echo; done", names.join(" "));
    publish_playbook(&system.admin, "values", &json!({"parameters": parameters, "commands": [command]})).await;
    // What shells, printf, YAML, JSON and .env files might take for something else.
    const PARTS: [&str; 30] = [
        "'",
        "\"",
        "\n",
        "$(touch /tmp/x)",
        "`id`",
        "*",
        "?",
        "[a-z]",
        "\\",
        "\\n",
        "%s",
        "$HOME",
        "${IFS}",
        ";",
        "&&",
        "|",
        "<",
        ">",
        "#",
        "~",
        "!",
        " ",
        "\t",
        "=",
        "--",
        "é",
        "\u{1F600}",
        "\r",
        "EOF",
        "a",
    ];
    let value = proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..8).prop_map(|parts| parts.concat());
    let values = proptest::collection::vec(value, VALUES);
    let mut runner = TestRunner::deterministic();
    for _ in 0..4 {
        let values = values.new_tree(&mut runner).unwrap().current();
        let given: serde_json::Map<String, Value> =
            names.iter().cloned().zip(values.iter().cloned().map(Value::from)).collect();
        let started = run_playbook(&system.admin, "values", given.into()).await;
        let lines = output(&system.admin, &started).await;
        let expected: Vec<String> = values
            .iter()
            // A text has the line ends of sh, and printenv adds one.
            .map(|value| {
                format!("{}\n", value.replace("\r\n", "\n")).bytes().map(|byte| format!("{byte:02x}")).collect()
            })
            .collect();
        assert_eq!(lines, expected, "{values:?}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_and_playbooks_that_do_not_fit_are_refused_at_their_fields() {
    let system = System::start().await;
    let admin = &system.admin;
    let parameter = |parameter: Value| json!({"commands": ["true"], "parameters": [parameter]});
    let mut checked = Cases::default();
    for (playbook, field) in [
        (json!({"commands": []}), "commands"),
        (json!({}), "commands"),
        (json!({"commands": ["true"], "image": "nowhere:1"}), "image"),
        (json!({"commands": ["true"], "secrets": ["nothing"]}), "secrets"),
        (json!({"commands": ["true"], "timeout": "soon"}), "timeout"),
        (json!({"commands": ["true"], "env": {"1A": "x"}}), "env.1A"),
        (json!({"commands": ["true"], "git_ref": "main"}), "git_repo"),
        (json!({"commands": ["true"], "timout": 5}), "timout"),
        (parameter(json!({"name": "A-B"})), "parameters[0].name"),
        // Names that steer programs, and those that say that a value is a secret.
        (parameter(json!({"name": "LD_PRELOAD"})), "parameters[0].name"),
        (parameter(json!({"name": "GIT_CONFIG_PARAMETERS"})), "parameters[0].name"),
        (parameter(json!({"name": "https_proxy"})), "parameters[0].name"),
        (parameter(json!({"name": "DB_PASSWORD"})), "parameters[0].name"),
        (parameter(json!({"name": "A", "type": "colour"})), "parameters[0].type"),
        // No run could carry it.
        (parameter(json!({"name": "A", "type": "text", "default": "x".repeat(9000)})), "parameters"),
        (parameter(json!({"name": "A", "type": "number", "allowed": ["1", "x"]})), "parameters[0].allowed[1]"),
        (
            parameter(
                json!({"name": "A", "type": "choice", "allowed": ["test", "production"], "default": "production"}),
            ),
            "parameters[0].default",
        ),
    ] {
        let refused = admin.put("/playbooks/p", &playbook).await;
        checked.equal(&playbook, refusal(&refused), (400, field.to_owned()));
    }
    assert_eq!(admin.put("/playbooks/a%20b", &json!({"commands": ["true"]})).await.status, 400);

    let playbook = json!({"commands": ["echo \"$NAME/$SIZE/$DRY/$DAY/$STAGE/\"$ZONES"], "parameters": [
        {"name": "NAME", "pattern": "[a-z]+", "max_length": 5},
        {"name": "SIZE", "type": "number", "default": "1"},
        {"name": "DRY", "type": "boolean", "required": false},
        {"name": "DAY", "type": "date", "required": false},
        {"name": "STAGE", "type": "choice", "allowed": ["test", "production"]},
        {"name": "ZONES", "type": "choices", "allowed": ["a", "b", "c"], "default": "a,b"},
    ]});
    publish_playbook(admin, "p", &playbook).await;
    for (values, field) in [
        (json!({"STAGE": "test"}), "parameters.NAME"),
        (json!({"NAME": "a"}), "parameters.STAGE"),
        (json!({"NAME": "a1", "STAGE": "test"}), "parameters.NAME"),
        (json!({"NAME": "abcdef", "STAGE": "test"}), "parameters.NAME"),
        (json!({"NAME": "a", "STAGE": "live"}), "parameters.STAGE"),
        (json!({"NAME": "a", "STAGE": "test", "SIZE": "1; id"}), "parameters.SIZE"),
        (json!({"NAME": "a", "STAGE": "test", "DRY": "yes"}), "parameters.DRY"),
        (json!({"NAME": "a", "STAGE": "test", "DAY": "2030-02-30"}), "parameters.DAY"),
        (json!({"NAME": "a", "STAGE": "test", "ZONES": ["a", "d"]}), "parameters.ZONES"),
        (json!({"NAME": "a", "STAGE": "test", "PATH": "/tmp"}), "parameters.PATH"),
        (json!({"NAME": {"a": 1}, "STAGE": "test"}), "parameters.NAME"),
    ] {
        let refused = run_playbook(admin, "p", values.clone()).await;
        checked.equal(&values, refusal(&refused), (400, field.to_owned()));
    }
    checked.all_hold();
    let started =
        run_playbook(admin, "p", json!({"NAME": "a", "STAGE": "test", "SIZE": 3, "DRY": true, "ZONES": ["c", "a"]}))
            .await;
    assert_eq!(output(admin, &started).await, ["a/3/true//test/c a"]);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_runs_what_is_shared_with_the_publishers_right_and_nothing_else() {
    let system = System::start().await;
    let admin = &system.admin;
    let developer = system.user("developer", "dev@example.com").await;
    let runner = system.user("runner", "support@example.com").await;
    let secret = json!({"name": "token", "key_name": "THE_VALUE", "value": "hidden-in-ssm"});
    assert_eq!(developer.post("/secrets", &secret).await.status, 201);
    let playbook = json!({"commands": ["echo \"${#THE_VALUE} $SERVICE\""], "secrets": ["token"], "parameters": [{"name": "SERVICE"}]});
    publish_playbook(&developer, "restart", &playbook).await;
    publish_playbook(&developer, "other", &json!({"commands": ["true"]})).await;

    // Without sharing, a runner sees none.
    assert_eq!(runner.get("/playbooks").await.json()["playbooks"], json!([]));
    assert_eq!(run_playbook(&runner, "restart", json!({"SERVICE": "web"})).await.status, 404);
    share(&developer, "restart", json!(["support@example.com"])).await;
    let seen = runner.get("/playbooks").await.json()["playbooks"].clone();
    assert_eq!(seen.as_array().unwrap().iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["restart"]);
    assert_eq!(runner.get("/playbooks/restart").await.status, 200);
    let started = run_playbook(&runner, "restart", json!({"SERVICE": "web"})).await;
    assert_eq!(output(&runner, &started).await, ["13 web"]);
    let own = id(&started.json());
    let execution = runner.get(&format!("/executions/{own}")).await.json();
    assert_eq!(
        (&execution["source"], &execution["created_by"]),
        (&json!("playbook:restart@1"), &json!("support@example.com"))
    );
    assert_eq!(execution["request"]["env"]["SERVICE"], "web", "the values are kept for running it again");
    assert_eq!(runner.get("/executions").await.json().as_array().unwrap().len(), 1);

    let of_developer = id(&developer.run("true").await);
    for (method, path, body, status) in [
        (Method::POST, "/run", json!({"command": "true"}), 403),
        (Method::GET, "/secrets", Value::Null, 403),
        (Method::GET, "/secrets/token", Value::Null, 403),
        (Method::GET, "/images", Value::Null, 403),
        // What the runner's lists do not show is not there.
        (Method::GET, "/playbooks/other", Value::Null, 404),
        (Method::POST, "/playbooks/other/run", json!({}), 404),
        (Method::PUT, "/playbooks/restart", playbook.clone(), 403),
        (Method::DELETE, "/playbooks/restart", Value::Null, 403),
        (Method::PUT, "/playbooks/restart/sharing", json!({"shared_with": null}), 403),
        (Method::GET, &format!("/executions/{of_developer}/status"), Value::Null, 404),
        (Method::GET, &format!("/executions/{of_developer}/logs"), Value::Null, 404),
        (Method::DELETE, &format!("/executions/{of_developer}"), Value::Null, 404),
        (Method::GET, "/executions?user=dev@example.com", Value::Null, 403),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let refused = runner.request(method.clone(), path, &[("content-type", "application/json")], body).await;
        assert_eq!(refused.status, status, "{method} {path}: {}", refused.text);
    }

    // The publisher's right is looked at once more at each run.
    assert_eq!(admin.put("/secrets/token/owners", &json!({"owned_by": ["admin@runvoy.local"]})).await.status, 200);
    assert_eq!(admin.put("/secrets/token/sharing", &json!({"shared_with": []})).await.status, 200);
    let refused = run_playbook(&runner, "restart", json!({"SERVICE": "web"})).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains("dev@example.com") && refused.text.contains("token"), "{}", refused.text);
    let not_published = developer.put("/playbooks/again", &playbook).await;
    assert_eq!(
        (not_published.status.as_u16(), not_published.text.contains("token")),
        (403, true),
        "{}",
        not_published.text
    );
    assert_eq!(admin.put("/secrets/token/sharing", &json!({"shared_with": null})).await.status, 200);
    assert_eq!(run_playbook(&runner, "restart", json!({"SERVICE": "web"})).await.status, 202);
    assert_eq!(admin.put("/users/dev@example.com", &json!({"role": "viewer"})).await.status, 200);
    assert_eq!(run_playbook(&runner, "restart", json!({"SERVICE": "web"})).await.status, 409);
    assert_eq!(admin.post("/users/revoke", &json!({"email": "dev@example.com"})).await.status, 200);
    assert_eq!(run_playbook(&runner, "restart", json!({"SERVICE": "web"})).await.status, 409);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_limited_to_a_playbook_starts_follows_and_stops_its_executions_only() {
    let system = System::start().await;
    let developer = system.user("developer", "dev@example.com").await;
    publish_playbook(&developer, "p", &json!({"commands": ["sleep 60"]})).await;
    publish_playbook(&developer, "q", &json!({"commands": ["true"]})).await;
    let made = developer.post("/keys", &json!({"name": "ci", "scope": {"playbooks": ["p"]}})).await.json();
    let key = developer.with_key(made["api_key"].as_str().unwrap());
    let names = key.get("/playbooks").await.json()["playbooks"].clone();
    assert_eq!(names.as_array().unwrap().iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["p"]);
    let started = run_playbook(&key, "p", json!({})).await;
    assert_eq!(started.status, 202, "{}", started.text);
    let own = id(&started.json());
    key.wait_for(&own, "RUNNING").await;
    assert_eq!(key.get(&format!("/executions/{own}/logs")).await.status, 200);
    assert_eq!(key.get("/executions?playbook=p").await.json().as_array().unwrap().len(), 1);
    assert_eq!(key.delete(&format!("/executions/{own}")).await.status, 200);
    let other = id(&developer.run("true").await);
    for (method, path) in [
        (Method::POST, "/playbooks/q/run"),
        (Method::POST, "/run"),
        (Method::GET, "/executions"),
        (Method::GET, &format!("/executions/{other}")),
        (Method::GET, &format!("/executions/{other}/logs")),
        (Method::DELETE, &format!("/executions/{other}")),
        (Method::GET, "/secrets"),
    ] {
        let refused = key
            .request(method.clone(), path, &[], if method == Method::POST { r#"{"command": "true"}"# } else { "" })
            .await;
        // The key's own list does not show the execution.
        let expected = match path {
            "/playbooks/q/run" => [400, 403],
            path if path.contains(&other) => [404, 404],
            _ => [403, 403],
        };
        assert!(expected.contains(&refused.status.as_u16()), "{method} {path}: {}", refused.text);
    }
    assert_eq!(run_playbook(&key, "q", json!({})).await.status, 403);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_playbook_with_a_lock_go_one_after_the_other() {
    let system = System::start().await;
    let admin = &system.admin;
    let checked =
        admin.post("/playbooks", &json!({"file": "lock: deploy\non_conflict: queue\ncommands: [sleep 1]\n"})).await;
    assert_eq!(checked.status, 200, "{}", checked.text);
    publish_playbook(admin, "deploy", &checked.json()["playbook"]).await;
    let (first, second) =
        (run_playbook(admin, "deploy", json!({})).await, run_playbook(admin, "deploy", json!({})).await);
    assert_eq!(second.json()["status"], "QUEUED", "{}", second.text);
    admin.wait_for(&id(&first.json()), "SUCCEEDED").await;
    admin.wait_for(&id(&second.json()), "SUCCEEDED").await;
    publish_playbook(admin, "deploy", &json!({"lock": ["deploy"], "commands": ["sleep 60"]})).await;
    let holder = id(&run_playbook(admin, "deploy", json!({})).await.json());
    assert_eq!(run_playbook(admin, "deploy", json!({})).await.status, 409);
    assert_eq!(admin.delete(&format!("/executions/{holder}")).await.status, 200);
    let of_playbook = admin.get("/executions?playbook=deploy").await.json();
    assert_eq!(of_playbook.as_array().unwrap().len(), 3, "one that waited is in the history, too");
    system.shim.shut_down().await;
}

/// The newest version may ask for approvals or limit values where an earlier one did not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_version_is_run_only_by_those_who_could_publish_it_again() {
    let system = System::start().await;
    let admin = &system.admin;
    let runner = system.user("runner", "runner@example.com").await;
    let developer = system.user("developer", "dev@example.com").await;
    publish_playbook(admin, "rel", &json!({"commands": ["echo v1"]})).await;
    share(admin, "rel", json!(["role:runner", "role:developer"])).await;
    let approved = json!({"commands": ["echo v2"], "approvals": {"by": ["role:operator"]}});
    publish_playbook(admin, "rel", &approved).await;
    for caller in [&runner, &developer] {
        let refused = caller.post("/playbooks/rel/run", &json!({"version": 1})).await;
        assert_eq!(refusal(&refused), (409, "version".to_owned()), "{}", refused.text);
        let newest = caller.post("/playbooks/rel/run", &json!({"version": 2})).await;
        assert_eq!(newest.json()["status"], "WAITING", "{}", newest.text);
    }
    assert_eq!(admin.post("/playbooks/rel/run", &json!({"version": 1})).await.json()["status"], "STARTING");
    system.shim.shut_down().await;
}

/// The publisher's right to image and secrets is not enough: the user who asked must still be one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_does_not_start_for_a_user_who_was_revoked() {
    let system = System::start().await;
    let admin = &system.admin;
    let developer = system.user("developer", "dev@example.com").await;
    let playbook = json!({"lock": ["deploy"], "on_conflict": "queue", "commands": ["echo ran"]});
    publish_playbook(admin, "deploy", &playbook).await;
    let holder = id(&admin.run_with(json!({"command": "sleep 60", "lock": "deploy"})).await);
    let waiting = run_playbook(&developer, "deploy", json!({})).await;
    assert_eq!(waiting.json()["status"], "QUEUED", "{}", waiting.text);
    assert_eq!(admin.post("/users/revoke", &json!({"email": "dev@example.com"})).await.status, 200);
    assert_eq!(admin.delete(&format!("/executions/{holder}")).await.status, 200);
    let ended = admin.wait_for(&id(&waiting.json()), "FAILED").await;
    assert!(ended["reason"].as_str().unwrap().contains("dev@example.com has been revoked"), "{ended}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_has_the_size_and_the_limits_that_its_playbook_says() {
    let overrides = std::collections::BTreeMap::from([("RUNVOY_SPOT".to_owned(), "true".to_owned())]);
    let system = System::start_with(local_shim::Settings { overrides, ..local_shim::Settings::ephemeral() }).await;
    let admin = &system.admin;
    let playbook = json!({
        "commands": ["echo done"], "cpu": 1024, "memory": 3072, "disk": 50, "spot": true, "deadline": "2h", "timeout": 60,
        "lock": "l", "on_conflict": "queue", "retry": {"attempts": 3, "on": ["exit"], "backoff": "2m"},
    });
    let published = publish_playbook(admin, "sized", &playbook).await;
    assert_eq!((&published["cpu"], &published["deadline"]), (&json!(1024), &json!(7200)), "{published}");
    let started = run_playbook(admin, "sized", json!({})).await;
    assert_eq!(output(admin, &started).await, ["done"]);
    let shown = admin.get(&format!("/executions/{}", id(&started.json()))).await.json();
    for (field, expected) in [
        ("cpu", json!(1024)),
        ("memory", json!(3072)),
        ("disk", json!(50)),
        ("spot", json!(true)),
        ("deadline", json!(7200)),
        ("timeout", json!(60)),
        ("lock", json!(["l"])),
        ("retry", json!({"attempts": 3, "on": ["exit"], "backoff": 120})),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    // What no run could have is not published. The same words are read from a file.
    for (field, value) in [("disk", json!(20)), ("deadline", json!("31d")), ("memory", json!(100)), ("cpu", json!(17))]
    {
        let mut wrong = playbook.clone();
        wrong[field] = value;
        let refused = admin.put("/playbooks/wrong", &wrong).await;
        let (status, at) = refusal(&refused);
        assert_eq!(status, 400, "{}", refused.text);
        assert!(at == field || ["cpu", "memory"].contains(&at.as_str()), "{field}: {}", refused.text);
    }
    let mut wrong = playbook.clone();
    wrong["retry"]["attempts"] = json!(11);
    assert_eq!(refusal(&admin.put("/playbooks/wrong", &wrong).await), (400, "retry.attempts".to_owned()));
    let file = "cpu: 512\nmemory: 1024\nspot: true\ndeadline: 90m\nretry: {attempts: 2, on: [exit, start]}\ncommands: [\"true\"]\n";
    let body = admin.post("/playbooks", &json!({"file": file})).await.json();
    assert_eq!(body["playbook"]["deadline"], 5400, "{body}");
    assert_eq!(body["playbook"]["retry"], json!({"attempts": 2, "on": ["exit", "start"], "backoff": 30}), "{body}");
    let misspelt = admin.post("/playbooks", &json!({"file": file.replace("on:", "when:")})).await;
    assert_eq!(refusal(&misspelt), (400, "retry.when".to_owned()), "{}", misspelt.text);
    system.shim.shut_down().await;
}
