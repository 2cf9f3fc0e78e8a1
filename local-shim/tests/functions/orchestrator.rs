//! One instance of the orchestrator's program with many requests at the same time, as under Lambda Managed Instances.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use local_shim::{AwsPort, Settings, Shim};
use serde_json::{Value, json};

use crate::{
    binary,
    common::{events::http_request, instance::Instance},
};

const AT_ONCE: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_the_same_time_are_each_answered_as_if_alone() {
    let shim = Shim::start(Settings { aws_port: AwsPort::Port(0), ..Settings::ephemeral() }).await.unwrap();
    let instance = Instance::start(&binary("orchestrator"), &shim.function_environment, AT_ONCE).await;
    instance.polls(AT_ONCE).await;

    let (instance, shim_ref) = (&instance, &shim);
    let answers = join_all((0..AT_ONCE).map(|number| async move {
        let request_id = format!("request-{number}");
        let body = json!({"command": format!("echo {number}")}).to_string();
        let request = http_request("POST", "/api/v1/run", shim_ref.admin_key.expose(), &body);
        let started = answer(instance, &request_id, &request).await;
        assert_eq!(started["statusCode"], 202, "{started}");
        assert_eq!(started["headers"]["x-request-id"], json!(request_id));
        let id = body_of(&started)["execution_id"].as_str().unwrap().to_owned();

        let request_id = format!("look-{number}");
        let path = format!("/api/v1/executions/{id}/status");
        let request = http_request("GET", &path, shim_ref.admin_key.expose(), "");
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
