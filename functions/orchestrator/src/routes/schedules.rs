//! Creates, lists, shows, changes, runs and deletes schedules.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use runvoy_api_types::{
    CreateSchedule, DeletedSchedule, NextTimes, ScheduleAnswer, Schedules, Started, UpdateSchedule,
};
use runvoy_core::{
    App, Error,
    auth::{Action, Resource},
    execution::Idempotency,
    playbook::{self, Prepared},
    run::{self, Submission},
    schedule::{self, NewSchedule, Schedule, ScheduleChange, ScheduledPlaybook, Times, What},
    time,
};
use serde::Deserialize;

use super::{
    page::{self, PageParameters},
    runs, tags,
};
use crate::{
    error::{self, ApiError, Result},
    extract::{Caller, JsonBody, NoFields, Path, Query},
};

/// The times of `GET …/next` where the caller names no number.
const DEFAULT_COUNT: usize = 5;

/// Lists schedules
///
/// Those that the caller may see: developers see their own, and those that are shared with them. When there is more, the header
/// `Link: <…>; rel="next"` names the next page.
#[utoipa::path(get, path = "/schedules", operation_id = "list_schedules", tag = tags::SCHEDULES, params(PageParameters),
    responses((status = 200, body = Schedules, description = "Schedules", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    caller.may(Action::ListSchedules, Resource::Account)?;
    let page = schedule::page(&app, &query.request()?, &caller.principal).await?;
    Ok((query.link("/schedules", page.next.as_ref()), Json(Schedules { schedules: page.items })))
}

/// Creates a schedule
///
/// Its runs have the rights of the user who has said last what it runs. When clocks go forward, a time that does not exist is skipped; when
/// they go back, a time that comes twice runs once.
#[utoipa::path(post, path = "/schedules", operation_id = "create_schedule", tag = tags::SCHEDULES, request_body = CreateSchedule,
    responses((status = 201, body = ScheduleAnswer, description = "The schedule"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateSchedule>,
) -> Result<(StatusCode, Json<ScheduleAnswer>)> {
    caller.may(Action::CreateSchedule, Resource::Account)?;
    let CreateSchedule { name, cron, rate, at, timezone, run, playbook, on_missed, enabled } = body;
    let what = What::of(run, playbook)?;
    check(&app, &caller, &what).await?;
    let new = NewSchedule {
        name: name.parse()?,
        times: times(cron, rate, at, timezone),
        what,
        on_missed: on_missed.unwrap_or_default(),
        enabled: enabled.unwrap_or(true),
        of_playbook: None,
    };
    let schedule = schedule::create(&app, new, &caller.principal.email, &caller.actor).await?;
    Ok((StatusCode::CREATED, Json(ScheduleAnswer { schedule })))
}

/// An empty text means the same as an absent one.
fn times(cron: Option<String>, rate: Option<String>, at: Option<String>, timezone: Option<String>) -> Times {
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    Times { cron: given(cron), rate: given(rate), at: given(at), timezone: given(timezone) }
}

/// Checks the run or the playbook of a schedule, and that the caller may do now what it will do.
async fn check(app: &App, caller: &Caller, what: &What) -> Result<()> {
    let run = match what {
        What::Run(run) => run,
        What::Playbook(playbook) => return prepared(app, caller, playbook).await.map(drop),
    };
    let request = schedule::check_run(run)?;
    caller.may(Action::Run, Resource::Account)?;
    caller.may_name(request.image.as_deref(), &request.secrets)?;
    let resources = run::gather(app, &request).await.map_err(|error| error.below("run"))?;
    resources.check(&caller.principal).map_err(|error| caller.denied_use(error))?;
    Ok(resources.check_kept(app, &request, &caller.principal).map_err(|error| error.below("run"))?)
}

/// The run of a schedule's playbook with the caller's right to run it. The audit keeps a refusal.
async fn prepared(app: &App, caller: &Caller, scheduled: &ScheduledPlaybook) -> Result<Prepared> {
    if let Ok(found) = playbook::find(app, &scheduled.name).await {
        caller.may_named(Action::RunPlaybook, &scheduled.name, Ok(found), playbook::resource).map_err(|refused| {
            match refused {
                ApiError::Denied(error, denial) => ApiError::Denied(schedule::unknown_playbook(error), denial),
                refused => refused,
            }
        })?;
    }
    schedule::prepare_playbook(app, scheduled, &caller.principal).await.map_err(|error| caller.denied_use(error))
}

/// The schedule that a path names, if the caller may do this to it.
pub(super) async fn permitted(app: &App, caller: &Caller, name: &str, action: Action) -> Result<Schedule> {
    caller.may_named(action, name, schedule::find(app, name).await, schedule::resource)
}

/// Shows one schedule
#[utoipa::path(get, path = "/schedules/{name}", operation_id = "show_schedule", tag = tags::SCHEDULES,
    params(("name" = String, Path, description = "Name of the schedule")),
    responses((status = 200, body = ScheduleAnswer, description = "The schedule"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn show(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<ScheduleAnswer>> {
    let schedule = permitted(&app, &caller, &name, Action::ReadSchedule).await?;
    Ok(Json(ScheduleAnswer { schedule }))
}

/// Changes, pauses or resumes a schedule; what is absent stays as it is
#[utoipa::path(put, path = "/schedules/{name}", operation_id = "update_schedule", tag = tags::SCHEDULES, request_body = UpdateSchedule,
    params(("name" = String, Path, description = "Name of the schedule")),
    responses((status = 200, body = ScheduleAnswer, description = "The schedule after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<UpdateSchedule>,
) -> Result<Json<ScheduleAnswer>> {
    let found = permitted(&app, &caller, &name, Action::UpdateSchedule).await?;
    let UpdateSchedule { cron, rate, at, timezone, run, playbook, on_missed, enabled } = body;
    let what = match (run, playbook) {
        (None, None) => None,
        (run, playbook) => Some(What::of(run, playbook)?),
    };
    if let Some(what) = &what {
        check(&app, &caller, what).await?;
    }
    let change = ScheduleChange { times: times(cron, rate, at, timezone), what, on_missed, enabled };
    let email = &caller.principal.email;
    let schedule = schedule::update(&app, found.name.as_str(), change, email, &caller.actor).await?;
    Ok(Json(ScheduleAnswer { schedule }))
}

/// Deletes a schedule
#[utoipa::path(delete, path = "/schedules/{name}", operation_id = "delete_schedule", tag = tags::SCHEDULES,
    params(("name" = String, Path, description = "Name of the schedule")),
    responses((status = 200, body = DeletedSchedule, description = "It is gone"), error::Malformed, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn delete(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<DeletedSchedule>> {
    let found = permitted(&app, &caller, &name, Action::DeleteSchedule).await?;
    schedule::delete(&app, found.name.as_str(), &caller.actor).await?;
    Ok(Json(DeletedSchedule { name, message: "Schedule deleted successfully".to_owned() }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NextParameters {
    /// 1 to 500; five if absent.
    #[param(pattern = "^[0-9]{0,9}$")]
    count: Option<String>,
}

/// Lists the next times of a schedule, also of one that is paused
#[utoipa::path(get, path = "/schedules/{name}/next", operation_id = "next_times", tag = tags::SCHEDULES,
    params(("name" = String, Path, description = "Name of the schedule"), NextParameters),
    responses((status = 200, body = NextTimes, description = "The next times"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn next(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    Query(query): Query<NextParameters>,
) -> Result<Json<NextTimes>> {
    let found = permitted(&app, &caller, &name, Action::ReadSchedule).await?;
    let count = match query.count.as_deref() {
        None | Some("" | "0") => DEFAULT_COUNT,
        Some(count) => {
            let number =
                page::number(count).ok_or_else(|| Error::invalid("count must be a number").at_field("count"))?;
            number.try_into().unwrap_or(usize::MAX)
        }
    };
    let times = schedule::next(&app, found.name.as_str(), count).await?;
    Ok(Json(NextTimes { times: times.into_iter().map(time::rfc3339).collect() }))
}

/// Runs the run, or the playbook, of a schedule now
///
/// With the rights of the caller, as `POST /run` does, and whether the schedule is paused or not. Its times stay as they are.
#[utoipa::path(post, path = "/schedules/{name}/run", operation_id = "run_schedule", tag = tags::SCHEDULES,
    params(("name" = String, Path, description = "Name of the schedule"),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]*$",
        description = "A text that the caller chooses for this one run")),
    responses((status = 202, body = Started, description = "The task is on its way"), error::Malformed, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    uri: Uri,
    headers: HeaderMap,
    _: JsonBody<NoFields>,
) -> Result<(StatusCode, Json<Started>)> {
    caller.may(Action::Run, Resource::Account)?;
    let found = permitted(&app, &caller, &name, Action::RunSchedule).await?;
    let source = format!("schedule:{}", found.name);
    let follow = runs::Follow::new(&caller, &uri, &headers)?;
    let key = runs::idempotency_key(&headers)?;
    if let Some(playbook) = &found.playbook {
        let idempotency = key.map(|key| Idempotency::new(&caller.principal, key, &(&source, playbook))).transpose()?;
        if let Some(idempotency) = &idempotency
            && let Some(record) = idempotency.find_first(&app).await?
        {
            let websocket_url = follow.websocket_url(&app, record.execution.execution_id.clone()).await?;
            return Ok(follow.answer(&app, record, websocket_url).await);
        }
        let prepared = prepared(&app, &caller, playbook).await?;
        let submission = Submission {
            source: &source,
            playbook_version: Some(prepared.version()),
            ..prepared.submission(&caller.principal, &caller.actor, idempotency.as_ref())
        };
        let beside = |id| follow.websocket_url(&app, id);
        let (record, websocket_url) =
            run::submit_beside(&app, submission, &prepared.image, &prepared.secrets, beside).await?;
        return Ok(follow.answer(&app, record, websocket_url).await);
    }
    let Some(scheduled) = &found.run else { return Err(Error::internal("a schedule has nothing to run").into()) };
    let request = schedule::check_run(scheduled)?;
    let idempotency = key.map(|key| Idempotency::new(&caller.principal, key, &(&source, &*request))).transpose()?;
    if let Some(idempotency) = &idempotency
        && let Some(record) = idempotency.find_first(&app).await?
    {
        let websocket_url = follow.websocket_url(&app, record.execution.execution_id.clone()).await?;
        return Ok(follow.answer(&app, record, websocket_url).await);
    }
    caller.may_name(request.image.as_deref(), &request.secrets)?;
    let resources = run::gather(&app, &request).await?;
    runs::submit(&app, &caller, &follow, (&request, &source, idempotency.as_ref()), &resources).await
}
