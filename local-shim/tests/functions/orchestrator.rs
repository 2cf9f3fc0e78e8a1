//! One instance of the deployed program, with many requests at the same time, as Lambda Managed Instances hand them over.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeSet, path::Path};

use futures_util::future::join_all;
use local_shim::{Settings, Shim, lambda::instance::Instance};
use serde_json::{Value, json};

const AT_ONCE: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_the_same_time_do_not_get_in_each_others_way() {
    let shim = Shim::start(Settings { aws_port: Some(0), ..Settings::ephemeral() }).await.unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_orchestrator"));
    let instance = Instance::start(binary, &shim.elsewhere, AT_ONCE).await.unwrap();
    instance.polls(AT_ONCE).await;

    let (instance, shim_ref) = (&instance, &shim);
    let answers = join_all((0..AT_ONCE).map(|number| async move {
        let request_id = format!("request-{number}");
        let body = json!({"command": format!("echo {number}")}).to_string();
        let request = request("POST", "/api/v1/run", shim_ref.admin_key.expose(), &request_id, &body);
        let started = answer(instance, &request_id, &request).await;
        assert_eq!(started["statusCode"], 202, "{started}");
        assert_eq!(started["headers"]["x-request-id"], json!(request_id));
        let id = body_of(&started)["execution_id"].as_str().unwrap().to_owned();

        let request_id = format!("look-{number}");
        let path = format!("/api/v1/executions/{id}/status");
        let request = self::request("GET", &path, shim_ref.admin_key.expose(), &request_id, "");
        let shown = body_of(&answer(instance, &request_id, &request).await);
        assert_eq!(shown["execution_id"], json!(id), "{shown}");
        id
    }))
    .await;
    assert_eq!(answers.into_iter().collect::<BTreeSet<_>>().len(), AT_ONCE);
    shim.shut_down().await;
}

async fn answer(instance: &Instance, request_id: &str, request: &Value) -> Value {
    let answer = instance.invoke(request_id, request.to_string().into_bytes()).await.unwrap();
    serde_json::from_slice(&answer).unwrap()
}

fn body_of(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

/// The event of a Function URL.
fn request(method: &str, path: &str, key: &str, request_id: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"host": "localhost", "x-api-key": key, "content-type": "application/json"},
        "requestContext": {
            "accountId": "anonymous", "apiId": "x", "domainName": "localhost", "domainPrefix": "x", "requestId": request_id,
            "routeKey": "$default", "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"},
        },
        "body": body, "isBase64Encoded": false,
    })
}
