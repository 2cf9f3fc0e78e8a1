//! Does `runvoy playbook` for files, and decides which of a file and a published playbook is meant.

use std::path::Path;

use runvoy_api_types::{PlaybookSummary, PlaybookVersion};
use serde_json::{Value, json};

use super::{
    context::Context,
    parameters::{self, Missing},
    published,
    run::{request, start},
    shell::curl_line,
};
use crate::{
    api::not_ours,
    arguments::{Format, Global, Playbook, PlaybookOptions},
    escape,
    failure::Result,
    output::{self, Columns},
    playbook,
};

pub(crate) async fn run(global: Global, command: Playbook) -> Result<u8> {
    match command {
        Playbook::List { search } => list(&global, search.as_deref()).await.map(|()| 0),
        Playbook::Show { name, curl, published, options } => {
            if published || is_published(&global, &name) {
                return published::show(&Context::load(global)?, &name, curl, options).await.map(|()| 0);
            }
            show_file(&global, &name, curl, options).map(|()| 0)
        }
        Playbook::Run { name, published, options, watch } => {
            if published || is_published(&global, &name) {
                return published::run(Context::load(global)?, &name, options, &watch).await;
            }
            let (path, playbook) = playbook::load(&name)?;
            say!("runvoy: playbook {} (a file)", path.display());
            if !playbook.schedules.is_empty() || !playbook.notifications.is_empty() {
                say!("runvoy: its schedules and notifications are those of the published playbook only");
            }
            if playbook.approvals.is_some() {
                say!("runvoy: nobody is asked to approve it; only runs of the published playbook wait for approvals");
            }
            let body = request(&playbook.command(), &parameters::options(&playbook, options, Missing::Ask)?);
            if watch.dry_run {
                return output::print_json(&format!("{body:#}")).map(|()| 0);
            }
            start(Context::load(global)?, &body, &watch).await
        }
        Playbook::Publish { file, name, if_version } => {
            published::publish(&Context::load(global)?, &file, name, if_version).await.map(|()| 0)
        }
        Playbook::Versions { name } => published::versions(&Context::load(global)?, &name).await.map(|()| 0),
        Playbook::Share { name, with, everyone, .. } => {
            let with = (!everyone).then_some(with);
            published::share(&Context::load(global)?, &name, with).await.map(|()| 0)
        }
        Playbook::Delete { name, confirmation } => {
            published::delete(&Context::load(global)?, &name, confirmation).await.map(|()| 0)
        }
    }
}

/// Tells whether a name is not that of a file, and there is an API that may know it.
fn is_published(global: &Global, name: &str) -> bool {
    let is_file = playbook::is_file(name) || playbook::all().contains_key(name);
    !is_file && global.config().is_ok()
}

fn show_file(global: &Global, name: &str, curl: bool, options: PlaybookOptions) -> Result<()> {
    let (path, playbook) = playbook::load(name)?;
    let body = request(&playbook.command(), &parameters::options(&playbook, options, Missing::LeaveOut)?);
    if curl {
        output::print(&curl_line(global, "/run", &body))?;
    } else if global.output == Format::Json {
        output::print_json(&body.to_string())?;
    } else {
        show(name, &path, &playbook, &body)?;
    }
    for parameter in playbook.parameters.iter().filter(|parameter| body["env"][&parameter.name].is_null()) {
        say!("runvoy: the parameter {0} has no value yet: -P {0}=…", parameter.name);
    }
    Ok(())
}

/// Lists those in files first, then those that are published.
async fn list(global: &Global, search: Option<&str>) -> Result<()> {
    let files: Vec<_> = playbook::all()
        .into_iter()
        .filter(|(name, _)| search.is_none_or(|text| name.contains(text)))
        .map(|(name, path)| (name, playbook::read(&path), path))
        .collect();
    let published = match Context::load(global.clone()) {
        Ok(context) => match published::all(&context, search).await {
            Ok(published) => published,
            Err(failure) if files.is_empty() => return Err(failure),
            Err(failure) => {
                say!("runvoy: the published playbooks are not known: {}", failure.what());
                Vec::new()
            }
        },
        Err(failure) if files.is_empty() => return Err(failure),
        // Files need no API.
        Err(_) => Vec::new(),
    };
    if global.output == Format::Json {
        let mut list: Vec<Value> = files
            .iter()
            .map(|(name, read, path)| match read {
                Ok(playbook) => json!({"name": name, "file": path, "description": playbook.description}),
                Err(failure) => json!({"name": name, "file": path, "error": failure.what()}),
            })
            .collect();
        list.extend(published);
        return output::print_json(&json!({"playbooks": list}).to_string());
    }
    let mut columns = Columns::new(&["NAME", "FROM", "DESCRIPTION"]);
    for (name, read, path) in files {
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
    for playbook in published {
        let playbook: PlaybookSummary = serde_json::from_value(playbook).map_err(|error| not_ours(&error))?;
        let PlaybookVersion { version, published_by, .. } = playbook.version;
        columns.row([
            output::cell(&playbook.name),
            format!("version {version} by {}", output::cell(published_by)),
            output::short(&escape::text(&playbook.description), 80),
        ]);
    }
    columns.print("there are no playbooks: write .runvoy/NAME.yaml, or publish one: runvoy playbook publish FILE")
}

fn show(name: &str, path: &Path, playbook: &runvoy_api_types::Playbook, request: &Value) -> Result<()> {
    let described = if playbook.description.is_empty() { "a file" } else { playbook.description.as_str() };
    let mut text = format!("{name}: {described}\n  {}\n", path.display());
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
            None => text.push_str(&format!("{key}: {}\n", in_words(value))),
        }
    }
    text.push_str(&parameters::in_words(&playbook.parameters));
    output::print(&escape::text(&text))
}

/// A value of a request in words: a list's entries in a row.
fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries.iter().map(in_words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
