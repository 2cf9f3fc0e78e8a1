//! Tests of what the local ports refuse: foreign hosts, origins and sites.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use axum::{body::Body, http::Request};
use local_shim::{AwsPort, Settings};
use runvoy_core::aws::ssm::{self, NewParameter};

use crate::client::{System, id};

/// What a server answers to these bytes until it closes the connection, which stays open on this side.
fn exchange(port: u16, sent: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(sent.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("the server closes the connection");
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_two_hosts_is_refused_at_every_port() {
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let ports = [system.shim.orchestrator, system.shim.event_processor, system.shim.aws_endpoint.unwrap()];
    for (port, path) in ports.map(|address| address.port()).into_iter().zip(["/api/v1/health", "/health", "/"]) {
        for second in ["example.com", "localhost"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nHost: {second}\r\nConnection: close\r\n\r\n");
            let answer = exchange(port, &request);
            assert!(answer.starts_with("HTTP/1.1 400"), "{path}, {second}: {answer}");
            assert!(answer.contains("more than one Host"), "{path}, {second}: {answer}");
        }
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_its_request_unfinished_is_sent_off() {
    let client_timeout = Duration::from_secs(1);
    let settings = Settings { aws_port: AwsPort::Port(0), client_timeout, ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let ports = [system.shim.orchestrator, system.shim.event_processor, system.shim.aws_endpoint.unwrap()];
    let body = "POST /process HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    for port in ports.map(|address| address.port()) {
        for unfinished in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\n", body] {
            let answer = exchange(port, unfinished);
            assert!(!answer.starts_with("HTTP/1.1 2"), "{unfinished:?}: {answer}");
        }
    }
    // A viewer is no such client.
    let started = system.admin.run("sleep 2; echo end").await;
    let viewer = crate::client::connect(started["websocket_url"].as_str().unwrap()).await.unwrap();
    let seen = crate::client::watch(viewer).await;
    assert!(seen.messages().contains(&"end".to_owned()), "{seen:?}");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_list_follows_a_token_of_the_emulated_aws_only() {
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let sdk = system.shim.sdk();
    let ecs = aws_sdk_ecs::Client::new(sdk);
    let refused = ecs.list_tasks().cluster("runvoy-local").next_token("nonsense").send().await.unwrap_err();
    assert!(refused.into_service_error().is_invalid_parameter_exception());
    let refused = ecs.list_task_definition_families().next_token("nonsense").send().await.unwrap_err();
    assert!(refused.into_service_error().is_invalid_parameter_exception());
    // SSM describes 50 parameters at most in one answer, which may not be the last one.
    let ssm = ssm::Client::new(sdk);
    for number in 0..60 {
        let name = format!("/many/{number}");
        ssm.put(NewParameter { name, value: "v".to_owned(), ..NewParameter::default() }).await.unwrap();
    }
    assert_eq!(ssm.below("/many").await.unwrap().len(), 60);
    let first = ecs.list_task_definitions().max_results(1).send().await.unwrap();
    let second = ecs.list_task_definitions().max_results(1).set_next_token(first.next_token.clone()).send().await;
    let second = second.unwrap();
    assert_eq!(second.task_definition_arns().len(), 1);
    assert_ne!(first.task_definition_arns(), second.task_definition_arns());
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_aws_port_looks_at_the_time_of_a_signature_before_it_reads_the_body() {
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let port = system.shim.aws_endpoint.unwrap().port();
    let key = &system.shim.function_environment["AWS_ACCESS_KEY_ID"];
    let now = jiff::Timestamp::now();
    for (hours, id, code) in [
        (1, key.as_str(), "InvalidSignatureException"),
        (-1, key.as_str(), "InvalidSignatureException"),
        (0, "AKIDOTHER", "UnrecognizedClientException"),
    ] {
        let at = now + jiff::SignedDuration::from_hours(hours);
        let date = at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &date[..8];
        let started = Instant::now();
        // The body that is announced never comes.
        let answer = exchange(
            port,
            &format!(
                "POST / HTTP/1.1\r\nHost: localhost:{port}\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\nX-Amz-Date: {date}\r\n\
                 Authorization: AWS4-HMAC-SHA256 Credential={id}/{day}/us-east-1/dynamodb/aws4_request, SignedHeaders=host, \
                 Signature=00\r\nContent-Length: 16000000\r\nConnection: close\r\n\r\n"
            ),
        );
        assert!(answer.contains(code), "{hours} {id}: {answer}");
        assert!(code != "InvalidSignatureException" || answer.contains("15 minutes"), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(15), "it does not wait for the body");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_this_machine_is_refused_on_both_ports() {
    let system = System::start().await;
    for url in [format!("{}/health", system.admin.api), format!("{}/health", system.admin.events)] {
        for (host, status) in [
            ("evil.example.com", 403),
            ("192.168.0.1:8080", 403),
            ("localhost.evil.com", 403),
            ("127.0.0.1:1@evil.com", 403),
            ("[::1].evil.com", 403),
            ("localhost:abc", 403),
            ("127.0.0.1:1", 200),
            ("[::1]:1", 200),
        ] {
            let request = Request::get(&url).header("host", host).body(Body::empty()).unwrap();
            assert_eq!(system.admin.send(request).await.status, status, "{url} {host}");
        }
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_line_with_the_url_of_another_host_is_refused_at_every_port() {
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let ports = [system.shim.orchestrator, system.shim.event_processor, system.shim.aws_endpoint.unwrap()];
    for (port, path) in ports.map(|address| address.port()).into_iter().zip(["/api/v1/health", "/health", "/"]) {
        let answer = |host: &str| {
            let line = format!("GET http://{host}{path} HTTP/1.1");
            exchange(port, &format!("{line}\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"))
        };
        for host in ["evil.com", "127.0.0.1@evil.com", "localhost.evil.com:80"] {
            let answer = answer(host);
            assert!(answer.starts_with("HTTP/1.1 403"), "{path}, {host}: {answer}");
            assert!(answer.contains("does not name this machine"), "{path}, {host}: {answer}");
        }
        let answer = answer(&format!("localhost:{port}"));
        assert!(!answer.contains("does not name this machine"), "{path}: {answer}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_local_system_is_kept_by_no_cache_and_is_no_document() {
    let system = System::start().await;
    let (admin, outbox) = (&system.admin, system.admin.api.replace("/api/v1", "/outbox.json"));
    let answers = [
        admin.send(Request::get(format!("{}/health", admin.events)).body(Body::empty()).unwrap()).await,
        admin.send(Request::get(format!("{}/none", admin.events)).body(Body::empty()).unwrap()).await,
        admin.send(Request::post(format!("{}/process", admin.events)).body(Body::from("x")).unwrap()).await,
        admin.send(Request::get(&outbox).body(Body::empty()).unwrap()).await,
        admin.send(Request::get(&outbox).header("x-api-key", &admin.key).body(Body::empty()).unwrap()).await,
    ];
    for (answer, status) in answers.iter().zip([200, 404, 400, 401, 200]) {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.headers["cache-control"], "no-store", "{}", answer.text);
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{}", answer.text);
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_port_answers_no_page_of_another_site() {
    let system = System::start().await;
    let host = system.admin.events.strip_prefix("http://").unwrap();
    for (name, value, status) in [
        ("origin", "http://evil.example.com", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", &format!("http://{host}")[..], 400),
        ("sec-fetch-site", "none", 400),
    ] {
        let request =
            Request::post(format!("{}/process", system.admin.events)).header(name, value).body(Body::from("x"));
        assert_eq!(system.admin.send(request.unwrap()).await.status, status, "{name}: {value}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_answers_other_origins_as_configured() {
    let overrides = [("RUNVOY_CORS_ALLOWED_ORIGINS".to_owned(), "https://app.example.com".to_owned())].into();
    let system = System::start_with(Settings { overrides, ..Settings::ephemeral() }).await;
    let preflight = async |origin: &str| {
        let request = Request::builder()
            .method("OPTIONS")
            .uri(format!("{}/run", system.admin.api))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-api-key");
        system.admin.send(request.body(Body::empty()).unwrap()).await
    };
    let allowed = preflight("https://app.example.com").await;
    assert_eq!(allowed.status, 200);
    let header = |name: &str| allowed.headers[name].to_str().unwrap().to_ascii_lowercase();
    assert_eq!(header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(header("access-control-max-age"), "3600");
    assert!(
        ["get", "post", "put", "delete", "options"]
            .iter()
            .all(|method| header("access-control-allow-methods").contains(method))
    );
    assert!(["content-type", "x-api-key"].iter().all(|name| header("access-control-allow-headers").contains(name)));
    let refused = preflight("https://evil.example.com").await;
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_aws_port_answers_requests_that_are_signed_with_its_own_key_only() {
    let system = System::start_with(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await;
    let port = system.shim.aws_endpoint.unwrap().port();
    let sdk = runvoy_core::aws::sdk_settings()
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(system.credentials())
        .endpoint_url(format!("http://localhost:{port}"))
        .load()
        .await;
    let tables = aws_sdk_dynamodb::Client::new(&sdk).list_tables().send().await.unwrap();
    assert!(tables.table_names().iter().any(|name| name == "runvoy-local-executions"));
    let missing = ssm::Client::new(&sdk).get("/none".to_owned()).await.unwrap_err();
    assert_eq!(missing.code(), Some("ParameterNotFound"));
    let id = id(&system.admin.run("sleep 60").await);
    let ecs = aws_sdk_ecs::Client::new(&sdk);
    let listed = async |family: &str| {
        ecs.list_tasks().cluster("runvoy-local").family(family).send().await.unwrap().task_arns.unwrap()
    };
    let image = system.admin.get("/images").await.json()["images"][0].clone();
    let tasks = listed(image["task_definition_name"].as_str().unwrap()).await;
    assert!(tasks.len() == 1 && tasks[0].ends_with(&id), "{tasks:?}");
    assert!(listed("another").await.is_empty());

    let key = &system.shim.function_environment["AWS_ACCESS_KEY_ID"];
    let authorization = |id: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00"
        )
    };
    let (other, forged) = (authorization("AKIDOTHER"), authorization(key));
    let localhost = format!("localhost:{port}");
    let host = ("host", localhost.as_str());
    for (headers, status, code) in [
        (vec![host], 400, "MissingAuthenticationTokenException"),
        (vec![host, ("authorization", "Bearer x")], 400, "MissingAuthenticationTokenException"),
        (vec![host, ("authorization", &other)], 400, "UnrecognizedClientException"),
        (vec![host, ("authorization", &forged)], 400, "InvalidSignatureException"),
        (vec![("host", "host.docker.internal:8082"), ("authorization", &other)], 400, "UnrecognizedClientException"),
        (vec![("host", "example.com"), ("authorization", &forged)], 403, "FORBIDDEN"),
        (vec![host, ("authorization", &forged), ("origin", "http://example.com")], 403, "FORBIDDEN"),
        (vec![host, ("authorization", &forged), ("sec-fetch-site", "cross-site")], 403, "FORBIDDEN"),
    ] {
        let mut request = axum::http::Request::post(format!("http://localhost:{port}/"))
            .header("x-amz-target", "DynamoDB_20120810.ListTables");
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let answer = system.admin.send(request.body("{}".into()).unwrap()).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
        assert!(answer.text.contains(code), "{headers:?}: {}", answer.text);
        assert!(status == 403 || answer.text.contains("functions.env"), "it says where the key is: {}", answer.text);
    }
    system.shim.shut_down().await;
}
