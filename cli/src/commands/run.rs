//! `runvoy run`, and watching in general.

use std::{
    env, fs,
    io::{self, IsTerminal, Read},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Context;
use crate::{
    api::{Api, Repeat, RequestError, segment},
    arguments::{Global, OnInterrupt, Run, RunOptions, WatchOptions},
    failure::{Failure, Result},
    follow::{Event, Follower, Status, is_end},
    output::{self, LinePrinter, field, status_on_stderr},
    signals::Interrupts,
};

/// The exit code after an interruption, as of a program that SIGINT ends.
const INTERRUPTED: u8 = 130;
/// Variables of this name are given to the command without the prefix.
const USER_VARIABLE: &str = "RUNVOY_USER_";

pub(crate) async fn run(global: Global, run: Run) -> Result<u8> {
    let command = command(&run)?;
    let request = request(&command, &run.options);
    start(global, &request, &run.watch).await
}

/// The command's text.
fn command(run: &Run) -> Result<String> {
    let stdin = run.command == ["-"];
    if let Some(path) = &run.file {
        return fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())));
    }
    if stdin {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
        return Ok(text);
    }
    let exact = run.exact.iter().map(|argument| quoted(argument));
    Ok(run.command.iter().cloned().chain(exact).collect::<Vec<_>>().join(" "))
}

