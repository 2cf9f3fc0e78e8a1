//! Writes events and settings for tools that invoke the functions outside this process: `cargo lambda invoke` and `sam local invoke`.

use std::collections::BTreeMap;

use anyhow::Result;
use runvoy_core::key::ApiKey;
use serde_json::json;

use crate::data_dir::DataDir;

/// The HTTP events in `examples/`, which have a placeholder in place of a key.
const HTTP_EVENTS: [(&str, &str); 4] = [
    ("http-health.json", include_str!("../../examples/http-health.json")),
    ("http-run.json", include_str!("../../examples/http-run.json")),
    ("http-list-executions.json", include_str!("../../examples/http-list-executions.json")),
    ("http-execution-status.json", include_str!("../../examples/http-execution-status.json")),
];
/// The text that stands for the admin's key in the example events.
const PLACEHOLDER: &str = "YOUR_API_KEY";
/// The names of the functions in the template.
const FUNCTIONS: [&str; 2] = [super::ORCHESTRATOR, super::EVENT_PROCESSOR];
/// The name by which a container reaches the machine that it runs on.
const HOST_OF_CONTAINERS: &str = "host.docker.internal";

/// Writes `events/`, with copies of the HTTP events that have the admin's key; `sam-env.json`, the variables of the functions for
/// `sam local invoke`; and `sam-parameters.yaml`, the template's parameters for that and for `sam build`.
pub(crate) fn write(data: &DataDir, environment: &BTreeMap<String, String>, key: &ApiKey) -> Result<()> {
    for (name, event) in HTTP_EVENTS {
        data.write(&format!("events/{name}"), &event.replace(PLACEHOLDER, key.expose()))?;
    }
    let to_container = |url: &str| url.replace("//localhost:", &format!("//{HOST_OF_CONTAINERS}:"));
    let endpoint = to_container(&environment["AWS_ENDPOINT_URL"]);
    let mut in_container = environment.clone();
    in_container.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
    let mut variables = serde_json::Map::new();
    for function in FUNCTIONS {
        if function == super::EVENT_PROCESSOR {
            // The AWS endpoint also takes the frames that are sent to viewers.
            in_container.insert("RUNVOY_WEBSOCKET_API_ENDPOINT".to_owned(), format!("{endpoint}/ws"));
        }
        variables.insert(function.to_owned(), json!(in_container));
    }
    data.write("sam-env.json", &serde_json::to_string_pretty(&variables)?)?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    data.write("sam-parameters.yaml", &format!("Architecture: {architecture}\nAwsEndpointUrl: {endpoint}\n"))
}
