//! Tests of `/playbooks`.

mod parts;
mod publish;
mod run;

use serde_json::{Value, json};

use crate::client::{Answer, Caller, id};

async fn publish_playbook(caller: &Caller, name: &str, playbook: &Value) -> Value {
    let published = caller.put(&format!("/playbooks/{name}"), playbook).await;
    assert_eq!(published.status, 200, "{}", published.text);
    published.json()["playbook"].clone()
}

async fn run_playbook(caller: &Caller, name: &str, parameters: Value) -> Answer {
    caller.post(&format!("/playbooks/{name}/run"), &json!({"parameters": parameters})).await
}

async fn share(caller: &Caller, name: &str, with: Value) {
    let shared = caller.put(&format!("/playbooks/{name}/sharing"), &json!({"shared_with": with})).await;
    assert_eq!(shared.status, 200, "{}", shared.text);
}

/// The log of an execution that runs to its end.
async fn output(caller: &Caller, started: &Answer) -> Vec<String> {
    assert_eq!(started.status, 202, "{}", started.text);
    let id = id(&started.json());
    caller.wait_for(&id, "SUCCEEDED").await;
    let log = caller.log(&id).await;
    log.into_iter().filter(|line| !line.starts_with("### runvoy")).collect()
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["field"].as_str().unwrap_or_default().to_owned())
}
