//! `runvoy run`: makes the request, sends it, and watches the execution.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::{self, IsTerminal, Read},
};

use reqwest::{Method, StatusCode};
use runvoy_api_types::{ExecutionInFull, Images, OnConflict, OneOrMore, Retry, Started, headers::IDEMPOTENCY_KEY};
use serde_json::{Value, json};

use super::{context::Context, ids, shell::quoted, watch::Watching};
use crate::{
    api::{Api, Repeat, RequestError, WithStatus, segment},
    arguments::{Global, OnInterrupt, Run, RunOptions, WatchOptions},
    client_end::{self, ClientEnd},
    env_file, exit_code,
    failure::{Failure, Result},
    output,
    say::Waiting,
    signals::Interrupts,
};

/// Variables of this name are given to the command without the prefix.
const USER_VARIABLE: &str = "RUNVOY_USER_";

pub(crate) async fn run(global: Global, run: Run) -> Result<u8> {
    let command = command(&run)?;
    let request = request(&command, &with_files(run.options)?);
    if run.watch.dry_run {
        return dry_run(&request);
    }
    start(Context::load(global)?, &request, &run.watch).await
}

/// The command's text.
pub(super) fn command(run: &Run) -> Result<String> {
    if let Some(path) = &run.file {
        let read = fs::read_to_string(path);
        return read
            .map(without_mark)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())));
    }
    if run.command == ["-"] && !run.is_exact {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
        return Ok(without_mark(text));
    }
    note_unread_input();
    Ok(match run.command.as_slice() {
        [line] => line.clone(),
        words if run.is_exact => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        words => words.join(" "),
    })
}

/// A script without the byte order mark with which some editors begin a file.
fn without_mark(text: String) -> String {
    text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)
}

/// Says that the command does not get what is piped into `runvoy`.
fn note_unread_input() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let is_fed = fs::metadata("/dev/stdin")
            .is_ok_and(|input| input.file_type().is_fifo() || (input.is_file() && input.len() > 0));
        if is_fed && !io::stdin().is_terminal() {
            say!("runvoy: the command does not get this standard input; give a script by `runvoy run -`");
        }
    }
}

/// The value that this environment gives to a variable of the command.
pub(crate) fn user_variable(name: &str) -> Option<String> {
    env::var(format!("{USER_VARIABLE}{name}")).ok()
}

