//! Does `runvoy status`, `describe`, `open` and `kill`.

use std::{process::Stdio, time::Duration};

use reqwest::{Method, StatusCode};
use runvoy_api_types::{
    Asked, AskedAgain, EarlierAttempt, Execution, ExecutionInFull, ExecutionStatus, Killed, Timing, time::rfc3339,
};
use serde::de::IgnoredAny;
use serde_json::json;

use super::{approvals, context::Context, ids, list};
use crate::{
    api::{Repeat, RequestError, WithStatus, segment},
    arguments::{Kill, Status, Which},
    backoff::Pauses,
    config, escape,
    failure::{Failure, Result},
    follow,
    output::{self, Fields, cell, names, or_dash},
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
        let shown: WithStatus<ExecutionStatus> = answer.parse()?;
        let now = follow::Status::from(shown.clone());
        if status.wait && !now.is_end() {
            pauses.wait().await;
            continue;
        }
        context.show(&answer, |_: IgnoredAny| {
            let mut fields = Fields::new("  ");
            fields.add("command", cell(&shown.command));
            fields.add("image", cell(&shown.image_id));
            fields.add("started", rfc3339(shown.started_at));
            fields.add("completed", or_dash(shown.completed_at.map(rfc3339)));
            fields.add("exit code", or_dash(shown.exit_code));
            fields.add("reason", or_dash(shown.reason.as_ref()));
            let stopped = shown.stopped_reason.as_ref().filter(|stopped| shown.reason.as_ref() != Some(*stopped));
            fields.add("stopped", or_dash(stopped));
            if let Some(ending) = shown.ending {
                fields.add("ending", ending_text(ending.exit_code));
            }
            let status = output::status(&shown.status);
            output::print(&format!("{status}  {}\n{}", shown.execution_id, fields.render()))
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
        match context.api.stop(id).await {
            Ok(answer) if answer.status == StatusCode::NO_CONTENT => {
                if context.is_json() {
                    output::print(&json!({"execution_id": id, "message": "has ended, or is ending"}).to_string())?;
                } else {
                    say!("runvoy: {id} has ended, or is ending");
                }
            }
            Ok(answer) => match answer.parse() {
                Ok(Killed { .. }) if context.is_json() => output::print(&answer.text)?,
                Ok(Killed { .. }) => say!("runvoy: {id} is being stopped"),
                Err(failure) => {
                    failed += 1;
                    say!("runvoy: {id}: {failure}");
                }
            },
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

/// Prints all that the record of an execution knows.
pub(crate) async fn describe(context: &Context, which: Which) -> Result<()> {
    let id = ids::execution_id(context, &which.id).await?;
    let answer = context.api.get(&format!("/executions/{}", segment(&id))).await?;
    context.show(&answer, |shown: WithStatus<ExecutionInFull>| {
        let mut fields = fields_of(&shown);
        // What a later server says of an execution besides.
        let known = serde_json::to_value(&*shown).unwrap_or_default();
        for (name, value) in answer.json()?.as_object().into_iter().flatten() {
            if known.get(name).is_none() && !value.is_null() {
                fields.add(
                    &cell(name).replace('_', " "),
                    cell(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
                );
            }
        }
        fields.add("page", page_of(context, &id));
        output::print(&fields.render())
    })
}

/// The fields of an execution, in the order in which people look for them, by the names that they are shown by.
fn fields_of(shown: &WithStatus<ExecutionInFull>) -> Fields {
    let ExecutionInFull { execution, request, queue_position } = &**shown;
    let asked = &execution.asked;
    let mut fields = Fields::new("");
    fields.add("id", cell(&execution.execution_id));
    fields.add("status", output::status(&shown.status));
    if let Some(ending) = execution.ending {
        fields.add("ending", ending_text(ending.exit_code));
    }
    fields.add("exit code", or_dash(execution.exit_code));
    fields.add("reason", or_dash(execution.reason.as_ref()));
    // ECS's own words, where they say more.
    fields.add(
        "stopped",
        or_dash(execution.stopped_reason.as_ref().filter(|stopped| execution.reason.as_ref() != Some(*stopped))),
    );
    fields.add("command", cell(&execution.command));
    fields.add("image", cell(&execution.image_id));
    fields.add("by", cell(&execution.created_by));
    fields.add("owners", names(&execution.owned_by));
    fields.add("source", cell(&asked.source));
    fields.add("started", rfc3339(execution.started_at));
    fields.add("completed", or_dash(execution.completed_at.map(rfc3339)));
    fields.add("took", list::duration(execution));
    let timeout = asked.timeout.and_then(|timeout| i64::try_from(timeout).ok());
    fields.add("timeout", or_dash(timeout.map(output::seconds_in_words)));
    let deadline = asked.deadline.and_then(|deadline| i64::try_from(deadline).ok());
    fields.add("deadline", or_dash(deadline.map(output::seconds_in_words)));
    fields.add("after", names(&asked.after.iter().map(ToString::to_string).collect::<Vec<_>>()));
    fields.add("if", or_dash(asked.run_if));
    fields.add("variables", variables(asked, request.as_ref()));
    fields.add("secrets", names(&asked.secrets));
    fields.add("git repo", or_dash(asked.git_repo.as_ref()));
    fields.add("git ref", or_dash(asked.git_ref.as_ref()));
    fields.add("git path", or_dash(asked.git_path.as_ref()));
    fields.add("git commit", or_dash(asked.git_commit.as_ref()));
    fields.add("cpu units", or_dash(asked.cpu));
    fields.add("memory (MiB)", or_dash(asked.memory));
    fields.add("disk (GiB)", or_dash(asked.disk));
    fields.add("Spot", or_dash(asked.spot.then_some(true)));
    fields.add("timing", execution.timing.as_ref().map(timing).unwrap_or_default());
    fields.add("lock", names(&execution.locks));
    fields.add("queue", or_dash(*queue_position));
    fields.add("waits for", or_dash(execution.waits_for.as_ref()));
    if let Some(approval) = &execution.approval {
        let given: Vec<String> = approval.given.iter().map(approvals::in_words).collect();
        fields
            .add("approvals", format!("{} of {}, until {}", given.len(), approval.count, rfc3339(approval.expires_at)));
        fields.add("approved by", given.join("\n"));
    }
    fields.add("retry", or_dash(asked.retry.as_ref().map(output::retry)));
    fields.add("attempt", or_dash(execution.attempt));
    fields.add("earlier attempts", earlier_attempts(execution));
    fields.add("next attempt", or_dash(execution.next_attempt_at.map(rfc3339)));
    fields.add("cost in USD", or_dash(execution.cost_estimate_usd));
    fields.add("log stream", or_dash(execution.log_stream_name.as_ref()));
    fields.add("request id", cell(&execution.created_by_request_id));
    fields
}

/// The variables of a run: each with its value where the API has kept it and shows it, on a line of its own.
fn variables(asked: &Asked, request: Option<&AskedAgain>) -> String {
    let lines = asked.variables.iter().map(|name| match request.and_then(|request| request.env.get(name)) {
        Some(value) => format!("{name}={value}"),
        None => name.to_owned(),
    });
    escape::text(&lines.collect::<Vec<_>>().join("\n")).into_owned()
}

/// The attempts before the present one, each on a line of its own.
fn earlier_attempts(execution: &Execution) -> String {
    let line = |attempt: &EarlierAttempt| {
        let lasted = output::took(attempt.ended_at.duration_since(attempt.started_at));
        format!("{}: {} ({}, after {lasted})", attempt.number, attempt.reason, attempt.on)
    };
    let lines: Vec<String> = execution.earlier_attempts.iter().map(line).collect();
    escape::text(&lines.join("\n")).into_owned()
}

/// The seconds of each part of an execution's life, in the order of its life.
fn timing(timing: &Timing) -> String {
    let Timing { queued, provisioning, pulling, starting, running, ending } = *timing;
    let parts = [
        ("queued", queued),
        ("provisioning", provisioning),
        ("pulling", pulling),
        ("starting", starting),
        ("running", running),
        ("ending", ending),
    ];
    let told = parts.iter().filter_map(|(part, seconds)| Some(format!("{part} {:.1} s", (*seconds)?)));
    told.collect::<Vec<_>>().join(", ")
}

/// The page of an execution in the console that the API serves.
fn page_of(context: &Context, id: &str) -> String {
    format!("{}/logs?execution_id={}", context.config.endpoint, segment(id))
}

/// Opens the page of an execution in a browser, and prints its address.
pub(crate) async fn open(context: &Context, which: Which) -> Result<()> {
    let id = ids::execution_id(context, &which.id).await?;
    // A page of an execution that does not exist is not opened.
    context.api.get(&format!("/executions/{}/status", segment(&id))).await?;
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
