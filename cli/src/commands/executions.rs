//! `runvoy logs`, `status`, `list` and `kill`.

use std::{io::Write, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, value::RawValue};

use super::{Context, watch};
use crate::{
    api::{Repeat, RequestError, segment},
    arguments::{Kill, List, Logs, Status},
    failure::{Failure, Result},
    follow::{self, Event, Follower},
    output::{self, Columns, LinePrinter, ago, field, short},
    say::Waiting,
};

/// How often an execution's end is asked for.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// The same while the API cannot be reached.
const POLL_EVERY_OUTAGE: Duration = Duration::from_secs(2);
/// Characters of a command in a list.
const COMMAND_WIDTH: usize = 80;

pub(crate) async fn logs(context: &Context, logs: Logs) -> Result<u8> {
    if logs.follow {
        return watch::watch(context, &logs.id, logs.timestamps).await;
    }
    let mut follower = Follower::new(&context.api, &logs.id, None);
    let mut printer = LinePrinter::new(&context.global, logs.timestamps);
    let mut lines_so_far = 0;
    let waiting = Waiting::begin("reading the log");
    loop {
        match follower.next_stored().await? {
            Some(Event::Lines(lines)) => {
                lines_so_far += lines.len();
                waiting.now(format_args!("reading the log, {lines_so_far} lines"));
                waiting.aside(|| printer.print(&lines))?;
            }
            Some(Event::Status { .. }) => {}
            Some(Event::End) => return Ok(0),
            None => {
                drop(waiting);
                say!("runvoy: the execution goes on; follow it: runvoy logs -f {}", logs.id);
                return Ok(0);
            }
        }
    }
}

pub(crate) async fn status(context: &Context, status: Status) -> Result<u8> {
    let path = format!("/executions/{}/status", segment(&status.id));
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
                ("reason", "stopped_reason"),
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

pub(crate) async fn list(context: &Context, list: List) -> Result<()> {
    let mut path = format!("/executions?limit={}", list.limit);
    if let Some(status) = &list.status {
        path.push_str(&format!("&status={}", segment(&status.to_ascii_uppercase())));
    }
    if context.is_json() {
        return list_as_json(context, path, list.limit == 0).await;
    }
    let mut columns = Columns::new(&["STATUS", "ID", "STARTED", "BY", "COMMAND"]);
    loop {
        let answer = context.api.get(&path).await?;
        for execution in answer.json()?.as_array().into_iter().flatten() {
            let cell = |name| field(execution, name);
            let code = match &execution["exit_code"] {
                Value::Number(code) if code.as_i64() != Some(0) => format!(" {code}"),
                _ => String::new(),
            };
            columns.row([
                format!("{}{code}", output::status(&cell("status"))),
                cell("execution_id"),
                ago(&cell("started_at")),
                cell("created_by"),
                short(&cell("command"), COMMAND_WIDTH),
            ]);
        }
        match answer.next_page().filter(|_| list.limit == 0) {
            Some(next) => path = next,
            None => return columns.print("there are no such executions"),
        }
    }
}

/// Prints the executions as one JSON array, each as soon as its page has come.
async fn list_as_json(context: &Context, mut path: String, all: bool) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut separator = "[\n";
    loop {
        let answer = context.api.get(&path).await?;
        let page: Vec<&RawValue> = answer.parse()?;
        for execution in page {
            write!(out, "{separator}{execution}")?;
            separator = ",\n";
        }
        out.flush()?;
        match answer.next_page().filter(|_| all) {
            Some(next) => path = next,
            None => break,
        }
    }
    writeln!(out, "{}", if separator == "[\n" { "[]" } else { "\n]" })?;
    out.flush()?;
    Ok(())
}

pub(crate) async fn kill(context: &Context, kill: Kill) -> Result<u8> {
    let mut failed = 0;
    for id in &kill.ids {
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
