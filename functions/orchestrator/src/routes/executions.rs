//! Lists, shows and stops executions.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use runvoy_api_types::{
    Approval, ExecutionInFull, ExecutionStatus, Killed, Problem, headers, limits::DEFAULT_EXECUTIONS_IN_A_PAGE,
    time::rfc3339,
};
use runvoy_core::{
    App, Email, Error, approval,
    auth::{Action, Resource, policy},
    execution::{
        self, Execution, ExecutionRecord, KillOutcome, Status,
        list::{ExecutionsPage, Filter},
    },
    lock, run,
    websocket::fan_out,
};
use serde::Deserialize;

use super::{page, tags};
use crate::{
    error::{self, ApiError, Result},
    extract::{Caller, Path, Presented, Query},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// The largest number of items; 10 by default, 0 for as many as one answer carries.
    #[param(pattern = "^[0-9]{0,9}$")]
    limit: Option<String>,
    /// Only executions with one of these statuses, separated by commas.
    #[param(
        example = "RUNNING,FAILED",
        pattern = "^$|^(WAITING|QUEUED|STARTING|RUNNING|TERMINATING|SUCCEEDED|FAILED|STOPPED)(,(WAITING|QUEUED|STARTING|RUNNING|TERMINATING|SUCCEEDED|FAILED|STOPPED))*$"
    )]
    status: Option<String>,
    /// Only executions of this user: an email, or `me`.
    user: Option<String>,
    /// The same as `user`.
    created_by: Option<String>,
    /// Only executions in this image: an id, or a name with or without tag.
    image: Option<String>,
    /// Only executions with this source, such as `api`.
    source: Option<String>,
    /// Only executions of this playbook.
    playbook: Option<String>,
    /// Only executions of this schedule.
    schedule: Option<String>,
    /// Only executions that hold this lock, held it, or wait for it.
    lock: Option<String>,
    /// Only executions that were started at this time or later: RFC 3339, or seconds since 1970.
    since: Option<String>,
    /// Only executions that were started at this time or earlier.
    until: Option<String>,
    /// Only executions whose command has all of these words, in any case.
    q: Option<String>,
    /// The same as `q`.
    command: Option<String>,
    /// `me` for only those that wait for an approval which the caller may give. Other parameters have no effect then.
    #[param(pattern = "^(me)?$")]
    waiting_for: Option<String>,
    /// From the `Link` header of the previous page.
    cursor: Option<String>,
}

impl ListParameters {
    /// Tells whether the list is that of the caller's own executions.
    fn names_caller(&self) -> bool {
        [&self.user, &self.created_by].into_iter().flatten().any(|user| user == "me")
    }

    /// # Errors
    /// 400 for a parameter that is none.
    fn page(&self, me: Option<&Email>) -> Result<ExecutionsPage> {
        Ok(ExecutionsPage {
            limit: page::limit(self.limit.as_deref())?.unwrap_or(DEFAULT_EXECUTIONS_IN_A_PAGE),
            statuses: match self.status.as_deref() {
                None | Some("") => Vec::new(),
                Some(list) => {
                    list.split(',').map(|status| status.trim().parse()).collect::<std::result::Result<_, Problem>>()?
                }
            },
            filter: self.filter(me)?,
            cursor: page::cursor(self.cursor.as_deref())?,
        })
    }

    /// # Errors
    /// 400 for an email or a time that is none.
    fn filter(&self, me: Option<&Email>) -> Result<Filter> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let created_by = match given(&self.user).or_else(|| given(&self.created_by)) {
            None => None,
            Some(name) if name == "me" => me.cloned(),
            Some(email) => Some(Email::parse(&email).map_err(|problem| Error::from(problem).at_field("user"))?),
        };
        let words = [given(&self.q), given(&self.command)].into_iter().flatten();
        Ok(Filter {
            created_by,
            image: given(&self.image),
            source: given(&self.source).or_else(|| given(&self.schedule).map(|name| format!("schedule:{name}"))),
            lock: given(&self.lock),
            playbook: given(&self.playbook),
            since: time_parameter("since", given(&self.since))?,
            until: time_parameter("until", given(&self.until))?,
            words: words.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect(),
        })
    }

    /// The parameters that the next page has too.
    fn kept(&self) -> [(&'static str, Option<&str>); 12] {
        [
            ("status", self.status.as_deref()),
            ("user", self.user.as_deref()),
            ("created_by", self.created_by.as_deref()),
            ("image", self.image.as_deref()),
            ("source", self.source.as_deref()),
            ("playbook", self.playbook.as_deref()),
            ("schedule", self.schedule.as_deref()),
            ("lock", self.lock.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("q", self.q.as_deref()),
            ("command", self.command.as_deref()),
        ]
    }
}

/// A time as RFC 3339, or as seconds since 1970.
fn time_parameter(name: &'static str, text: Option<String>) -> Result<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let seconds = || text.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    match text.parse::<Timestamp>().ok().or_else(seconds) {
        Some(time) => Ok(Some(time)),
        None => Err(Error::invalid(format!("invalid {name} parameter"))
            .with_hint("send a time as RFC 3339, such as 2026-01-02T03:04:05Z, or as seconds since 1970")
            .at_field(name)
            .into()),
    }
}

