//! `runvoy status`, `describe`, `open` and `kill`.

use std::{process::Stdio, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Context, ids, list};
use crate::{
    api::{Repeat, RequestError, segment},
    arguments::{Kill, Status, Which},
    backoff::Pauses,
    config, escape,
    failure::{Failure, Result},
    follow,
    output::{self, Fields, field},
};

/// The pauses between two questions for an execution's end.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(250), Duration::from_secs(2));

pub(crate) async fn status(context: &Context, status: Status) -> Result<u8> {
    let id = ids::execution_id(context, &status.id).await?;
    let path = format!("/executions/{}/status", segment(&id));
    let mut lost = false;
    let mut pauses = PAUSES;
    loop {
        let answer = match context.api.send(Method::GET, &path, None, &[], Repeat::Safe).await {
            Ok(answer) => answer,
            Err(RequestError::Unreachable { failure, .. }) if status.wait => {
                if !lost {
                    say!("runvoy: {}; trying again until the execution ends", failure.what());
                }
                lost = true;
                pauses.wait().await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        lost = false;
        let now: follow::Status = answer.parse()?;
        if status.wait && !now.is_end() {
            pauses.wait().await;
            continue;
        }
        context.show(&answer, |value| {
            let mut fields = Fields::new("  ");
            for (label, name) in [
                ("command", "command"),
                ("image", "image_id"),
                ("started", "started_at"),
                ("completed", "completed_at"),
                ("exit code", "exit_code"),
                ("reason", "reason"),
                ("stopped", "stopped_reason"),
            ] {
                fields.add(label, field(&value, name));
            }
            if let Some(ending) = now.ending {
                fields.add("ending", ending_text(ending.exit_code));
            }
            let id = field(&value, "execution_id");
            output::print(&format!("{}  {id}\n{}", output::status(&now.status), fields.render()))
        })?;
        return Ok(if status.wait { now.exit_code() } else { 0 });
    }
}

pub(crate) async fn kill(context: &Context, kill: Kill) -> Result<u8> {
    let mut failed = 0;
    for id in &kill.ids {
        let id = &match ids::execution_id(context, id).await {
            Ok(id) => id,
            Err(failure) => {
                failed += 1;
                say!("runvoy: {failure}");
                continue;
            }
        };
        match context.api.delete(&format!("/executions/{}", segment(id))).await {
            Ok(answer) if answer.status == StatusCode::NO_CONTENT => {
                if context.is_json() {
                    output::print(&json!({"execution_id": id, "message": "has ended, or is ending"}).to_string())?;
                } else {
                    say!("runvoy: {id} has ended, or is ending");
                }
            }
            Ok(answer) if context.is_json() => output::print(&answer.text)?,
            Ok(_) => say!("runvoy: {id} is being stopped"),
            Err(failure) => {
                failed += 1;
                say!("runvoy: {id}: {failure}");
            }
        }
    }
    match failed {
        0 => Ok(0),
        count => Err(Failure::new(format!("{count} of {} executions could not be stopped", kill.ids.len()))),
    }
}

/// The end of a command whose task has not ended.
fn ending_text(exit_code: i32) -> String {
    format!("the command has ended with exit code {exit_code}, and its task is ending")
}

/// The fields of an execution, in the order in which people look for them, with the names that they are shown by.
const FIELDS: [(&str, &str); 27] = [
    ("execution_id", "id"),
    ("status", "status"),
    ("exit_code", "exit code"),
    ("reason", "reason"),
    ("stopped_reason", "stopped"),
    ("command", "command"),
    ("image_id", "image"),
    ("created_by", "by"),
    ("owned_by", "owners"),
    ("source", "source"),
    ("started_at", "started"),
    ("timeout", "timeout"),
    ("secrets", "secrets"),
    ("git_repo", "git repo"),
    ("git_ref", "git ref"),
    ("git_path", "git path"),
    ("git_commit", "git commit"),
    ("cpu", "cpu units"),
    ("memory", "memory (MiB)"),
    ("disk", "disk (GiB)"),
    ("spot", "Spot"),
    ("timing", "timing"),
    ("lock", "lock"),
    ("queue_position", "queue"),
    ("cost_estimate_usd", "cost in USD"),
    ("log_stream_name", "log stream"),
    ("created_by_request_id", "request id"),
];
/// Fields that are shown otherwise, or say nothing to a person.
const HIDDEN: [&str; 7] =
    ["modified_by_request_id", "cloud", "duration_seconds", "completed_at", "variables", "request", "ending"];

/// Prints all that the record of an execution knows.
pub(crate) async fn describe(context: &Context, which: Which) -> Result<()> {
    let id = ids::execution_id(context, &which.id).await?;
    let answer = context.api.get(&format!("/executions/{}", segment(&id))).await?;
    context.show(&answer, |execution| {
        let known = FIELDS.iter().map(|(name, label)| ((*name).to_owned(), (*label).to_owned()));
        let is_other =
            |name: &&String| !FIELDS.iter().any(|(known, _)| known == name) && !HIDDEN.contains(&name.as_str());
        let others = execution.as_object().into_iter().flatten().map(|(name, _)| name).filter(is_other);
        let others = others.map(|name| (name.clone(), escape::text(name).replace('_', " ")));
        let mut fields = Fields::new("");
        for (name, label) in known.chain(others) {
            let value = field(&execution, &name);
            match name.as_str() {
                "status" => {
                    fields.add(&label, output::status(&value));
                    if let Some(code) = execution["ending"]["exit_code"].as_i64() {
                        fields.add("ending", ending_text(code.try_into().unwrap_or(1)));
                    }
                }
                "started_at" => {
                    fields.add(&label, value);
                    fields.add("completed", field(&execution, "completed_at"));
                    fields.add("took", list::duration(&execution));
                }
                "timeout" => {
                    fields.add(&label, execution["timeout"].as_i64().map(output::took).unwrap_or_default());
                    fields.add("variables", variables(&execution));
                }
                "timing" => fields.add(&label, timing(&execution["timing"])),
                _ => fields.add(&label, value),
            }
        }
        fields.add("page", page_of(context, &id));
        output::print(&fields.render())
    })
}

/// The variables of a run: each with its value where the API has kept it and shows it, on a line of its own.
fn variables(execution: &Value) -> String {
    let kept = &execution["request"]["env"];
    let names = execution["variables"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lines = names.map(|name| match kept[name].as_str() {
        Some(value) => format!("{name}={value}"),
        None => name.to_owned(),
    });
    escape::text(&lines.collect::<Vec<_>>().join("\n")).into_owned()
}

/// The seconds of each part of an execution's life, in the order of its life.
fn timing(timing: &serde_json::Value) -> String {
    let parts = ["queued", "provisioning", "pulling", "starting", "running", "ending"];
    let told = parts.iter().filter_map(|part| Some(format!("{part} {:.1} s", timing[*part].as_f64()?)));
    told.collect::<Vec<_>>().join(", ")
}

/// The page of an execution in the console that the API serves.
fn page_of(context: &Context, id: &str) -> String {
    format!("{}/logs?execution_id={}", context.config.endpoint, segment(id))
}

/// Opens the page of an execution in a browser, and prints its address.
pub(crate) async fn open(context: &Context, which: Which) -> Result<()> {
    let id = ids::execution_id(context, &which.id).await?;
    let page = page_of(context, &id);
    output::print(&page)?;
    let given = config::variable("BROWSER");
    let program = given.as_deref().unwrap_or(if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    });
    let opened = std::process::Command::new(program)
        .arg(&page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        say!("runvoy: {program} cannot be started: {error}; set BROWSER, or open the address yourself");
    }
    Ok(())
}
