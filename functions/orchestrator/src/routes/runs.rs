use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use runvoy_core::{
    App, Error,
    auth::{Action, Resource},
    execution::{
        ExecutionId, ExecutionRecord, Idempotency, Status,
        run::{self, Origin, RunRequest},
    },
    image, secret,
    websocket::token,
};
use serde::{Deserialize, Serialize};

use super::tags;
use crate::{
    answer::{self, Result},
    request::{self, Caller, JsonBody, RequestId},
};

#[derive(Deserialize, utoipa::ToSchema)]
pub struct Run {
    /// What `/bin/sh -c` runs. Not blank.
    #[schema(value_type = String, required, pattern = r"\S", example = "echo hello")]
    command: Option<String>,
    /// A full image id, or a name with or without tag and registry. Absent: the default image.
    image: Option<String>,
    /// The same as `image`.
    #[serde(rename = "imageUri")]
    image_uri: Option<String>,
    /// Environment variables; they win over secrets of the same name.
    env: Option<BTreeMap<String, String>>,
    /// Names of secrets; each appears under its `key_name`.
    secrets: Option<Vec<String>>,
    /// Seconds after which the command is stopped.
    #[schema(minimum = 1, maximum = 604_800)]
    timeout: Option<u64>,
    /// A repository to clone first; the command runs inside it.
    #[schema(example = "https://github.com/octocat/Hello-World")]
    git_repo: Option<String>,
    /// Branch, tag or commit; by default what the repository's HEAD names.
    git_ref: Option<String>,
    /// Directory of the repository in which the command runs.
    git_path: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Started {
    #[schema(value_type = String)]
    execution_id: ExecutionId,
    /// Where a person reads the log.
    log_url: String,
    status: Status,
    command: String,
    image_id: String,
    /// Where a program follows the log, live; works for 24 hours.
    websocket_url: String,
}

/// Runs a command in a container
///
/// All text that a request carries (command, variables, secrets' names, git) must fit in the 8,192 characters that ECS takes
/// for a task. With a header `Idempotency-Key` the same request again gets the first answer, however much later, and never a
/// second run.
#[utoipa::path(post, path = "/run", operation_id = "run", tag = tags::EXECUTIONS, request_body = Run,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]*$",
        description = "Any text that stands for this one run of the caller's")),
    responses((status = 202, body = Started, description = "The task is on its way"), answer::Malformed, answer::TooLarge, answer::Refused, answer::Clash, answer::Outage))]
pub async fn run(
    State(app): State<App>,
    caller: Caller,
    id: RequestId,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Run>,
) -> Result<(StatusCode, Json<Started>)> {
    caller.may(Action::Run, Resource::Account)?;
    let image = match (body.image, body.image_uri) {
        (Some(image), Some(uri)) if image != uri => {
            return Err(Error::invalid("image and imageUri mean the same, and differ; send one of them").into());
        }
        (image, uri) => image.or(uri),
    };
    let request = RunRequest {
        command: body.command.unwrap_or_default(),
        image,
        env: body.env.unwrap_or_default(),
        secrets: body.secrets.unwrap_or_default(),
        timeout: body.timeout,
        git_repo: body.git_repo,
        git_ref: body.git_ref,
        git_path: body.git_path,
    };
    request.check()?;
    let key = idempotency_key(&headers)?;
    let idempotency = key.map(|key| Idempotency::new(&caller.principal, key, &request)).transpose()?;
    let earlier = match &idempotency {
        Some(idempotency) => idempotency.first(&app).await?,
        None => None,
    };
    let record = match earlier {
        Some(record) => record,
        None => start(&app, &caller, &id, &request, idempotency.as_ref()).await?,
    };

    let execution = record.execution;
    let execution_id = execution.execution_id;
    let websocket_url = match (key, request::api_key(&headers)) {
        // The same answer as the first time, its token included.
        (Some(key), Some(api_key)) => token::issue_again(&app, &execution_id, &[api_key, key]).await?,
        _ => token::issue(&app, &execution_id).await?,
    };
    let started = Started {
        log_url: format!("{}?execution_id={execution_id}", app.config.web_url),
        execution_id,
        status: Status::Starting,
        command: execution.command,
        image_id: execution.image_id,
        websocket_url,
    };
    Ok((StatusCode::ACCEPTED, Json(started)))
}

/// Finds what a run needs, sees that the caller may use it, and starts the task.
async fn start(
    app: &App,
    caller: &Caller,
    id: &RequestId,
    request: &RunRequest,
    idempotency: Option<&Idempotency>,
) -> Result<ExecutionRecord> {
    let image = image::resolve(app, request.image.as_deref()).await?;
    caller.may(Action::UseImage, Resource::Image { id: &image.image_id, owners: &image.owned_by })?;
    let secrets = match request.secrets.as_slice() {
        [] => Vec::new(),
        names => secret::find_all(app, names).await?,
    };
    for secret in &secrets {
        caller.may(Action::UseSecret, Resource::Secret { name: &secret.name, owners: &secret.owned_by })?;
    }

    let origin = Origin { principal: &caller.principal, request_id: &id.0, idempotency };
    let record = run::start(app, request, &image, &secrets, origin).await?;
    let execution_id = &record.execution.execution_id;
    tracing::info!(%execution_id, image_id = image.image_id, by = %caller.principal.email, "execution started");
    Ok(record)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => Ok(Some(key)),
        _ => Err(Error::invalid("Idempotency-Key must be 1 to 255 visible ASCII characters").into()),
    }
}