/// Lists executions, newest first
///
/// When there is more, the header `Link: <…>; rel="next"` names the next page. A page costs the same however many
/// executions there are. With a filter, a page ends after a second of work, with nothing found too, and `Link` goes on from there.
#[utoipa::path(get, path = "/executions", operation_id = "list_executions", tag = tags::EXECUTIONS, params(ListParameters),
    responses(
        (status = 200, body = Vec<Execution>, description = "A page of executions", headers(("Link" = Option<String>, description = "The next page, if there is one"), ("X-Searched-Since" = Option<String>, description = "Where the next page begins: the start of the last execution that this one has looked at"))),
        error::Malformed, error::Refused, error::Unavailable,
    ))]
pub(super) async fn list(
    State(app): State<App>,
    presented: Presented,
    Query(query): Query<ListParameters>,
) -> Result<Response> {
    match query.waiting_for.as_deref() {
        None | Some("") => {}
        Some("me") => {
            // The other parameters have no effect, and are checked nevertheless.
            query.page(None)?;
            return waiting_for(&app, &presented.caller(&app).await?).await;
        }
        Some(_) => {
            return Err(Error::invalid("waiting_for must be me, or left out").at_field("waiting_for").into());
        }
    }
    let read = async |me: Option<&Email>, otherwise_of: Option<&Email>| {
        let mut wanted = query.page(me)?;
        if wanted.filter.created_by.is_none() {
            wanted.filter.created_by = otherwise_of.cloned();
        }
        let (executions, next) = execution::list::page(&app, &wanted).await?;
        Ok::<_, ApiError>((wanted, executions, next))
    };
    let (caller, mut found) = if query.names_caller() {
        let caller = presented.caller(&app).await?;
        let me = caller.principal.email.clone();
        (caller, read(Some(&me), None).await)
    } else {
        presented.and(&app, read(None, None)).await?
    };
    if policy::authorize(&caller.principal, Action::ListExecutions, Resource::Account).is_err() {
        // Everyone may list their own, and without a filter sees those.
        let me = &caller.principal.email;
        let filter = query.filter(Some(me))?;
        let user = filter.created_by.as_ref().unwrap_or(me);
        caller.may(Action::ListExecutions, Resource::ExecutionsOf { user, playbook: filter.playbook.as_deref() })?;
        if filter.created_by.is_none() {
            found = read(Some(me), Some(me)).await;
        }
    }
    let (wanted, executions, next) = found?;
    Ok(match next {
        None => Json(executions).into_response(),
        Some(cursor) => {
            let limit = wanted.limit.to_string();
            let mut parameters = vec![("limit", Some(limit.as_str()))];
            parameters.extend(query.kept());
            let link = page::link("/executions", &parameters, &cursor);
            let searched = execution::list::searched_since(&cursor);
            let name = HeaderName::from_static(headers::SEARCHED_SINCE);
            match searched {
                Some(since) => (link, [(name, rfc3339(since))], Json(executions)).into_response(),
                None => (link, Json(executions)).into_response(),
            }
        }
    })
}

/// The executions that wait for an approval which the caller may give and has not given, newest first.
async fn waiting_for(app: &App, caller: &Caller) -> Result<Response> {
    let wanted = ExecutionsPage { statuses: vec![Status::Waiting], ..ExecutionsPage::default() };
    let (mut executions, _) = execution::list::page(app, &wanted).await?;
    executions.retain(|execution| {
        let has_decided = |approval: &Approval| approval.given.iter().any(|one| one.by == caller.principal.email);
        let is_open = execution.approval.as_ref().is_some_and(|one| app.now() < one.expires_at && !has_decided(one));
        is_open
            && policy::authorize(&caller.principal, Action::ApproveExecution, execution::resource(execution)).is_ok()
    });
    Ok(Json(executions).into_response())
}

