//! Events and settings for tools that invoke the functions outside this process: `cargo lambda invoke` and `sam local invoke`.

use std::collections::BTreeMap;

use anyhow::Result;
use runvoy_core::auth::ApiKey;
use serde_json::{Value, json};

use crate::data_dir::DataDir;

/// The HTTP events in `examples/`, which have a placeholder in place of a key.
const HTTP_EVENTS: [(&str, &str); 4] = [
    ("http-health.json", include_str!("../../examples/http-health.json")),
    ("http-run.json", include_str!("../../examples/http-run.json")),
    ("http-list-executions.json", include_str!("../../examples/http-list-executions.json")),
    ("http-execution-status.json", include_str!("../../examples/http-execution-status.json")),
];
const PLACEHOLDER: &str = "YOUR_API_KEY";
/// The names of the functions in the template.
const FUNCTIONS: [&str; 2] = [super::ORCHESTRATOR, super::EVENT_PROCESSOR];
/// The name by which a container reaches the machine that it runs on.
const HOST_OF_CONTAINERS: &str = "host.docker.internal";

/// Writes `events/`, with copies of the HTTP events that have the admin's key, and `sam-env.json`, the variables of the functions for
/// `sam local invoke --env-vars`.
pub(crate) fn write(data: &DataDir, environment: &BTreeMap<String, String>, key: &ApiKey) -> Result<()> {
    for (name, event) in HTTP_EVENTS {
        data.write(&format!("events/{name}"), &event.replace(PLACEHOLDER, key.expose()))?;
    }
    let in_container: BTreeMap<&String, String> = environment
        .iter()
        .map(|(name, value)| (name, value.replace("//localhost:", &format!("//{HOST_OF_CONTAINERS}:"))))
        .collect();
    let variables: Value = FUNCTIONS.iter().map(|function| ((*function).to_owned(), json!(in_container))).collect();
    data.write("sam-env.json", &serde_json::to_string_pretty(&variables)?)
}
