//! `runvoy status`, `describe`, `open` and `kill`.

use std::{process::Stdio, time::Duration};

use reqwest::{Method, StatusCode};

use super::{Context, ids, list};
use crate::{
    api::{Repeat, RequestError, segment},
    arguments::{Kill, Status, Which},
    config, escape,
    failure::{Failure, Result},
    follow,
    output::{self, field},
};

/// The pause between two questions for an execution's end.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// The same while the API cannot be reached.
const POLL_EVERY_OUTAGE: Duration = Duration::from_secs(2);

pub(crate) async fn status(context: &Context, status: Status) -> Result<u8> {
    let id = ids::execution_id(context, &status.id).await?;
    let path = format!("/executions/{}/status", segment(&id));
    let mut lost = false;
    loop {
        let answer = match context.api.send(Method::GET, &path, None, &[], Repeat::Safe).await {
            Ok(answer) => answer,
            Err(RequestError::Unreachable { failure, .. }) if status.wait => {
                if !lost {
                    say!("runvoy: {}; trying again until the execution ends", failure.what());
                }
                lost = true;
                tokio::time::sleep(POLL_EVERY_OUTAGE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        lost = false;
        let now: follow::Status = answer.parse()?;
        if status.wait && !now.is_end() {
            tokio::time::sleep(POLL_EVERY).await;
            continue;
        }
        context.show(&answer, |value| {
            let cell = |name| field(&value, name);
            let mut text = format!("{}  {}\n", output::status(&now.status), cell("execution_id"));
            for (label, name) in [
                ("command", "command"),
                ("image", "image_id"),
                ("started", "started_at"),
                ("completed", "completed_at"),
                ("exit code", "exit_code"),
                ("reason", "reason"),
                ("stopped", "stopped_reason"),
            ] {
                if !value[name].is_null() {
                    text.push_str(&format!("  {label:<10} {}\n", cell(name).replace('\n', "\n             ")));
                }
            }
            output::print(&text)
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
            Ok(answer) if answer.status == StatusCode::NO_CONTENT => say!("runvoy: {id} has ended, or is ending"),
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

/// The fields of an execution, in the order in which people look for them, with the names that they are shown by.
const FIELDS: [(&str, &str); 25] = [
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
    ("completed_at", "completed"),
    ("timeout", "timeout"),
    ("variables", "variables"),
    ("secrets", "secrets"),
    ("git_repo", "git repo"),
    ("git_ref", "git ref"),
    ("git_path", "git path"),
    ("git_commit", "git commit"),
    ("lock", "lock"),
    ("queue_position", "queue"),
    ("cost_estimate_usd", "cost in USD"),
    ("log_stream_name", "log stream"),
    ("created_by_request_id", "request id"),
    ("request", "asked"),
];
/// Fields that are shown otherwise, or say nothing to a person.
const HIDDEN: [&str; 3] = ["modified_by_request_id", "cloud", "duration_seconds"];

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
        let mut text = String::new();
        for (name, label) in known.chain(others) {
            let value = field(&execution, &name);
            if value == "-" {
                continue;
            }
            let value =
                if name == "status" { output::status(&value) } else { value.replace('\n', "\n               ") };
            text.push_str(&format!("{label:<13}  {value}\n"));
            if name == "completed_at" {
                text.push_str(&format!("{:<13}  {}\n", "took", list::duration(&execution)));
            }
        }
        text.push_str(&format!("{:<13}  {}\n", "page", page_of(context, &id)));
        output::print(&text)
    })
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
