//! Both functions over the network, on the AWS that `AWS_ENDPOINT_URL` names, with the functions' variables set, or else on the
//! emulated one.
//!
//! The tests use only what every AWS has. They send the events of the task themselves.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use lambda_runtime::{Context, LambdaEvent};
use local_shim::{AwsPort, Settings, Shim};
use runvoy_core::{
    App, Email, RequestId,
    audit::Actor,
    auth::Role,
    config::Config,
    key::ApiKey,
    user::{self, NewUser},
    websocket::connection,
};
use serde_json::{Value, json};

use crate::common::events::{http_request, log_batch, task_running, task_stopped, websocket};

struct System {
    app: App,
    key: ApiKey,
    /// The emulated AWS, unless the tests run on another.
    shim: Option<Shim>,
}

impl System {
    async fn start() -> Self {
        if std::env::var("AWS_ENDPOINT_URL").is_ok_and(|endpoint| !endpoint.is_empty()) {
            let app = App::from_environment().await.unwrap();
            let key = ApiKey::generate().unwrap();
            let email = Email::parse(&format!("{}@example.com", unique())).unwrap();
            let new = NewUser { email, role: Role::Admin, actor: &Actor::program("test", &RequestId::new("test")) };
            user::create_with_key(&app, new, &key).await.unwrap();
            return Self { app, key, shim: None };
        }
        let shim = Shim::start(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await.unwrap();
        let config = Config::from_lookup(|name| shim.function_environment.get(name).cloned()).unwrap();
        let variable = |name: &str| shim.function_environment[name].clone();
        let (id, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        let credentials = SharedCredentialsProvider::new(Credentials::new(id, secret, None, None, "test"));
        let sdk = runvoy_core::aws::sdk_settings()
            .endpoint_url(&shim.function_environment["AWS_ENDPOINT_URL"])
            .credentials_provider(credentials)
            .region("us-east-1")
            .load()
            .await;
        Self { app: App::new(config, &sdk), key: shim.admin_key.clone(), shim: Some(shim) }
    }

    async fn request(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut context = Context::default();
        context.request_id = unique();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut event = http_request(method, &format!("/api/v1{path}"), self.key.expose(), &body);
        event["rawQueryString"] = json!(query);
        let api = orchestrator::service(self.app.clone());
        let answer = orchestrator::handle(&api, LambdaEvent::new(event, context)).await.unwrap();
        let status = u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap();
        let body = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
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

/// A name that no other run of this test uses.
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
    let parameters = json!({"execution_id": id, "token": token});
    let connected = system.deliver(websocket("$connect", "a-viewer=", parameters)).await;
    assert_eq!(connected["statusCode"], 200);
    // Not every AWS has streams of its tables. Where this one has, each record comes twice.
    let table = &system.app.config.tables.websocket_connections;
    let record = |event_name: &str| {
        json!({"Records": [{
            "eventID": "1", "eventName": event_name, "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
            "eventSourceARN": format!("arn:aws:dynamodb:us-east-1:123456789012:table/{table}/stream/2026-01-01T00:00:00.000"),
            "dynamodb": {
                "Keys": {"execution_id": {"S": id}, "connection_id": {"S": "a-viewer="}},
                "NewImage": {"handed_over": {"BOOL": event_name == "MODIFY"}},
                "SequenceNumber": "1", "SizeBytes": 1, "StreamViewType": "NEW_IMAGE",
            },
        }]})
    };
    system.deliver(record("INSERT")).await;

    system.deliver(task_running(id)).await;
    assert_eq!(status_of().await["status"], "RUNNING");
    let lines: Vec<_> = (0..100).map(|line| (line, format!("line {line}"))).collect();
    for _ in 0..2 {
        system.deliver(log_batch(id, &lines)).await;
    }
    for _ in 0..2 {
        system.deliver(task_stopped(id, "EssentialContainerExited", Some(0))).await;
    }
    let ended = status_of().await;
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("SUCCEEDED"), &json!(0)), "{ended}");
    let logs = system.expect("GET", &format!("/executions/{id}/logs"), Value::Null, 200).await;
    assert_eq!(logs["status"], "SUCCEEDED", "{logs}");
    // An AWS that never saw the connection open answers that it is gone. The invocation of the new viewer tries for a turn, and the one that
    // follows it, by the record of the hand-over, believes it.
    system.deliver(record("MODIFY")).await;
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
    let old = created["claim_token"].as_str().unwrap();
    let renewed = system.expect("POST", "/users/create", json!({"email": email, "role": "viewer"}), 201).await;
    system.expect("GET", &format!("/claim/{old}"), Value::Null, 404).await;
    let token = renewed["claim_token"].as_str().unwrap();
    let claimed = system.expect("GET", &format!("/claim/{token}"), Value::Null, 200).await;
    system.expect("GET", &format!("/claim/{token}"), Value::Null, 409).await;
    system.expect("POST", "/users/create", json!({"email": email, "role": "viewer"}), 409).await;

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
