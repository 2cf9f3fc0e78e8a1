//! Starts runs.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use runvoy_api_types::{NotAnExecutionId, OneOrMore, Run, Started, headers, limits::MAX_IDEMPOTENCY_KEY_CHARS};
use runvoy_core::{
    App, Error,
    auth::{Action, Principal, Resource},
    execution::{self, ExecutionId, ExecutionRecord, Idempotency, RunRequest, Status, ValidRun},
    lock,
    run::{self, Submission},
    websocket::token,
};

use super::tags;
use crate::{
    error::{self, Result},
    extract::{self, Caller, JsonBody, Presented},
};

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
    presented: Presented,
    uri: Uri,
    headers: HeaderMap,
    body: Result<JsonBody<Run>>,
) -> Result<(StatusCode, Json<Started>)> {
    let request = body.and_then(|JsonBody(body)| valid(body));
    let key = idempotency_key(&headers);
    let (caller, gathered) = match &key {
        Ok(Some(_)) => (presented.caller(&app).await?, None),
        _ => {
            // The image and the secrets are read while the key is looked up. Who may use them is decided afterwards.
            let gather = async {
                match &request {
                    Ok(request) => Some(run::gather(&app, request).await),
                    Err(_) => None,
                }
            };
            presented.and(&app, gather).await?
        }
    };
    caller.may(Action::Run, Resource::Account)?;
    let (request, key) = (request?, key?);
    caller.may_name(request.image.as_deref(), &request.secrets)?;
    let follow = Follow::new(&caller, &uri, &headers)?;
    let idempotency = key.map(|key| Idempotency::new(&caller.principal, key, &*request)).transpose()?;
    let resources = match (&idempotency, gathered) {
        (None, Some(gathered)) => gathered,
        (None, None) => run::gather(&app, &request).await,
        (Some(idempotency), _) => {
            let (earlier, gathered) = tokio::join!(idempotency.find_first(&app), run::gather(&app, &request));
            if let Some(record) = earlier? {
                let websocket_url = follow.websocket_url(&app, record.execution.execution_id.clone()).await?;
                return Ok(follow.answer(&app, record, websocket_url).await);
            }
            gathered
        }
    }?;
    // Boxed, since futures within futures take more of a thread's stack than it has.
    Box::pin(submit(&app, &caller, &follow, (&request, execution::API, idempotency.as_ref()), &resources)).await
}

/// Runs what the caller asks for with the caller's own rights: a request, from this source.
pub(super) async fn submit(
    app: &App,
    caller: &Caller,
    follow: &Follow<'_>,
    (request, source, idempotency): (&ValidRun, &str, Option<&Idempotency>),
    resources: &run::Resources,
) -> Result<(StatusCode, Json<Started>)> {
    resources.check(&caller.principal).map_err(|error| caller.denied_use(error))?;
    let submission = Submission {
        request,
        principal: &caller.principal,
        actor: &caller.actor,
        source,
        idempotency,
        rights_of: None,
        playbook_version: None,
        approvals: None,
    };
    let beside = |id| follow.websocket_url(app, id);
    let (record, websocket_url) =
        run::submit_beside(app, submission, &resources.image, &resources.secrets, beside).await?;
    Ok(follow.answer(app, record, websocket_url).await)
}

/// The run that a body asks for.
fn valid(body: Run) -> Result<ValidRun> {
    let is_given = |text: &String| !text.is_empty();
    let image = match (body.image.filter(is_given), body.image_uri.filter(is_given)) {
        (Some(image), Some(uri)) if image != uri => {
            return Err(Error::invalid("image and imageUri differ, and mean the same")
                .with_hint("send one of them")
                .into());
        }
        (image, uri) => image.or(uri),
    };
    Ok(ValidRun::try_from(RunRequest {
        command: body.command.unwrap_or_default(),
        image,
        env: body.env.unwrap_or_default(),
        secrets: body.secrets.unwrap_or_default(),
        timeout: body.timeout,
        git_repo: body.git_repo,
        git_ref: body.git_ref,
        git_path: body.git_path,
        cpu: body.cpu,
        memory: body.memory,
        disk: body.disk,
        spot: body.spot.unwrap_or_default(),
        lock: body.lock.map(OneOrMore::list).unwrap_or_default(),
        slots: body.slots,
        on_conflict: body.on_conflict,
        after: ids(body.after.unwrap_or_default())?,
        run_if: body.run_if,
        deadline: body.deadline,
        retry: body.retry,
    })?)
}

/// # Errors
/// 400 for a text that no execution can have for an id.
fn ids(texts: Vec<String>) -> Result<Vec<ExecutionId>> {
    let id = |(at, text): (usize, String)| {
        text.parse().map_err(|error: NotAnExecutionId| {
            Error::invalid(error.to_string()).at_field(format!("after[{at}]")).into()
        })
    };
    texts.into_iter().enumerate().map(id).collect()
}

/// The parts of a request that the answer to a started run needs: where the caller follows the run.
pub(super) struct Follow<'a> {
    principal: &'a Principal,
    own_address: String,
    web_uri: &'a Uri,
    /// The API key and the idempotency key of a request that may be repeated. It gets the same answer as the first, with the same token.
    repeated: Option<[&'a str; 2]>,
}

impl<'a> Follow<'a> {
    /// # Errors
    /// 400 for an idempotency key that is none.
    pub(super) fn new(caller: &'a Caller, uri: &'a Uri, headers: &'a HeaderMap) -> Result<Self> {
        let repeated = extract::api_key(headers).zip(idempotency_key(headers)?).map(<[&str; 2]>::from);
        Ok(Self { principal: &caller.principal, own_address: extract::own_address(uri), web_uri: uri, repeated })
    }

    /// The URL of the WebSocket, with a new token.
    pub(super) async fn websocket_url(&self, app: &App, id: ExecutionId) -> runvoy_core::Result<String> {
        match &self.repeated {
            Some(keys) => token::issue_again(app, &id, &self.own_address, self.principal, keys).await,
            None => token::issue(app, &id, &self.own_address, self.principal).await,
        }
    }

    pub(super) async fn answer(
        &self,
        app: &App,
        record: ExecutionRecord,
        websocket_url: String,
    ) -> (StatusCode, Json<Started>) {
        let has_task = record.task().is_some();
        let id = &record.execution.execution_id;
        let queue_position = match record.line().filter(|_| record.execution.status == Status::Queued) {
            // The run is taken, whether its place can be told or not.
            Some(lock) => lock::place_in_line(app, lock, id).await.unwrap_or_else(|error| {
                tracing::warn!(execution_id = %id, error = %error.chain(), "the place in line is not told");
                None
            }),
            None => None,
        };
        let execution = record.execution;
        let (web_url, execution_id) = (extract::web_url(app, self.web_uri), execution.execution_id);
        // A repeated request is answered as the first one was.
        let status = if has_task { Status::Starting } else { execution.status };
        let started = Started {
            log_url: format!("{web_url}/logs?execution_id={execution_id}"),
            execution_id,
            status,
            command: execution.command,
            image_id: execution.image_id,
            websocket_url,
            queue_position,
        };
        (StatusCode::ACCEPTED, Json(started))
    }
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
