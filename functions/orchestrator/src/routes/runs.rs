//! Starts runs.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use runvoy_api_types::{OnConflict, headers, limits::MAX_IDEMPOTENCY_KEY_CHARS};
use runvoy_core::{
    App, Error,
    audit::{self, Entry},
    auth::{Action, Resource},
    execution::{self, ExecutionId, ExecutionRecord, Idempotency, RunRequest, Status, ValidRun},
    image::ImageId,
    run::{self, Submission},
    websocket::token,
};
use serde::{Deserialize, Serialize};

use super::tags;
use crate::{
    error::{self, Result},
    extract::{self, Caller, JsonBody},
};

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
    /// A lock that the run holds until it ends, or several: all or none.
    #[schema(value_type = Option<OneOrMore>)]
    lock: Option<OneOrMore>,
    /// The number of runs that may hold the lock at the same time; 1 by default. The first run with a lock sets it, and a different number later
    /// is a conflict.
    #[schema(minimum = 1, maximum = 1000)]
    slots: Option<u32>,
    /// What becomes of the run if it cannot start at once. By default, it is refused. With `queue` it waits as `QUEUED`.
    on_conflict: Option<OnConflict>,
}

/// One name, or a list of names.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::More(names) => names,
        }
    }
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
    responses((status = 202, body = Started, description = "The task is on its way, or the run waits as `QUEUED` because it asked for that"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
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
        lock: body.lock.map(OneOrMore::list).unwrap_or_default(),
        slots: body.slots,
        on_conflict: body.on_conflict,
    })?;
    let key = idempotency_key(&headers)?;
    let idempotency = key.map(|key| Idempotency::new(&caller.principal, key, &*request)).transpose()?;
    let submission = Submission {
        request: &request,
        principal: &caller.principal,
        actor: &caller.actor,
        source: execution::API,
        idempotency: idempotency.as_ref(),
        rights_of: None,
        approvals: None,
    };
    let (record, entries) = run::submit(&app, submission).await.map_err(|error| caller.denied_use(error))?;
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
    // A repeated request is answered as the first one was.
    let status = if execution.status.is_without_task() { execution.status } else { Status::Starting };
    let started = Started {
        log_url: format!("{web_url}/logs?execution_id={execution_id}"),
        execution_id,
        status,
        command: execution.command,
        image_id: execution.image_id,
        websocket_url,
    };
    Ok((StatusCode::ACCEPTED, Json(started)))
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
