//! What existing clients of the API rely on, and what requests of any kind must not break.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use axum::http::Method;
use flate2::read::GzDecoder;
use local_shim::Settings;
use serde_json::{Value, json};

use crate::client::{Caller, System, connect_with, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_final_slash_means_the_same_as_none() {
    let system = System::start().await;
    let (id, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    for path in [
        "/health",
        "/me",
        "/users",
        "/images",
        "/images/ubuntu:22.04",
        "/secrets",
        "/executions",
        &format!("/executions/{id}/status"),
        &format!("/executions/{id}/logs"),
        "/openapi.json",
    ] {
        let (without, with) = (system.admin.get(path).await, system.admin.get(&format!("{path}/")).await);
        assert_eq!((without.status.as_u16(), &without.text), (200, &with.text), "{path}");
        assert_eq!(with.status, 200, "{path}/");
        let with_query = system.admin.get(&format!("{path}/?x=")).await;
        assert_eq!(with_query.status, 200, "{path}/?x=");
    }
    assert_eq!(system.admin.post("/run/", &json!({"command": "true"})).await.status, 202);
    assert_eq!(system.admin.request(Method::PATCH, "/users/", &[], "").await.status, 405);
    assert_eq!(system.admin.get("/nothing/").await.status, 404);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_optional_field_that_is_empty_is_as_if_it_were_absent() {
    let system = System::start().await;
    let empty = json!({
        "command": "true", "image": "", "imageUri": "", "git_repo": "", "git_ref": "", "git_path": "", "timeout": 0,
        "env": {}, "secrets": [],
    });
    let (_, status) = system.admin.run_to_end(empty).await;
    assert_eq!(status["status"], "SUCCEEDED");
    let image =
        json!({"image": "tool:1", "task_role_name": "", "task_execution_role_name": "", "runtime_platform": ""});
    assert_eq!(system.admin.post("/images/register", &image).await.status, 201);
    for path in ["/executions?status=", "/executions?limit=", "/executions?after=", "/executions?status=&limit=&after="]
    {
        assert_eq!(system.admin.get(path).await.status, 200, "{path}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_found_without_its_registry_unless_two_registries_have_it() {
    let system = System::start().await;
    let admin = &system.admin;
    assert_eq!(admin.post("/images/register", &json!({"image": "one.example.com/team/tool:1"})).await.status, 201);
    let (_, status) = admin.run_to_end(json!({"command": "true", "image": "team/tool:1"})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    assert_eq!(admin.post("/images/register", &json!({"image": "two.example.com/team/tool:1"})).await.status, 201);
    let refused = admin.post("/run", &json!({"command": "true", "image": "team/tool:1"})).await;
    assert_eq!(refused.status, 400);
    for candidate in ["one.example.com/team/tool:1", "two.example.com/team/tool:1"] {
        assert!(refused.text.contains(candidate), "{}", refused.text);
    }
    assert_eq!(
        admin.post("/run", &json!({"command": "true", "image": "two.example.com/team/tool:1"})).await.status,
        202
    );
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_shows_the_reason_in_the_field_error() {
    let system = System::start().await;
    for (path, body, word) in [
        ("/run", json!({"command": "true", "image": "missing:1"}), "missing:1"),
        ("/run", json!({"command": "true", "env": {"1X": ""}}), "1X"),
        ("/run", json!({"command": ""}), "command"),
        ("/run", json!({"command": "true", "secrets": ["missing"]}), "missing"),
        ("/users/create", json!({"email": "no address", "role": "viewer"}), "email"),
        ("/users/create", json!({"email": "a@example.com", "role": "king"}), "king"),
        ("/secrets", json!({"name": "s", "key_name": "a b", "value": "v"}), "a b"),
        ("/images/register", json!({"image": "Not An Image"}), "Not An Image"),
    ] {
        let refused = system.admin.post(path, &body).await;
        assert!(refused.status.is_client_error(), "{body}: {}", refused.text);
        let error = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(word), "{body}: {error}");
        assert!(refused.json()["details"].is_string(), "{}", refused.text);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_viewers_of_the_same_origins_are_let_in() {
    let origins = "https://App.example.com/,http://localhost:5173".to_owned();
    let overrides = [("RUNVOY_CORS_ALLOWED_ORIGINS".to_owned(), origins)].into();
    let system = System::start_with(Settings { overrides, ..Settings::ephemeral() }).await;
    let started = system.admin.run("sleep 60").await;
    let url = started["websocket_url"].as_str().unwrap();
    for (origin, may) in [
        ("https://app.example.com", true),
        ("https://app.example.com:443", true),
        ("http://localhost:5173", true),
        ("http://app.example.com", false),
        ("https://app.example.com:8443", false),
        ("https://app.example.com.evil.com", false),
        ("null", false),
    ] {
        let answer = system.admin.request(Method::GET, "/health", &[("origin", origin)], "").await;
        assert_eq!(answer.headers.contains_key("access-control-allow-origin"), may, "{origin}");
        assert_eq!(connect_with(url, &[("origin", origin)]).await.is_ok(), may, "{origin}");
    }
    system.shim.shut_down().await;
}

/// The API has several addresses: localhost and 127.0.0.1, or that of cargo-lambda. A page of the one at which a token was issued may
/// connect with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_each_address_of_the_api_may_follow_with_the_tokens_that_they_got_there() {
    let system = System::start().await;
    let port = system.shim.orchestrator.port();
    let origins = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("http://{host}:{port}"));
    for origin in &origins {
        let caller = Caller::new(&format!("{origin}/api/v1"), &system.admin.events, &system.admin.key);
        let started = caller.run("sleep 60").await;
        let logs = caller.get(&format!("/executions/{}/logs", id(&started))).await.json();
        for url in [&started["websocket_url"], &logs["websocket_url"]].map(|url| url.as_str().unwrap()) {
            let host = format!("localhost:{port}");
            for (page, may) in
                [(origin.as_str(), true), (&format!("http://{host}"), true), ("http://127.0.0.1:9", false)]
            {
                assert_eq!(
                    connect_with(url, &[("origin", page)]).await.is_ok(),
                    may,
                    "{page} with a token of {origin}"
                );
            }
        }
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_comes_in_one_answer_to_a_client_that_accepts_a_compressed_one() {
    let clock = StoppedClock::default();
    let system =
        System::start_with(Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() })
            .await;
    let (id, _) = system
        .admin
        .run_to_end(json!({"command": "seq -f 'line %.0f of a log that is longer than one plain answer' 100000"}))
        .await;
    let path = format!("/executions/{id}/logs");
    system.admin.log(&id).await;
    // A page that takes seconds ends before it is full, which a slow machine must not make of this one.
    clock.stop();
    let plain = system.admin.get(&path).await;
    assert!(plain.headers.contains_key("link"), "a plain answer has a part of it");
    let events = plain.json()["events"].as_array().unwrap().clone();
    let last = events.last().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(last.starts_with("### runvoy: ") && last.contains("lines"), "{last}");

    let key = system.admin.key.clone();
    let address = system.admin.api.strip_prefix("http://").unwrap().strip_suffix("/api/v1").unwrap().to_owned();
    let read = move |encoding: &str| {
        let request = format!(
            "GET /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\nAccept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
        );
        let (head, body) = raw_within(Duration::from_mins(1), &address, request.as_bytes());
        let head = head.to_ascii_lowercase();
        let is_encoded = head.contains(&format!("content-encoding: {encoding}\r\n"));
        assert!(is_encoded && !head.contains("\r\nlink:"), "{head}");
        let mut text = Vec::new();
        match encoding {
            "gzip" => GzDecoder::new(&body[..]).read_to_end(&mut text).unwrap(),
            _ => zstd::Decoder::new(&body[..]).unwrap().read_to_end(&mut text).unwrap(),
        };
        serde_json::from_slice::<Value>(&text).unwrap()
    };
    let logs = tokio::task::spawn_blocking(move || ["gzip", "zstd"].map(read)).await.unwrap();
    let own = |event: &&Value| event["message"].as_str().unwrap().starts_with("line ");
    for log in logs {
        assert_eq!(log["events"].as_array().unwrap().iter().filter(own).count(), 100_000);
    }
    system.shim.shut_down().await;
}

/// The system's clock, until it is stopped.
#[derive(Clone, Debug, Default)]
struct StoppedClock(Arc<OnceLock<SystemTime>>);

impl StoppedClock {
    fn stop(&self) {
        self.0.set(SystemTime::now()).unwrap();
    }
}

impl TimeSource for StoppedClock {
    fn now(&self) -> SystemTime {
        self.0.get().copied().unwrap_or_else(SystemTime::now)
    }
}

/// Sends bytes, and returns the head and the body of the answer. An answer without a head is empty.
fn raw(address: &str, request: &[u8]) -> (String, Vec<u8>) {
    raw_within(Duration::from_secs(10), address, request)
}

/// Sends bytes, and returns the head and the body of the answer, between whose parts no more than `pause` may pass.
fn raw_within(pause: Duration, address: &str, request: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(pause)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let body = answer.split_off(at);
    (String::from_utf8_lossy(&answer).into_owned(), body)
}

/// A cache on the way, or a browser's, would show one user the answer to another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_the_api_may_be_kept_or_taken_for_another_type() {
    let system = System::start().await;
    let nobody = system.admin.with_key("wrong");
    let (id, _) = system.admin.run_to_end(json!({"command": "true"})).await;
    let log = format!("/executions/{id}/logs");
    for path in ["/me", "/executions", "/audit", "/users", "/images", "/health", "/no-such-path", &log] {
        for caller in [&system.admin, &nobody] {
            let answer = caller.get(path).await;
            let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{path} {}", answer.status);
            assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{path} {}", answer.status);
        }
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_path_or_method_fails_the_server() {
    let system = System::start().await;
    let key = system.admin.key.clone();
    let address = system.admin.api.strip_prefix("http://").unwrap().strip_suffix("/api/v1").unwrap().to_owned();
    let mut requests = Vec::new();
    for line in [
        "GET /api/v1/executions",
        "POST /api/v1/run",
        "OPTIONS *",
        "OPTIONS /api/v1/run",
        "HEAD /api/v1/docs",
        "FOO /api/v1/run",
        "GET //",
        "GET /api/v1/%",
        "GET /api/v1/%ff%fe",
        "GET /api/v1/images/%2e%2e/%00",
        "GET /api/v1/executions?limit=%ff&limit=%00",
        "GET /api/v1/executions?=&&&",
        "GET http://example.com/api/v1/health",
    ] {
        for headers in [
            "X-Forwarded-Proto: https,http\r\n",
            "X-Forwarded-Proto:\r\n",
            "X-Forwarded-Proto: ht tp\r\n",
            "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
            "X-Forwarded-Proto: ://\r\n",
            "X-Forwarded-For: , ,\r\n",
            "X-Forwarded-Port: abc\r\n",
            "Origin: \u{ff}\r\n",
            "X-API-Key: \r\n",
            "X-API-Key: a\r\nX-API-Key: b\r\n",
            "Accept-Encoding: gzip;q=x, *;q=\r\n",
            "Idempotency-Key: \u{7f}\r\n",
            "Content-Type: \r\n",
            "Cookie: ;;=;\r\n",
        ] {
            requests.push(format!(
                "{line} HTTP/1.1\r\nHost: {address}\r\n{headers}X-API-Key: {key}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ));
        }
        for host in [
            "",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: localhost\r\nHost: localhost\r\n",
            "Host: [::1\r\n",
            "Host: localhost:99999\r\n",
        ] {
            requests.push(format!("{line} HTTP/1.1\r\n{host}X-API-Key: {key}\r\nConnection: close\r\n\r\n"));
        }
    }
    tokio::task::spawn_blocking(move || {
        for request in requests {
            let (head, _) = raw(&address, request.as_bytes());
            assert!(
                head.starts_with("HTTP/1.1 ") && !head.starts_with("HTTP/1.1 5"),
                "{request:?} is answered {head:?}"
            );
        }
    })
    .await
    .unwrap();
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_an_encoding_or_cut_off_is_called_what_it_is() {
    let system = System::start().await;
    let zipped =
        system.admin.request(Method::POST, "/run", &[("content-encoding", "gzip")], &b"\x1f\x8b\x08"[..]).await;
    assert_eq!(zipped.status, 415, "{}", zipped.text);
    let large = system.admin.request(Method::POST, "/run", &[], "x".repeat(7 * 1024 * 1024)).await;
    assert_eq!(large.status, 413, "{}", large.text);
    let address = system.admin.api.strip_prefix("http://").unwrap().strip_suffix("/api/v1").unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let request = format!(
            "POST /api/v1/run HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n"
        );
        let (head, _) = raw(&address, request.as_bytes());
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    })
    .await
    .unwrap();
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_reaches_every_side_that_uses_the_value() {
    let overrides = [
        ("RUNVOY_ECS_CLUSTER", "mine"),
        ("RUNVOY_EXECUTIONS_TABLE", "my-executions"),
        ("RUNVOY_EXECUTION_LOGS_TABLE", "my-logs"),
        ("RUNVOY_WEBSOCKET_CONNECTIONS_TABLE", "my-connections"),
        ("RUNVOY_SECRETS_PREFIX", "/mine"),
        ("RUNVOY_LOG_GROUP", "/mine/tasks"),
    ];
    let overrides = overrides.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let system = System::start_with(Settings { overrides, ..Settings::ephemeral() }).await;
    let secret = json!({"name": "s", "key_name": "S", "value": "of the store"});
    assert_eq!(system.admin.post("/secrets", &secret).await.status, 201);
    let (id, status) = system.admin.run_to_end(json!({"command": "echo $S", "secrets": ["s"]})).await;
    assert_eq!(status["status"], "SUCCEEDED");
    let log = system.admin.log(&id).await;
    assert!(log.iter().any(|line| line == "of the store"), "{log:#?}");
    system.shim.shut_down().await;
}