/// Shows an execution
///
/// For callers who may list executions, and for its owners. Owners, operators and admins also see the request that it was asked with.
#[utoipa::path(get, path = "/executions/{id}", operation_id = "show_execution", tag = tags::EXECUTIONS,
    params(("id" = String, Path, description = "Id of the execution")),
    responses((status = 200, body = ExecutionInFull, description = "The execution, as the list has it"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn show(
    State(app): State<App>,
    presented: Presented,
    Path(id): Path,
) -> Result<Json<ExecutionInFull>> {
    let (caller, found) = presented.and(&app, find(&app, &id)).await?;
    let record = if caller.would_be_allowed(Action::ListExecutions, Resource::Account) {
        found?
    } else {
        caller.may_named(Action::ReadExecution, &id, found, |found| execution::resource(&found.execution))?
    };
    let record = approval::unless_expired(&app, record).await?;
    let request = if caller.would_be_allowed(Action::ReadExecution, execution::resource(&record.execution)) {
        Some(execution::request::again(&app, &record).await?)
    } else {
        None
    };
    let queue_position = match record.line() {
        Some(lock) => lock::place_in_line(&app, lock, &record.execution.execution_id).await?,
        None => None,
    };
    Ok(Json(ExecutionInFull { execution: record.execution, request, queue_position }))
}

/// The execution that a path names.
pub(super) async fn find(app: &App, id: &str) -> runvoy_core::Result<ExecutionRecord> {
    execution::get(app, &id.parse()?).await
}

/// The execution that a path names, and the caller, if the caller may do this to it.
pub(super) async fn permitted(
    app: &App,
    presented: Presented,
    id: &str,
    action: Action,
) -> Result<(Caller, ExecutionRecord)> {
    let (caller, found) = presented.and(app, find(app, id)).await?;
    permitted_to(app, caller, id, found, action).await
}

/// The execution as it is now, and the caller, if the caller may do this to it.
pub(super) async fn permitted_to(
    app: &App,
    caller: Caller,
    id: &str,
    found: runvoy_core::Result<ExecutionRecord>,
    action: Action,
) -> Result<(Caller, ExecutionRecord)> {
    let record = caller.may_named(action, id, found, |found| execution::resource(&found.execution))?;
    let record = approval::unless_expired(app, record).await?;
    Ok((caller, record))
}

/// Shows the status of an execution
#[utoipa::path(get, path = "/executions/{id}/status", operation_id = "execution_status", tag = tags::EXECUTIONS,
    params(("id" = String, Path, description = "Id of the execution")),
    responses((status = 200, body = ExecutionStatus, description = "Its present status"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn status(
    State(app): State<App>,
    presented: Presented,
    Path(id): Path,
) -> Result<Json<ExecutionStatus>> {
    let (_, ExecutionRecord { execution, .. }) = permitted(&app, presented, &id, Action::ReadStatus).await?;
    Ok(Json(ExecutionStatus {
        execution_id: execution.execution_id,
        status: execution.status,
        command: execution.command,
        image_id: execution.image_id,
        started_at: execution.started_at,
        exit_code: execution.exit_code,
        completed_at: execution.completed_at,
        stopped_reason: execution.stopped_reason,
        reason: execution.reason,
        ending: execution.ending,
    }))
}

/// Stops an execution
///
/// The command gets SIGTERM, and SIGKILL when it does not end.
#[utoipa::path(delete, path = "/executions/{id}", operation_id = "kill_execution", tag = tags::EXECUTIONS,
    params(("id" = String, Path, description = "Id of the execution")),
    responses(
        (status = 200, body = Killed, description = "It is being stopped"),
        (status = 204, description = "It has ended, or is being stopped already"),
        error::Malformed, error::Refused, error::NotFound, error::Unavailable,
    ))]
pub(super) async fn kill(State(app): State<App>, presented: Presented, Path(id): Path) -> Result<Response> {
    let (caller, record) = permitted(&app, presented, &id, Action::KillExecution).await?;
    let record = match run::kill(&app, &record, &caller.principal, &caller.actor).await? {
        KillOutcome::Initiated(record) => record,
        KillOutcome::Ended(record) => {
            tracing::info!(execution_id = id, by = %caller.principal.email, "execution left its queue");
            let execution_id = record.execution.execution_id;
            return Ok(Json(Killed { execution_id, message: "Execution stopped before it started".to_owned() })
                .into_response());
        }
        KillOutcome::NothingToStop => return Ok(StatusCode::NO_CONTENT.into_response()),
    };
    fan_out::notify(&app, &record.execution.execution_id).await;
    tracing::info!(execution_id = id, by = %caller.principal.email, "execution termination initiated");
    let execution_id = record.execution.execution_id;
    Ok(Json(Killed { execution_id, message: "Execution termination initiated".to_owned() }).into_response())
}
