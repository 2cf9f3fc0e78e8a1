//! Both functions over the network, on whichever AWS there is: the one that `AWS_ENDPOINT_URL` names, with the functions'
//! own variables set, or else the emulated one of a local-shim.
//!
//! Only what every AWS has: what ECS and CloudWatch would tell of the task is told here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use lambda_http::{Body, RequestExt, http::Request};
use lambda_runtime::{Context, LambdaEvent};
use local_shim::{Settings, Shim, aws::logs::Event, lambda::log_subscription};
use runvoy_core::{
    App,
    auth::{ApiKey, Role},
    config::Config,
    email::Email,
    user::{self, NewUser},
    websocket::connection,
};
use serde_json::{Value, json};
use tower::Service;

struct System {
    app: App,
    key: ApiKey,
    /// The AWS, if it is one of our own.
    shim: Option<Shim>,
}

impl System {
    async fn start() -> Self {
        if std::env::var("AWS_ENDPOINT_URL").is_ok_and(|endpoint| !endpoint.is_empty()) {
            let app = App::from_environment().await.unwrap();
            let key = ApiKey::generate().unwrap();
            let email = Email::parse(&format!("{}@example.com", unique())).unwrap();
            let new = NewUser { email, role: Role::Admin, key: Some(&key), request_id: "test" };
            user::create(&app, new).await.unwrap();
            return Self { app, key, shim: None };
        }
        let shim = Shim::start(Settings { aws_port: Some(0), ..Settings::ephemeral() }).await.unwrap();
        let config = Config::from_lookup(|name| shim.elsewhere.get(name).cloned()).unwrap();
        let sdk = runvoy_core::aws::sdk_settings()
            .endpoint_url(&shim.elsewhere["AWS_ENDPOINT_URL"])
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("any", "key", None, None, "test")))
            .region("us-east-1")
            .load()
            .await;
        Self { app: App::new(config, &sdk), key: shim.admin_key.clone(), shim: Some(shim) }
    }

    async fn request(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut context = Context::default();
        context.request_id = unique();
        let request = Request::builder()
            .method(method)
            .uri(format!("https://localhost/api/v1{path}"))
            .header("x-api-key", self.key.expose())
            .body(if body.is_null() { Body::Empty } else { Body::Text(body.to_string()) })
            .unwrap()
            .with_lambda_context(context);
        let Ok(response) = orchestrator::service(self.app.clone()).call(request).await;
        let status = response.status().as_u16();
        let body = match response.into_body() {
            Body::Text(text) => serde_json::from_str(&text).unwrap(),
            _ => Value::Null,
        };
        (status, body)
    }

    async fn expect(&self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let (answered, answer) = self.request(method, path, body).await;
        assert_eq!(answered, status, "{method} {path}: {answer}");
        answer
    }

    async fn deliver(&self, event: Value) -> Value {
        event_processor::handle(&self.app, LambdaEvent::new(event, Context::default())).await.unwrap()
    }
}