/// The options with the variables of the files that they name, which come after those of the options themselves.
///
/// # Errors
/// A file cannot be read, or has a line that is none of a `.env` file.
pub(crate) fn with_files(options: RunOptions) -> Result<RunOptions> {
    let mut env = Vec::new();
    for path in &options.env_file {
        let unreadable = |error: &dyn fmt::Display| Failure::new(format!("{} cannot be read: {error}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
        let text = String::from_utf8(bytes).map_err(|error| unreadable(&error))?;
        env.extend(
            env_file::parse(&text)
                .map_err(|line| Failure::new(format!("line {line} of {} is not NAME=VALUE", path.display())))?,
        );
    }
    env.extend(options.env.iter().cloned());
    Ok(RunOptions { env, ..options })
}

/// Prints a request in its place.
fn dry_run(request: &Value) -> Result<u8> {
    output::print_json(&format!("{request:#}")).map(|()| 0)
}

/// The body of `POST /run`.
pub(crate) fn request(command: &str, options: &RunOptions) -> Value {
    let mut env: BTreeMap<String, String> = options.base_env.iter().cloned().collect();
    env.extend(
        env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter_map(|(name, value)| Some((name.strip_prefix(USER_VARIABLE)?.to_owned(), value)))
            .filter(|(name, _)| !name.is_empty()),
    );
    env.extend(options.env.iter().cloned());
    let given = |names: &Vec<String>| Some(names.clone()).filter(|names| !names.is_empty());
    json!(runvoy_api_types::Run {
        command: Some(command.to_owned()),
        image: options.image.clone(),
        image_uri: None,
        env: Some(env).filter(|env| !env.is_empty()),
        secrets: given(&options.secrets),
        timeout: options.timeout.filter(|seconds| *seconds > 0),
        cpu: options.cpu,
        memory: options.memory,
        disk: options.disk,
        spot: options.spot.then_some(true),
        git_repo: options.git_repo.clone(),
        git_ref: options.git_ref.clone(),
        git_path: options.git_path.clone(),
        lock: given(&options.locks).map(OneOrMore::More),
        slots: options.slots,
        on_conflict: options.queue.then_some(OnConflict::Queue),
        after: given(&options.after),
        run_if: options.run_if,
        deadline: options.deadline.filter(|seconds| *seconds > 0),
        retry: options.retry.map(|attempts| Retry::new(attempts, options.retry_on.clone(), options.retry_backoff)),
    })
}

/// Starts a run and watches it as the options say.
pub(crate) async fn start(context: Context, request: &Value, watch: &WatchOptions) -> Result<u8> {
    start_by(context, "/run", request, watch).await
}

/// Starts a run by the route with this path, and watches it as the options say.
pub(crate) async fn start_by(context: Context, path: &str, request: &Value, watch: &WatchOptions) -> Result<u8> {
    if watch.dry_run {
        return dry_run(request);
    }
    let mut interrupts = Interrupts::listen()?;
    let waiting = Waiting::begin("starting");
    let sent = async { send(&context.api, path, &with_ids(&context, request).await?).await };
    let answer = client_end::started(sent, &mut interrupts).await;
    drop(waiting);
    let Some((started, was_interrupted)) = answer else { return Ok(exit_code::INTERRUPTED) };
    let started = started?;
    let id = started.execution_id.to_string();
    if watch.detach {
        let told = if context.is_json() {
            output::print(&json!({"execution_id": id, "log_url": started.log_url}).to_string())
        } else {
            output::print(&id)
        };
        let end = ClientEnd::new(id, OnInterrupt::Detach, interrupts);
        return match told {
            Ok(()) => Ok(0),
            Err(failure) => Ok(end.on_failure(&context.api, &failure).await),
        };
    }
    let place = if context.names_endpoint { format!(" at {}", context.config.endpoint) } else { String::new() };
    say!("runvoy: execution {id} in {}{place}", started.image_id);
    if !started.log_url.is_empty() {
        say!("runvoy: {}", started.log_url);
    }
    if started.status.is_without_task() {
        say_place(&context.api, &id).await;
    }
    let end = ClientEnd::new(id, watch.on_interrupt, interrupts);
    let mut watching = Watching::new(&context, Some(started.websocket_url.clone()), watch.timestamps, end);
    watching.announce(&json!({
        "execution_id": started.execution_id,
        "status": started.status,
        "image_id": started.image_id,
        "log_url": started.log_url,
    }));
    if was_interrupted { watching.interrupted().await } else { watching.until_the_end().await }
}

/// Says what a run waits for, and its place in line.
async fn say_place(api: &Api, id: &str) {
    let answer = api.get(&format!("/executions/{id}")).await;
    let shown: Option<WithStatus<ExecutionInFull>> = answer.and_then(|answer| answer.parse()).ok();
    let place = shown.as_ref().and_then(|shown| shown.queue_position);
    let is_waiting = shown.as_ref().is_some_and(|shown| shown.status == "WAITING");
    let waits_for =
        shown.and_then(|shown| shown.into_known().execution.waits_for).unwrap_or_else(|| "its turn".to_owned());
    let waits_for = output::cell(waits_for);
    match place {
        Some(place) => say!("runvoy: queued for {waits_for}, place {place} in line; Ctrl+C leaves it"),
        None if is_waiting => say!("runvoy: waits for {waits_for}; Ctrl+C takes the request back"),
        None => say!("runvoy: queued for {waits_for}; Ctrl+C leaves the queue"),
    }
}

/// The request with the whole ids of the executions for which it waits.
async fn with_ids(context: &Context, request: &Value) -> Result<Value> {
    let mut request = request.clone();
    for id in request.get_mut("after").and_then(Value::as_array_mut).into_iter().flatten() {
        *id = ids::execution_id(context, id.as_str().unwrap_or_default()).await?.into();
    }
    Ok(request)
}

async fn send(api: &Api, path: &str, request: &Value) -> Result<Started> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
    let key = format!("runvoy-{:032x}", u128::from_be_bytes(random));
    let headers = [(IDEMPOTENCY_KEY, key.as_str())];
    match api.send(Method::POST, path, Some(request), &headers, Repeat::Safe).await {
        Ok(answer) => answer.parse(),
        Err(RequestError::Refused { status: StatusCode::BAD_REQUEST, field, failure })
            if field.as_deref().is_none_or(|field| field == "image") =>
        {
            Err(with_images(api, request, failure).await)
        }
        Err(RequestError::Refused { failure, .. }) => Err(failure),
        Err(RequestError::Unreachable { failure, may_have_arrived: true }) => Err(Failure::new(failure.what())
            .remedy("the command may have been started: look at `runvoy list` before you run it again")),
        Err(RequestError::Unreachable { failure, .. }) => Err(failure),
    }
}

/// Registered images that are named to someone who names another one.
const NAMED_IMAGES: usize = 10;

/// For an image that is not registered, adds images that are: those with such a name, or any.
async fn with_images(api: &Api, request: &Value, failure: Failure) -> Failure {
    let Some(image) = request["image"].as_str() else { return failure };
    // An earlier server knows no search, and answers all images.
    let found = async |words: &str| {
        let answer = api.get(&format!("/images?limit={}&q={}", NAMED_IMAGES + 1, segment(words))).await?;
        answer.parse::<Images>().map(|found| found.images)
    };
    let Ok(same) = found(image).await else { return failure };
    if same.iter().any(|known| [known.image.as_str(), known.image_id.as_str()].contains(&image)) {
        return failure;
    }
    let name = image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
    let Ok(mut images) = found(name).await else { return failure };
    if images.is_empty() {
        let Ok(any) = found("").await else { return failure };
        images = any;
    }
    let mut names: Vec<String> = images.iter().map(|image| output::cell(&image.image)).collect();
    names.dedup();
    let names = match names.len() {
        0 => "none".to_owned(),
        1..=NAMED_IMAGES => names.join(", "),
        _ => format!("{}, and others: runvoy images list", names[..NAMED_IMAGES].join(", ")),
    };
    Failure::new(failure.what())
        .remedy(format!("registered images: {names}\n  register it: runvoy images register {}", quoted(image)))
}
