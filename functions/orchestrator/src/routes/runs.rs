//! Starts runs.

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use runvoy_api_types::{headers, limits::MAX_IDEMPOTENCY_KEY_CHARS};
use runvoy_core::{
    App, Error, RequestId,
    audit::{self, Entry},
    auth::{Action, Resource},
    execution::{self, ExecutionId, ExecutionRecord, Idempotency, RunContext, RunRequest, Status, ValidRun},
    image::{self, Image, ImageId},
    secret::{self, Secret},
    websocket::token,
};
use serde::{Deserialize, Serialize};

use super::tags;
use crate::{
    error::{self, ApiError, Result},
    extract::{self, Caller, JsonBody},
};

/// The source of a run that its caller describes in full.
const API: &str = "api";

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Run {
    /// The script that `/bin/sh -e` runs. Not blank.
    #[schema(value_type = String, required, pattern = r"\S", example = "echo hello")]
    command: Option<String>,
    /// An image id, or a name with or without tag and registry. The default image if absent.
    image: Option<String>,
    /// The same as `image`.
    #[serde(rename = "imageUri")]
    image_uri: Option<String>,
    /// Environment variables; they win over secrets of the same name.
    env: Option<BTreeMap<String, String>>,
    /// Names of secrets. The value of each is in the variable that its `key_name` names.
    secrets: Option<Vec<String>>,
    /// Seconds after which the command is stopped.
    #[schema(minimum = 0, maximum = 604_800)]
    timeout: Option<u64>,
    /// A repository to clone first; the command runs inside it.
    #[schema(example = "https://github.com/octocat/Hello-World")]
    git_repo: Option<String>,
    /// Branch, tag or commit. By default, the one that the repository's HEAD names.
    git_ref: Option<String>,
    /// Directory of the repository in which the command runs.
    git_path: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Started {
    #[schema(value_type = String)]
    execution_id: ExecutionId,
    /// The page on which a person reads the log.
    log_url: String,
    status: Status,
    command: String,
    #[schema(value_type = String)]
    image_id: ImageId,
    /// The WebSocket on which a program follows the log. Works for 24 hours.
    websocket_url: String,
}

/// Runs a command in a container
///
/// Command, variables and git settings must fit into the 8,192 characters that ECS takes for a task. With a header
/// `Idempotency-Key`, the same request sent again is answered with the first execution, however much later, and starts no second
/// one.
#[utoipa::path(post, path = "/run", operation_id = "run", tag = tags::EXECUTIONS, request_body = Run,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]*$",
        description = "A text that the caller chooses for this one run")),
    responses((status = 202, body = Started, description = "The task is on its way"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
    Extension(id): Extension<RequestId>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Run>,
) -> Result<(StatusCode, Json<Started>)> {
    caller.may(Action::Run, Resource::Account)?;
    let is_given = |text: &String| !text.is_empty();
    let image = match (body.image.filter(is_given), body.image_uri.filter(is_given)) {
        (Some(image), Some(uri)) if image != uri => {
            return Err(Error::invalid("image and imageUri differ, and mean the same")
                .with_hint("send one of them")
                .into());
        }
        (image, uri) => image.or(uri),
    };
    let request = ValidRun::try_from(RunRequest {
        command: body.command.unwrap_or_default(),
        image,
        env: body.env.unwrap_or_default(),
        secrets: body.secrets.unwrap_or_default(),
        timeout: body.timeout,
        git_repo: body.git_repo,
        git_ref: body.git_ref,
        git_path: body.git_path,
    })?;
    let key = idempotency_key(&headers)?;
    let idempotency = key.map(|key| Idempotency::new(&caller.principal, key, &*request)).transpose()?;
    let earlier = match &idempotency {
        Some(idempotency) => idempotency.find_first(&app).await?,
        None => None,
    };
    let (record, entries) = match earlier {
        Some(record) => (record, Vec::new()),
        None => start(&app, &caller, &id, &request, idempotency.as_ref()).await?,
    };
    answer(&app, &caller, &uri, &headers, record, &entries).await
}

/// Writes the entries of a run that has been started, and answers with where to follow it.
pub(super) async fn answer(
    app: &App,
    caller: &Caller,
    uri: &Uri,
    headers: &HeaderMap,
    record: ExecutionRecord,
    entries: &[Entry],
) -> Result<(StatusCode, Json<Started>)> {
    let execution = record.execution;
    let execution_id = execution.execution_id;
    let own_address = extract::own_address(uri);
    let key = idempotency_key(headers)?;
    let principal = &caller.principal;
    let websocket_url = async {
        match (key, extract::api_key(headers)) {
            // A repeated request gets the same answer as the first, with the same token.
            (Some(key), Some(api_key)) => {
                token::issue_again(app, &execution_id, &own_address, principal, &[api_key, key]).await
            }
            _ => token::issue(app, &execution_id, &own_address, principal).await,
        }
    };
    let (websocket_url, ()) = tokio::try_join!(websocket_url, audit::write_all(app, entries))?;
    let web_url = extract::web_url(app, uri);
    let started = Started {
        log_url: format!("{web_url}/logs?execution_id={execution_id}"),
        execution_id,
        status: Status::Starting,
        command: execution.command,
        image_id: execution.image_id,
        websocket_url,
    };
    Ok((StatusCode::ACCEPTED, Json(started)))
}

/// Finds the image and the secrets of a run, checks that the caller may use them, and starts the task. Returns the entries of the audit
/// that are still to be written before the answer.
async fn start(
    app: &App,
    caller: &Caller,
    id: &RequestId,
    request: &ValidRun,
    idempotency: Option<&Idempotency>,
) -> Result<(ExecutionRecord, Vec<Entry>)> {
    let image = image::resolve(app, request.image.as_deref()).await.map_err(|error| error.at_field("image"))?;
    caller
        .may(Action::UseImage, image::resource(&image))
        .map_err(|error| naming(error, "image", image.image_id.as_str()))?;
    let secrets = match request.secrets.as_slice() {
        [] => Vec::new(),
        names => secret::find_all(app, names).await?,
    };
    for secret in &secrets {
        let may = caller.may(Action::UseSecret, secret::resource(secret));
        may.map_err(|error| naming(error, "secret", secret.name.as_str()))?;
    }
    let context = RunContext { principal: &caller.principal, request_id: id, idempotency, source: API };
    start_task(app, caller, context, request, &image, &secrets).await
}

/// Starts the task of a run whose image and secrets may be used. Returns the entries of the audit that are still to be written before the
/// answer.
pub(super) async fn start_task(
    app: &App,
    caller: &Caller,
    context: RunContext<'_>,
    request: &ValidRun,
    image: &Image,
    secrets: &[Secret],
) -> Result<(ExecutionRecord, Vec<Entry>)> {
    let id = context.request_id;
    let from_elsewhere = (context.source != API).then_some(context.source);
    let use_of_image = Entry::done(app, &caller.actor, Action::UseImage, image::resource(image).name());
    let mut entries = vec![use_of_image.detail("source", from_elsewhere)];
    entries.extend(secrets.iter().map(|secret| {
        Entry::done(app, &caller.actor, Action::UseSecret, secret::resource(secret).name())
            .detail("key_name", secret.key_name.clone())
            .detail("source", from_elsewhere)
    }));
    if !secrets.is_empty() {
        // RunTask hands the values over, so their use is written down before it.
        audit::write_all(app, &entries).await?;
        entries.clear();
    }
    let record = execution::start(app, request, image, secrets, context).await?;
    if record.execution.created_by_request_id == *id {
        entries.push(entry_of_run(app, caller, request, &record).detail("source", from_elsewhere));
    } else {
        // An earlier request under the same idempotency key has started it.
        entries.clear();
    }
    let execution_id = &record.execution.execution_id;
    tracing::info!(%execution_id, image_id = %image.image_id, by = %caller.principal.email, "execution started");
    Ok((record, entries))
}

/// A refusal that names which of the things that a run uses is not the caller's to use.
fn naming(error: ApiError, kind: &'static str, name: &str) -> ApiError {
    match error {
        ApiError::Denied(_, denial) => ApiError::Denied(Error::ForbiddenUse { kind, name: name.to_owned() }, denial),
        error => error,
    }
}

/// The audit's entry of a run: names only, and no value of a variable.
fn entry_of_run(app: &App, caller: &Caller, request: &ValidRun, record: &ExecutionRecord) -> Entry {
    let resource = Resource::Execution { id: record.execution.execution_id.as_str(), owners: &[] }.name();
    let asked = request.asked();
    Entry::done(app, &caller.actor, Action::Run, resource)
        .detail("image", record.execution.image_id.to_string())
        .detail("variables", asked.variables)
        .detail("secrets", asked.secrets)
        .detail("git_repo", asked.git_repo)
        .detail("git_ref", asked.git_ref)
        .detail("timeout", asked.timeout)
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(key) = headers.get(headers::IDEMPOTENCY_KEY) else { return Ok(None) };
    match key.to_str() {
        Ok(key)
            if (1..=MAX_IDEMPOTENCY_KEY_CHARS).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(key))
        }
        _ => Err(Error::invalid(format!(
            "Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY_CHARS} visible ASCII characters"
        ))
        .into()),
    }
}
