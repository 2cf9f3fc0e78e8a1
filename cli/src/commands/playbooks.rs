//! `runvoy playbook`.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    Context,
    run::{quoted, request, start},
};
use crate::{
    arguments::{Format, Global, Playbook},
    config::Config,
    escape,
    failure::Result,
    output::{self, Columns},
    playbook::{self, Missing},
};

pub(crate) async fn run(global: Global, command: Playbook) -> Result<u8> {
    match command {
        Playbook::List => list(&global).map(|()| 0),
        Playbook::Show { name, curl, options } => {
            let (path, playbook) = playbook::load(&name)?;
            let body = request(&playbook.command(), &playbook.options(options, Missing::LeaveOut)?);
            if curl {
                output::print(&curl_line(&global, &body))?;
            } else if global.output == Format::Json {
                output::print_json(&body.to_string())?;
            } else {
                show(&name, &path, &playbook, &body)?;
            }
            for parameter in playbook.parameters.iter().filter(|parameter| body["env"][&parameter.name].is_null()) {
                say!("runvoy: the parameter {0} has no value yet: -P {0}=…", parameter.name);
            }
            Ok(0)
        }
        Playbook::Run { name, options, watch } => {
            let (path, playbook) = playbook::load(&name)?;
            say!("runvoy: playbook {}", path.display());
            let body = request(&playbook.command(), &playbook.options(options, Missing::Ask)?);
            if watch.dry_run {
                return output::print_json(&format!("{body:#}")).map(|()| 0);
            }
            start(Context::load(global)?, &body, &watch).await
        }
    }
}

fn list(global: &Global) -> Result<()> {
    let playbooks: Vec<_> =
        playbook::all().into_iter().map(|(name, path)| (name, playbook::read(&path), path)).collect();
    if global.output == Format::Json {
        let list: Vec<Value> = playbooks
            .iter()
            .map(|(name, read, path)| match read {
                Ok(playbook) => json!({"name": name, "file": path, "description": playbook.description}),
                Err(failure) => json!({"name": name, "file": path, "error": failure.what()}),
            })
            .collect();
        return output::print_json(&json!({"playbooks": list}).to_string());
    }
    let mut columns = Columns::new(&["NAME", "FILE", "DESCRIPTION"]);
    for (name, read, path) in playbooks {
        let description = match read {
            Ok(playbook) => output::short(&escape::text(&playbook.description), 80),
            Err(failure) => format!("cannot be used: {failure}"),
        };
        columns.row([
            escape::text(&name).into_owned(),
            escape::text(&path.display().to_string()).into_owned(),
            description,
        ]);
    }
    columns.print("there are no playbooks: write .runvoy/NAME.yaml")
}

fn show(name: &str, path: &Path, playbook: &playbook::Playbook, request: &Value) -> Result<()> {
    let mut text = format!("{name}: {}\n  {}\n", playbook.description, path.display());
    let command = request["command"].as_str().unwrap_or_default();
    text.push_str(&format!("\ncommand:\n  {}\n", command.replace('\n', "\n  ")));
    let rest: Vec<_> = request.as_object().into_iter().flatten().filter(|(key, _)| *key != "command").collect();
    if !rest.is_empty() {
        text.push('\n');
    }
    for (key, value) in rest {
        match value.as_object() {
            Some(values) => {
                text.push_str(&format!("{key}:\n"));
                for (name, value) in values {
                    text.push_str(&format!("  {name}={}\n", value.as_str().unwrap_or_default()));
                }
            }
            None => text.push_str(&format!("{key}: {}\n", output::field(request, key))),
        }
    }
    if !playbook.parameters.is_empty() {
        text.push_str("\nparameters:\n");
    }
    for parameter in &playbook.parameters {
        let default = parameter.default.as_ref().map(|value| format!(" [default: {value}]")).unwrap_or_default();
        let allowed: Vec<String> = parameter.allowed.iter().map(ToString::to_string).collect();
        let allowed = if allowed.is_empty() { String::new() } else { format!(" [{}]", allowed.join(", ")) };
        text.push_str(&format!("  {:<16} {}{allowed}{default}\n", parameter.name, parameter.description));
    }
    output::print(&escape::text(&text))
}

/// The request as a line for a shell. The key stays a variable, so that the line can be shown to others.
fn curl_line(global: &Global, request: &Value) -> String {
    let endpoint = Config::load(global).map_or_else(|_| "$RUNVOY_ENDPOINT".to_owned(), |config| config.endpoint);
    format!(
        "curl -X POST \"{endpoint}/api/v1/run\" -H \"X-API-Key: $RUNVOY_API_KEY\" -H 'Content-Type: application/json' -d {}",
        quoted(&request.to_string())
    )
}