/// A name that nobody else has.
fn unique() -> String {
    format!("n{:x}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_from_its_start_to_its_end() {
    let system = System::start().await;
    let (image, secret) = (format!("example/{}:1", unique()), format!("SECRET_{}", unique().to_uppercase()));
    system.expect("POST", "/images/register", json!({"image": image}), 201).await;
    let new = json!({"name": secret, "key_name": secret, "value": "a value", "description": "of a test"});
    system.expect("POST", "/secrets", new, 201).await;
    let read = system.expect("GET", &format!("/secrets/{secret}"), Value::Null, 200).await;
    assert_eq!(read["secret"]["value"], "a value", "{read}");

    let run = json!({"command": "sleep 60", "image": image, "secrets": [secret], "env": {"GREETING": "hello"}});
    let started = system.expect("POST", "/run", run, 202).await;
    let id = started["execution_id"].as_str().unwrap();
    let status_of = async || system.expect("GET", &format!("/executions/{id}/status"), Value::Null, 200).await;

    let token = started["websocket_url"].as_str().unwrap().split_once("token=").unwrap().1;
    let connected = system
        .deliver(json!({
            "requestContext": {"routeKey": "$connect", "connectionId": "a-viewer=", "stage": "live", "connectedAt": 0, "requestTimeEpoch": 0},
            "queryStringParameters": {"execution_id": id, "token": token}, "isBase64Encoded": false,
        }))
        .await;
    assert_eq!(connected["statusCode"], 200);

    system.deliver(task_event(id, "RUNNING")).await;
    assert_eq!(status_of().await["status"], "RUNNING");
    let lines: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
    for _ in 0..2 {
        system.deliver(batch(id, &lines)).await;
    }
    for _ in 0..2 {
        system.deliver(task_event(id, "STOPPED")).await;
    }
    let ended = status_of().await;
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("SUCCEEDED"), &json!(0)), "{ended}");
    let logs = system.expect("GET", &format!("/executions/{id}/logs"), Value::Null, 200).await;
    assert_eq!(logs["status"], "SUCCEEDED", "{logs}");
    // The viewer was sent off: to an AWS that never saw it connect it is gone, which is the same to us.
    assert!(connection::of_execution(&system.app, &id.parse().unwrap()).await.unwrap().is_empty());

    let listed = system.expect("GET", "/executions?limit=0", Value::Null, 200).await;
    assert!(listed.as_array().unwrap().iter().any(|execution| execution["execution_id"] == id), "{listed}");
    let another = system.expect("POST", "/run", json!({"command": "sleep 60", "image": image}), 202).await;
    let another = another["execution_id"].as_str().unwrap();
    system.expect("DELETE", &format!("/executions/{another}"), Value::Null, 200).await;
    let reconciled = system.expect("POST", "/health/reconcile", Value::Null, 200).await;
    assert_eq!(reconciled["report"]["error_count"], 0, "{reconciled}");
    system.expect("DELETE", &format!("/secrets/{secret}"), Value::Null, 200).await;
    system.expect("GET", &format!("/secrets/{secret}"), Value::Null, 404).await;
    let registered = system.expect("GET", &format!("/images/{image}"), Value::Null, 200).await;
    let image_id = registered["image_id"].as_str().unwrap();
    system.expect("DELETE", &format!("/images/{image_id}"), Value::Null, 200).await;
    if let Some(shim) = system.shim {
        shim.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_from_its_creation_to_its_end() {
    let system = System::start().await;
    let email = format!("{}@example.com", unique());
    let created = system.expect("POST", "/users/create", json!({"email": email, "role": "viewer"}), 201).await;
    system.expect("POST", "/users/create", json!({"email": email, "role": "viewer"}), 409).await;
    let token = created["claim_token"].as_str().unwrap();
    let claimed = system.expect("GET", &format!("/claim/{token}"), Value::Null, 200).await;
    system.expect("GET", &format!("/claim/{token}"), Value::Null, 409).await;

    let key = ApiKey::presented(claimed["api_key"].as_str().unwrap()).unwrap();
    let admin = System { app: system.app.clone(), key: system.key.clone(), shim: None };
    let viewer = System { app: system.app.clone(), key, shim: system.shim };
    viewer.expect("GET", "/executions", Value::Null, 200).await;
    viewer.expect("GET", "/users", Value::Null, 403).await;
    let listed = admin.expect("GET", "/users", Value::Null, 200).await;
    assert!(listed["users"].as_array().unwrap().iter().any(|user| user["email"] == email.as_str()), "{listed}");
    admin.expect("POST", "/users/revoke", json!({"email": email}), 200).await;
    viewer.expect("GET", "/executions", Value::Null, 401).await;
    if let Some(shim) = viewer.shim {
        shim.shut_down().await;
    }
}

fn task_event(id: &str, status: &str) -> Value {
    let mut detail = json!({
        "taskArn": format!("arn:aws:ecs:us-east-1:000000000000:task/runvoy/{id}"), "lastStatus": status,
        "startedAt": "2026-01-01T00:00:00Z", "containers": [],
    });
    if status == "STOPPED" {
        detail["stoppedAt"] = json!("2026-01-01T00:01:00Z");
        detail["stopCode"] = json!("EssentialContainerExited");
        detail["containers"] = json!([{"name": "runner", "exitCode": 0}]);
    }
    json!({"source": "aws.ecs", "detail-type": "ECS Task State Change", "time": "2026-01-01T00:01:00Z", "detail": detail})
}

fn batch(id: &str, lines: &[String]) -> Value {
    let events: Vec<Event> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| Event { event_id: format!("{n:056}"), timestamp: 1_767_225_600_000, message: line.clone() })
        .collect();
    log_subscription::event("g", &format!("task/runner/{id}"), &events).unwrap()
}
