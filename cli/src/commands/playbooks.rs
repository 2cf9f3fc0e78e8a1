//! `runvoy playbook`.

use serde_json::Value;

use super::run::{quoted, request, start};
use crate::{
    arguments::{Format, Global, Playbook},
    config::Config,
    failure::Result,
    output::{self, Columns},
    playbook,
};

pub(crate) async fn run(global: Global, command: Playbook) -> Result<u8> {
    match command {
        Playbook::List => list().map(|()| 0),
        Playbook::Show { name, curl, options } => {
            let playbook = playbook::load(&name)?;
            let body = request(&playbook.command(), &playbook.options(options)?);
            if curl {
                output::print(&curl_line(&body))?;
            } else if global.output == Format::Json {
                output::print(&body.to_string())?;
            } else {
                show(&name, &playbook, &body)?;
            }
            Ok(0)
        }
        Playbook::Run { name, options, watch } => {
            let playbook = playbook::load(&name)?;
            let body = request(&playbook.command(), &playbook.options(options)?);
            start(global, &body, &watch).await
        }
    }
}

fn list() -> Result<()> {
    let mut columns = Columns::new(&["NAME", "FILE", "DESCRIPTION"]);
    for (name, path) in playbook::all() {
        let description = match playbook::read(&path) {
            Ok(playbook) => output::short(&playbook.description, 80),
            Err(failure) => format!("cannot be used: {failure}"),
        };
        columns.row([name, path.display().to_string(), description]);
    }
    columns.print("there are no playbooks: write .runvoy/NAME.yml")
}

fn show(name: &str, playbook: &playbook::Playbook, request: &Value) -> Result<()> {
    let mut text = format!("{name}: {}\n\n{request:#}\n", playbook.description);
    if !playbook.parameters.is_empty() {
        text.push_str("\nparameters:\n");
    }
    for parameter in &playbook.parameters {
        let default = parameter.default.as_ref().map(|value| format!(" [default: {value}]")).unwrap_or_default();
        let allowed: Vec<String> = parameter.allowed.iter().map(ToString::to_string).collect();
        let allowed = if allowed.is_empty() { String::new() } else { format!(" [{}]", allowed.join(", ")) };
        text.push_str(&format!("  {:<16} {}{allowed}{default}\n", parameter.name, parameter.description));
    }
    output::print(&text)
}

/// The request as a line for a shell. The key stays a variable, so that the line can be shown to others.
fn curl_line(request: &Value) -> String {
    let endpoint = Config::load().map_or_else(|_| "$RUNVOY_ENDPOINT".to_owned(), |config| config.endpoint);
    format!(
        "curl -X POST \"{endpoint}/api/v1/run\" -H \"X-API-Key: $RUNVOY_API_KEY\" -H 'Content-Type: application/json' -d {}",
        quoted(&request.to_string())
    )
}