/// An argument as a shell reads it back.
pub(crate) fn quoted(argument: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// The body of `POST /run`.
pub(crate) fn request(command: &str, options: &RunOptions) -> Value {
    let mut env: Map<String, Value> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter_map(|(name, value)| Some((name.strip_prefix(USER_VARIABLE)?.to_owned(), value.into())))
        .collect();
    env.extend(options.env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
    let mut body = Map::from_iter([("command".to_owned(), command.into())]);
    let mut set = |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
    let text = |value: &Option<String>| value.as_ref().map(|text| Value::from(text.as_str()));
    set("image", text(&options.image));
    set("env", (!env.is_empty()).then(|| Value::from(env)));
    set("secrets", (!options.secrets.is_empty()).then(|| json!(options.secrets)));
    set("timeout", options.timeout.map(Value::from));
    set("git_repo", text(&options.git_repo));
    set("git_ref", text(&options.git_ref));
    set("git_path", text(&options.git_path));
    Value::from(body)
}

#[derive(Deserialize)]
struct Started {
    execution_id: String,
    log_url: String,
    image_id: String,
    websocket_url: String,
}

/// Starts a run and watches it as the options say.
pub(crate) async fn start(global: Global, request: &Value, watch: &WatchOptions) -> Result<u8> {
    if watch.dry_run {
        output::print(&format!("{request:#}"))?;
        return Ok(0);
    }
    let context = Context::load(global)?;
    let mut interrupts = Interrupts::listen()?;
    let spinner = spinner("starting");
    let (started, was_interrupted) = {
        // The answer is waited for even after an interruption, since the command may have been started.
        let sending = send(&context.api, request);
        tokio::pin!(sending);
        tokio::select! {
            started = &mut sending => (started?, false),
            () = interrupts.next() => (sending.await?, true),
        }
    };
    spinner.finish_and_clear();
    let id = started.execution_id;
    if watch.detach {
        if context.is_json() {
            output::print(&json!({"execution_id": id, "log_url": started.log_url}).to_string())?;
        } else {
            output::print(&id)?;
        }
        return Ok(0);
    }
    eprintln!("runvoy: execution {id} in {}", started.image_id);
    let mut watching = Watching {
        context: &context,
        follower: Follower::new(&context.api, &id, Some(started.websocket_url)),
        printer: LinePrinter::new(&context.global, watch.timestamps),
        id,
        on_interrupt: watch.on_interrupt,
        interrupts,
        is_stopping: false,
    };
    if was_interrupted && let Some(code) = watching.interrupted().await? {
        return Ok(code);
    }
    watching.watch_until_the_end().await
}

async fn send(api: &Api, request: &Value) -> Result<Started> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
    let key = format!("runvoy-{:032x}", u128::from_be_bytes(random));
    let headers = [("idempotency-key", key.as_str())];
    match api.send(Method::POST, "/run", Some(request), &headers, Repeat::Safe).await {
        Ok(answer) => answer.parse(),
        Err(RequestError::Refused { status: StatusCode::BAD_REQUEST, failure }) => {
            Err(with_images(api, request, failure).await)
        }
        Err(RequestError::Refused { failure, .. }) => Err(failure),
        Err(RequestError::Unreachable(failure)) => Err(Failure::new(failure.what())
            .remedy("the command may have been started: look at `runvoy list` before you run it again")),
    }
}

/// For an image that is not registered, adds the images that are.
async fn with_images(api: &Api, request: &Value, failure: Failure) -> Failure {
    let Some(image) = request["image"].as_str() else { return failure };
    if !failure.what().contains(image) {
        return failure;
    }
    let images = match api.get("/images").await.and_then(|answer| answer.json()) {
        Ok(answer) => answer["images"].as_array().cloned().unwrap_or_default(),
        Err(_) => return failure,
    };
    let names: Vec<String> = images.iter().map(|image| field(image, "image")).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Failure::new(failure.what())
        .remedy(format!("registered images: {names}\n  register it: runvoy images register {}", quoted(image)))
}

/// A spinner on standard error, which shows on a terminal only.
fn spinner(what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// Watches an execution that was started before.
pub(crate) async fn watch(context: &Context, id: &str, timestamps: bool) -> Result<u8> {
    let watching = Watching {
        context,
        follower: Follower::new(&context.api, id, None),
        printer: LinePrinter::new(&context.global, timestamps),
        id: id.to_owned(),
        on_interrupt: OnInterrupt::Detach,
        interrupts: Interrupts::listen()?,
        is_stopping: false,
    };
    watching.watch_until_the_end().await
}

struct Watching<'a> {
    context: &'a Context,
    follower: Follower<'a>,
    printer: LinePrinter,
    id: String,
    on_interrupt: OnInterrupt,
    interrupts: Interrupts,
    is_stopping: bool,
}

impl Watching<'_> {
    async fn watch_until_the_end(mut self) -> Result<u8> {
        let begun = Instant::now();
        let mut waiting = Some(spinner("waiting for the container"));
        let mut end: Option<(String, Option<i64>)> = None;
        loop {
            let event = tokio::select! {
                event = self.follower.next() => event?,
                () = self.interrupts.next() => {
                    waiting = None;
                    match self.interrupted().await? {
                        Some(code) => return Ok(code),
                        None => continue,
                    }
                }
            };
            match event {
                Event::Lines(lines) => {
                    if let Some(spinner) = waiting.take() {
                        spinner.finish_and_clear();
                    }
                    self.printer.print(&lines)?;
                }
                Event::Status { status, exit_code } if is_end(&status) => end = Some((status, exit_code)),
                Event::Status { .. } => {}
                Event::End => break,
            }
        }
        if let Some(spinner) = waiting.take() {
            spinner.finish_and_clear();
        }
        let status = match end {
            // Only a command that succeeded needs no more to be said.
            Some((status, exit_code)) if status == "SUCCEEDED" => Status { status, exit_code, stopped_reason: None },
            _ => self.follower.final_status().await?,
        };
        self.printer.print_json(
            &json!({"execution_id": self.id, "status": status.status, "exit_code": status.exit_code, "stopped_reason": status.stopped_reason}),
        )?;
        report(&status, begun);
        Ok(if self.is_stopping { INTERRUPTED } else { exit_code(&status) })
    }

    /// Reacts to a signal. Returns an exit code if `runvoy` ends now.
    async fn interrupted(&mut self) -> Result<Option<u8>> {
        let id = &self.id;
        if self.is_stopping {
            eprintln!("runvoy: the execution is being stopped; see how it ends: runvoy logs -f {id}");
            return Ok(Some(INTERRUPTED));
        }
        if self.on_interrupt == OnInterrupt::Detach {
            eprintln!("runvoy: the execution goes on; come back to it: runvoy logs -f {id}");
            return Ok(Some(INTERRUPTED));
        }
        self.is_stopping = true;
        eprintln!("runvoy: stopping the execution; again to leave at once");
        let path = format!("/executions/{}", segment(id));
        let stopping = self.context.api.delete(&path);
        tokio::select! {
            stopped = stopping => match stopped {
                Ok(_) => Ok(None),
                Err(failure) => Err(Failure::new(format!("the execution cannot be stopped: {failure}"))
                    .remedy(format!("try again: runvoy kill {id}"))),
            },
            () = self.interrupts.next() => {
                eprintln!("runvoy: it is not certain that the execution stops; make sure: runvoy kill {id}");
                Ok(Some(INTERRUPTED))
            }
        }
    }
}

/// Tells on standard error how the execution ended, unless it succeeded in a script.
fn report(status: &Status, begun: Instant) {
    let name = status_on_stderr(&status.status);
    let code = status.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    if let Some(reason) = &status.stopped_reason {
        eprintln!("runvoy: {reason}");
    }
    let took = output::took(i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX));
    eprintln!("runvoy: {name}{code}, after {took}");
}

/// The exit code of the command, or 1 where it has none.
pub(crate) fn exit_code(status: &Status) -> u8 {
    match status.exit_code {
        Some(code) if code != 0 || status.status == "SUCCEEDED" => u8::try_from(code & 0xff).unwrap_or(1),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_the_shell_where_they_need_it() {
        for (argument, text) in [
            ("plain-1.0", "plain-1.0"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("--x=1", "--x=1"),
        ] {
            assert_eq!(quoted(argument), text);
        }
    }
}
