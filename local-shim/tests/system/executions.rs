//! Tests of `POST /run` and of `/executions`.

use std::time::Duration;

use axum::http::Method;
use insta::assert_json_snapshot;
use local_shim::Settings;
use serde_json::{Value, json};

use crate::{
    client::{System, id, next_page, stable},
    sleepers::{DETACH, Sleepers},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_and_its_output_stands_between_the_runners_own_lines() {
    let system = System::start().await;
    let started = system
        .admin
        .run_with(json!({"imageUri": "public.ecr.aws/docker/library/ubuntu:22.04", "command": "echo hello; sleep 0.3; echo oops >&2"}))
        .await;
    assert_json_snapshot!(stable(started.clone()));
    let id = id(&started);
    let own = system.admin.api.strip_suffix("/api/v1").unwrap();
    assert_eq!(started["log_url"], format!("{own}/logs?execution_id={id}"));
    system.admin.wait_for(&id, "RUNNING").await;
    let status = system.admin.wait_for(&id, "SUCCEEDED").await;
    assert_json_snapshot!(stable(status.clone()));

    let log = system.admin.log(&id).await;
    let ours = |line: &String| line.starts_with("### runvoy runner: ");
    let output: Vec<&str> = log.iter().filter(|line| !ours(line)).map(String::as_str).collect();
    assert_eq!(output, ["hello", "oops"]);
    assert!(ours(&log[0]) && log[0].contains("is not used"), "{log:#?}");
    assert!(log[1].starts_with("### runvoy runner: execution started by requestID => "));
    assert_eq!(log.last().unwrap(), "### runvoy runner: command ended, exit code => 0");

    let listed = system.admin.get("/executions").await.json();
    assert_json_snapshot!(stable(listed.clone()));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_fails_fails_with_its_exit_code() {
    let system = System::start().await;
    for (command, code, reason) in [
        ("exit 3", 3, "the command ended with exit code 3"),
        ("nonexistent-command", 127, "a command was not found (exit code 127)"),
        ("kill -TERM $$", 143, "ended by SIGTERM (exit code 143)"),
    ] {
        let (id, status) = system.admin.run_to_end(json!({"command": command})).await;
        assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(code)), "{command}");
        assert_eq!(status["reason"], reason, "{command}");
        let last = system.admin.log(&id).await.pop().unwrap();
        assert_eq!(last, format!("### runvoy runner: command ended, exit code => {code}"));
    }
    system.shim.shut_down().await;
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_stopped_at_its_timeout() {
    let system = System::start().await;
    let (id, status) = system.admin.run_to_end(json!({"command": "sleep 600", "timeout": 1})).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(124)));
    let log = system.admin.log(&id).await;
    assert!(log.iter().any(|line| line.contains("has run for its 1 seconds and is stopped")), "{log:#?}");
    assert_eq!(status["reason"], "timed out after 1 s");
    let own = json!({"command": "exit 124", "timeout": 60});
    assert_eq!(system.admin.run_to_end(own).await.1["reason"], "the command ended with exit code 124");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_bounds_the_clone_and_the_command_together() {
    let system = System::start().await;
    // A server that takes connections and never answers.
    let server = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let repo = format!("http://127.0.0.1:{}/repo", server.local_addr().unwrap().port());
    let started = std::time::Instant::now();
    let (id, status) = system.admin.run_to_end(json!({"command": "true", "git_repo": repo, "timeout": 1})).await;
    assert_eq!(status["status"], "FAILED");
    assert_eq!(status["reason"], "timed out after 1 s, while the repository was being cloned");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let log = system.admin.log(&id).await.join("\n");
    assert!(log.contains("the time limit of 1 seconds passed while the repository was being cloned"), "{log}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_the_command_sends_to_the_runner_changes_nothing() {
    let system = System::start().await;
    // The runner is the parent of the process that has started the command.
    let command = "runner=$(awk '{print $4}' /proc/$PPID/stat); for s in HUP QUIT ALRM USR1 USR2; do kill -$s $PPID $runner; done; \
                   sleep 0.2; exit 7";
    let (id, status) = system.admin.run_to_end(json!({"command": command, "timeout": 60})).await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(7)));
    assert_eq!(system.admin.log(&id).await.last().unwrap(), "### runvoy runner: command ended, exit code => 7");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_ends_while_the_runner_is_stopped_keeps_its_code() {
    let system = System::start().await;
    for _ in 0..10 {
        let command =
            "trap 'exit 9' TERM; runner=$(awk '{print $4}' /proc/$PPID/stat); kill -TERM $runner; sleep 5 & wait";
        let (_, status) = system.admin.run_to_end(json!({"command": command})).await;
        assert_eq!(status["exit_code"], 9);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_looks_like_the_runners_last_one_ends_no_log() {
    let system = System::start().await;
    let fake = "### runvoy runner: command ended, exit code => 0";
    let command = format!("echo '{fake}'; env; sleep 1; echo after; exit 4");
    let (id, status) = system.admin.run_to_end(json!({"command": command})).await;
    assert_eq!(status["exit_code"], 4);
    let log = system.admin.get(&format!("/executions/{id}/logs")).await.json();
    let events = log["events"].as_array().unwrap();
    let with_code: Vec<_> = events.iter().filter(|event| event["exit_code"].is_number()).collect();
    assert_eq!(with_code.len(), 1, "{log}");
    assert_eq!((&with_code[0]["exit_code"], with_code[0]), (&json!(4), events.last().unwrap()));
    assert!(events.iter().any(|event| event["message"] == fake), "{log}");
    assert!(!log.to_string().contains("NONCE"), "{log}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_shows_what_was_asked_without_values() {
    let system = System::start().await;
    let secret = json!({"name": "db", "key_name": "DB", "value": "v"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let repo = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        let output = git
            .current_dir(repo.path())
            .args(["-c", "user.email=a@b", "-c", "user.name=a"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["commit", "--quiet", "--allow-empty", "--message=one"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let url = format!("file://{}", repo.path().display());
    let body = json!({
        "command": "true", "env": {"PORT": "8080", "A": "a-value", "API_TOKEN": "t"}, "secrets": ["db"], "timeout": 60,
        "git_repo": url, "git_ref": "main", "git_path": ".",
    });
    let (id, _) = system.admin.run_to_end(body).await;
    let execution = system.admin.get(&format!("/executions/{id}")).await.json();
    for (field, expected) in [
        ("variables", json!(["A", "API_TOKEN", "PORT"])),
        ("secrets", json!(["db"])),
        ("timeout", json!(60)),
        ("git_repo", json!(url)),
        ("git_ref", json!("main")),
        ("git_path", json!(".")),
        ("git_commit", json!(commit)),
        ("source", json!("api")),
    ] {
        assert_eq!(execution[field], expected, "{field}: {execution}");
    }
    let checkouts =
        system.admin.get(&format!("/audit?resource=execution:{id}&action=executions:checkout")).await.json();
    let checkouts = checkouts["entries"].as_array().unwrap();
    assert_eq!((checkouts.len(), &checkouts[0]["details"]["git_commit"]), (1, &json!(commit)));
    let request = &execution["request"];
    assert_eq!(request["env"], json!({"A": "a-value", "PORT": "8080"}), "{request}");
    assert_eq!(
        (&request["left_out"], &request["secrets"], &request["timeout"]),
        (&json!(["API_TOKEN"]), &json!(["db"]), &json!(60))
    );
    for role in ["viewer", "developer"] {
        let other = system.user(role, &format!("{role}@example.com")).await;
        let shown = other.get(&format!("/executions/{id}")).await;
        assert_eq!((shown.status.as_u16(), &shown.json()["request"]), (200, &Value::Null), "{role}");
        assert!(!shown.text.contains("a-value"), "{role}: {}", shown.text);
    }
    let viewer = system.user("viewer", "viewer2@example.com").await;
    let listed = viewer.get("/executions").await;
    assert!(!listed.text.contains("a-value") && !listed.text.contains("8080"), "{}", listed.text);
    assert_eq!(listed.json()[0]["variables"], json!(["A", "API_TOKEN", "PORT"]));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_types_reaches_the_command_as_it_is() {
    let system = System::start().await;
    let nasty = "a'b\"c $(touch /tmp/never) `id` ; \\ \n 日本語 ${HOME} %s !x *";
    let (id, status) = system
        .admin
        .run_to_end(json!({
            "command": "printf '<%s>\\n' \"$NASTY\"; . ./.env; printf '[%s]\\n' \"$NASTY\"; stat -c %a .env 2>/dev/null || echo 600",
            "env": {"NASTY": nasty},
        }))
        .await;
    assert_eq!(status["status"], "SUCCEEDED");
    let log = system.admin.log(&id).await.join("\n");
    assert!(log.contains(&format!("<{nasty}>")), "{log}");
    assert!(log.contains(&format!("[{nasty}]")), "{log}");
    assert!(log.contains("\n600\n"), "{log}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_sees_nothing_of_the_shims_environment() {
    let system = System::start().await;
    let (id, _) = system.admin.run_to_end(json!({"command": "env | sort", "env": {"MINE": "1"}})).await;
    let log = system.admin.log(&id).await;
    let names: Vec<&str> =
        log.iter().filter_map(|line| Some(line.split_once('=')?.0)).filter(|name| !name.contains(' ')).collect();
    let expected = ["HOME", "MINE", "PATH", "PWD", "RUNVOY_IMAGE_ID", "RUNVOY_REQUEST_ID", "RUNVOY_WORKSPACE"];
    assert!(names.iter().all(|name| expected.contains(name) || ["_", "SHLVL", "OLDPWD"].contains(name)), "{names:?}");
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_command_that_ecs_carries_runs_and_one_more_character_is_refused() {
    let system = System::start().await;
    let refused = system.admin.post("/run", &json!({"command": "x".repeat(9000)})).await;
    assert_eq!(refused.status, 400);
    let details = refused.json()["details"].as_str().unwrap().to_owned();
    assert!(details.contains("8192") && details.contains("git"), "{details}");
    let needed: usize = details.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    let longest = 9000 - (needed - 8192);
    let padded = |length: usize| format!("true #{}", "x".repeat(length - 6));
    let (_, status) = system.admin.run_to_end(json!({"command": padded(longest)})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    assert_eq!(system.admin.post("/run", &json!({"command": padded(longest + 1)})).await.status, 400);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_with_a_reason_and_changes_nothing() {
    let system = System::start().await;
    let run = |body: Value| body;
    let cases = [
        (run(json!({})), "command is required"),
        (run(json!({"command": " \n"})), "command is required"),
        (run(json!({"command": 7})), "wrong type"),
        (run(json!([])), "wrong type"),
        (run(json!({"command": "true", "image": "nowhere"})), "POST /api/v1/images/register"),
        (run(json!({"command": "true", "image": "Not An Image"})), "not registered"),
        (run(json!({"command": "true", "image": "a", "imageUri": "b"})), "mean the same"),
        (run(json!({"command": "true", "env": {"1A": "x"}})), "not the name of an environment variable"),
        (run(json!({"command": "true", "env": {"PATH": "x"}})), "reserved"),
        (run(json!({"command": "true", "env": {"LD_PRELOAD": "x"}})), "reserved"),
        (run(json!({"command": "true", "env": {"RUNVOY_COMMAND": "x"}})), "reserved"),
        (run(json!({"command": "true", "env": {"A": "a\u{0}b"}})), "NUL"),
        (run(json!({"command": "true\u{0}"})), "NUL"),
        (run(json!({"command": "true", "timeout": 604_801})), "timeout"),
        (run(json!({"command": "true", "timeout": -1})), "wrong type"),
        (run(json!({"command": "true", "secrets": ["nope"]})), "no secret"),
        (run(json!({"command": "true", "git_repo": "--upload-pack=x"})), "git_repo"),
        (run(json!({"command": "true", "git_path": "x"})), "git_repo"),
    ];
    for (body, reason) in cases {
        let refused = system.admin.post("/run", &body).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        let error = refused.json();
        assert_eq!(error["code"], "INVALID_REQUEST", "{body}");
        assert!(error["details"].as_str().unwrap().contains(reason), "{body}: {error}");
        assert_ne!(error["error"], "Bad Request", "the browser app shows this field: {error}");
    }
    for body in ["", "{", "\u{feff}{}", "null", "\"x\""] {
        assert_eq!(system.admin.request(Method::POST, "/run", &[], body).await.status, 400, "{body}");
    }
    assert_eq!(system.admin.request(Method::POST, "/run", &[], vec![0xff, 0xfe]).await.status, 400);
    let large = format!("{{\"command\": \"{}\"}}", "x".repeat(2_000_000));
    let refused = system.admin.request(Method::POST, "/run", &[], large).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (413, &json!("PAYLOAD_TOO_LARGE")));
    let beyond_lambda = system.admin.request(Method::POST, "/run", &[], vec![b' '; 6 * 1024 * 1024 + 1]).await;
    assert_eq!((beyond_lambda.status.as_u16(), &beyond_lambda.json()["code"]), (413, &json!("PAYLOAD_TOO_LARGE")));
    assert_eq!(system.admin.get("/executions").await.json(), json!([]));

    for (method, path, status) in [
        (Method::GET, "/executions/unknown/status", 404),
        (Method::GET, "/executions/unknown/logs", 404),
        (Method::DELETE, "/executions/unknown", 404),
        (Method::GET, "/executions/a%2F..%2Fb/status", 404),
        (Method::GET, "/executions/%FF/status", 400),
        (Method::GET, "/executions?limit=x", 400),
        (Method::GET, "/executions?limit=-1", 400),
        (Method::GET, "/executions?status=WRONG", 400),
        (Method::GET, "/executions?cursor=x", 400),
        (Method::GET, "/nowhere", 404),
        (Method::POST, "/health", 405),
        (Method::PUT, "/executions", 405),
    ] {
        let answer = system.admin.request(method.clone(), path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert!(answer.json()["error"].is_string(), "{method} {path}: {}", answer.text);
        assert!(answer.headers.contains_key("x-request-id"), "{method} {path}");
        assert_eq!(answer.headers["content-type"], "application/json", "{method} {path}");
    }
    assert_eq!(system.admin.get("/executions?limit=x").await.json()["details"], "invalid limit parameter");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_list_every_execution_once_newest_first() {
    let system = System::start().await;
    let mut ids = Vec::new();
    for at in 0..7 {
        let (id, _) = system.admin.run_to_end(json!({"command": format!("exit {}", at % 2)})).await;
        ids.insert(0, id);
    }
    let pages = async |first: &str| {
        let mut path = first.to_owned();
        let mut listed = Vec::new();
        loop {
            let page = system.admin.get(&path).await;
            let items = page.json();
            listed.push(items.as_array().unwrap().iter().map(id).collect::<Vec<_>>());
            match next_page(&page) {
                Some(next) => path = next,
                None => return listed,
            }
        }
    };
    assert_eq!(pages("/executions?limit=3").await, ids.chunks(3).map(<[_]>::to_vec).collect::<Vec<_>>());
    assert_eq!(pages("/executions?limit=7").await, [ids.clone()]);
    assert_eq!(pages("/executions?limit=0").await, [ids.clone()]);
    let failed: Vec<String> = ids.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(pages("/executions?limit=2&status=FAILED").await.concat(), failed);
    assert_eq!(pages("/executions?limit=2&status=FAILED,SUCCEEDED").await.concat(), ids);
    assert_eq!(pages("/executions?status=RUNNING").await.concat(), Vec::<String>::new());
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_are_found_by_user_image_time_and_words() {
    let system = System::start().await;
    let other = system.user("operator", "other@example.com").await;
    assert_eq!(system.admin.post("/images/register", &json!({"image": "acme/tool:1"})).await.status, 201);
    let mut ids = Vec::new();
    for (caller, command, image) in [
        (&system.admin, "echo Deploy the site", "ubuntu:22.04"),
        (&other, "echo deploy the docs", "ubuntu:22.04"),
        (&system.admin, "echo backup", "acme/tool:1"),
        (&other, "exit 3", "acme/tool:1"),
    ] {
        ids.push(caller.run_to_end(json!({"command": command, "image": image})).await.0);
    }
    let listed = system.admin.get("/executions").await.json();
    let image_id = listed[0]["image_id"].as_str().unwrap().to_owned();
    let third = listed[1]["started_at"].as_str().unwrap().to_owned();
    let found = async |query: &str| {
        let mut path = Some(format!("/executions?{query}"));
        let mut found = Vec::new();
        while let Some(next) = path {
            let page = other.get(&next).await;
            assert_eq!(page.status, 200, "{query}: {}", page.text);
            found.extend(page.json().as_array().unwrap().iter().map(id));
            path = next_page(&page);
        }
        found
    };
    let of = |numbers: &[usize]| numbers.iter().map(|number| ids[*number].clone()).collect::<Vec<_>>();
    for limit in ["limit=1", "limit=2", "limit=0"] {
        for (query, expected) in [
            ("user=me", vec![3, 1]),
            ("user=other@example.com&status=FAILED", vec![3]),
            ("created_by=other%40example.com&q=deploy", vec![1]),
            ("q=DEPLOY%20the", vec![1, 0]),
            ("command=site", vec![0]),
            ("image=acme/tool", vec![3, 2]),
            ("image=acme/tool:1&user=me", vec![3]),
            (&format!("image={image_id}"), vec![3, 2]),
            (&format!("image={image_id}&status=SUCCEEDED"), vec![2]),
            (&format!("since={third}"), vec![3, 2]),
            (&format!("until={third}"), vec![2, 1, 0]),
            (&format!("since={third}&until={third}&status=SUCCEEDED"), vec![2]),
            ("since=0&until=1", vec![]),
            ("source=api", vec![3, 2, 1, 0]),
            ("source=schedule:x", vec![]),
        ] {
            assert_eq!(found(&format!("{query}&{limit}")).await, of(&expected), "{query}&{limit}");
        }
    }
    for (bad, field) in [("user=nobody", "user"), ("since=soon", "since"), ("until=2026", "until")] {
        let refused = other.get(&format!("/executions?{bad}")).await;
        if bad == "until=2026" {
            assert_eq!(refused.status, 200, "seconds since 1970: {}", refused.text);
        } else {
            assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!(field)), "{bad}");
        }
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_cannot_have_twice_or_in_such_numbers_is_refused() {
    let system = System::start().await;
    for name in ["one", "two"] {
        let secret = json!({"name": name, "key_name": "SAME", "value": "v"});
        assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    }
    let many: Vec<String> = (0..51).map(|number| format!("s{number}")).collect();
    for (body, reason) in [
        (json!({"command": "true", "secrets": ["one", "two"]}), "SAME"),
        (json!({"command": "true", "secrets": many}), "50 secrets"),
    ] {
        let refused = system.admin.post("/run", &body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("secrets")), "{}", refused.text);
        assert!(refused.json()["error"].as_str().unwrap().contains(reason), "{}", refused.text);
    }
    let repeated = json!({"command": "true", "secrets": ["one", "one"]});
    assert_eq!(system.admin.run_to_end(repeated).await.1["status"], "SUCCEEDED");
    let wins = json!({"command": "true", "secrets": ["one", "two"], "env": {"SAME": "1"}});
    assert_eq!(system.admin.run_to_end(wins).await.1["status"], "SUCCEEDED");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_runs_a_command_once() {
    let system = System::start().await;
    let body = json!({"command": "echo once"}).to_string();
    let keyed = |body: String| system.admin.request(Method::POST, "/run", &[("idempotency-key", "k1")], body);
    let answers = futures_util::future::join_all((0..8).map(|_| keyed(body.clone()))).await;
    for answer in &answers {
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(answer.text, answers[0].text);
    }
    let other = keyed(json!({"command": "echo twice"}).to_string()).await;
    assert_eq!((other.status.as_u16(), &other.json()["code"]), (409, &json!("CONFLICT")));
    assert_eq!(system.admin.get("/executions").await.json().as_array().unwrap().len(), 1);
    // The key belongs to the request as it was sent, even after the default image has changed, and to its caller only.
    let image = json!({"image": "other:1", "is_default": true});
    assert_eq!(system.admin.post("/images/register", &image).await.status, 201);
    assert_eq!(keyed(body.clone()).await.text, answers[0].text);
    let other = system.user("admin", "other@example.com").await;
    let theirs = other.request(Method::POST, "/run", &[("idempotency-key", "k1")], body).await;
    assert_eq!(theirs.status, 202, "{}", theirs.text);
    assert_ne!(id(&theirs.json()), id(&answers[0].json()));
    for key in ["", "a b", &"k".repeat(256)] {
        let refused =
            system.admin.request(Method::POST, "/run", &[("idempotency-key", key)], "{\"command\":\"x\"}").await;
        assert_eq!(refused.status, 400, "{key}: {}", refused.text);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_stands_when_ecs_has_forgotten_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings { data_dir: Some(directory.path().join("data")), ..Settings::ephemeral() };
    let body = r#"{"command": "echo once"}"#;
    let keyed = async |system: &System| {
        system.admin.request(Method::POST, "/run", &[("idempotency-key", "nightly")], body).await
    };
    let system = System::start_with(settings()).await;
    let first = keyed(&system).await;
    system.admin.wait_for(&id(&first.json()), "SUCCEEDED").await;
    system.shim.shut_down().await;

    for file in ["ecs.sqlite", "ecs.sqlite-wal", "ecs.sqlite-shm"] {
        let _ = std::fs::remove_file(directory.path().join("data").join(file));
    }

    let system = System::start_with(settings()).await;
    let again = keyed(&system).await;
    assert_eq!((again.status, id(&again.json())), (first.status, id(&first.json())));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_that_goes_on_has_a_socket_instead_of_a_log() {
    let system = System::start().await;
    let id = id(&system.admin.run("sleep 60").await);
    system.admin.wait_for(&id, "RUNNING").await;
    let logs = system.admin.get(&format!("/executions/{id}/logs")).await.json();
    assert_eq!((&logs["events"], &logs["status"]), (&Value::Null, &json!("RUNNING")));
    let url = logs["websocket_url"].as_str().unwrap();
    assert!(url.starts_with("ws://localhost:") && url.contains(&format!("/ws?execution_id={id}&token=")), "{url}");
    system.shim.shut_down().await;
}

/// A repository with one file on a branch, and with a tag.
fn repository(directory: &std::path::Path) -> String {
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .current_dir(directory)
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        String::from_utf8(status.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    std::fs::create_dir(directory.join("scripts")).unwrap();
    std::fs::write(directory.join("scripts/which.txt"), "first\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "one"]);
    git(&["tag", "v1"]);
    std::fs::write(directory.join("scripts/which.txt"), "second\n").unwrap();
    git(&["commit", "--quiet", "-am", "two"]);
    git(&["rev-parse", "HEAD~1"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_sees_its_git_repository_at_the_ref_it_names() {
    let system = System::start().await;
    let directory = tempfile::tempdir().unwrap();
    let first = repository(directory.path());
    let url = format!("file://{}", directory.path().display());
    for (git_ref, expected) in [
        (Some("main"), "second"),
        (Some("v1"), "first"),
        (Some(&first[..]), "first"),
        (Some(&first[..8]), "first"),
        (None, "second"),
    ] {
        let (id, status) = system
            .admin
            .run_to_end(json!({"command": "cat which.txt", "git_repo": url, "git_ref": git_ref, "git_path": "scripts"}))
            .await;
        let log = system.admin.log(&id).await;
        assert_eq!(status["status"], "SUCCEEDED", "{git_ref:?} {log:#?}");
        assert!(log.iter().any(|line| line == expected), "{git_ref:?} {log:#?}");
        assert!(log[0].starts_with("### runvoy sidecar: cloning "), "{log:#?}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_clone_fails_the_run_and_prints_no_token() {
    let system = System::start().await;
    let (id, status) = system
        .admin
        .run_to_end(json!({"command": "echo never", "git_repo": "http://user:s3cr3t-t0ken@127.0.0.1:9/none.git"}))
        .await;
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("FAILED"), &json!(1)));
    let log = system.admin.log(&id).await.join("\n");
    assert!(log.contains("### runvoy sidecar: the repository could not be cloned"), "{log}");
    assert!(!log.contains("s3cr3t-t0ken") && !log.contains("never"), "{log}");
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
