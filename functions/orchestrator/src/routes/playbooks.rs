//! Publishes, shows, runs and deletes playbooks.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    response::IntoResponse,
};
use runvoy_api_types::{
    CheckPlaybook, CheckedPlaybook, DeletedPlaybook, Owners, PlaybookAnswer, PlaybookVersions, Playbooks, Problem,
    RunPlaybook, SetOwners, SetSharing, Sharing, Started, playbook::from_yaml,
};
use runvoy_core::{
    App, Error,
    auth::{Action, Resource, policy},
    execution::Idempotency,
    playbook::{self, Playbook, PlaybookName, PlaybookSummary, Publication, Published, PublishedPlaybook},
    publication, run, user,
};
use serde::Deserialize;

use super::{
    owners::checked,
    page::{self, PageParameters},
    runs, tags,
};
use crate::{
    error::{self, ApiError, Result},
    extract::{Caller, JsonBody, Path, Query},
};

/// Lists the playbooks that the caller may see
///
/// When there is more, the header `Link: <…>; rel="next"` names the next page.
#[utoipa::path(get, path = "/playbooks", operation_id = "list_playbooks", tag = tags::PLAYBOOKS, params(PageParameters),
    responses((status = 200, body = Playbooks, description = "Playbooks, by name", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    caller.may(Action::ListPlaybooks, Resource::Account)?;
    let is_visible = |playbook: &PlaybookSummary| {
        let resource = playbook::resource_of_summary(playbook);
        policy::authorize(&caller.principal, Action::ReadPlaybook, resource).is_ok()
    };
    let page = playbook::page(&app, &query.request()?, is_visible).await?;
    Ok((query.link("/playbooks", page.next.as_ref()), Json(Playbooks { playbooks: page.items })))
}

/// The playbook that a path names, if the caller may do this to it.
async fn permitted(app: &App, caller: &Caller, name: &str, action: Action) -> Result<PublishedPlaybook> {
    caller.may_named(action, name, playbook::find(app, name).await, playbook::resource)
}

/// The answer with a playbook, whose version `If-Match` of a change may name.
fn shown(playbook: PublishedPlaybook) -> ([(HeaderName, String); 1], Json<PlaybookAnswer>) {
    (
        [(header::ETAG, format!("\"{}\"", playbook.version.version))],
        Json(PlaybookAnswer { playbook, schedules: Vec::new() }),
    )
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowParameters {
    /// The newest if absent.
    #[param(pattern = "^[0-9]{0,9}$")]
    version: Option<String>,
}

/// Shows a playbook
#[utoipa::path(get, path = "/playbooks/{name}", operation_id = "show_playbook", tag = tags::PLAYBOOKS,
    params(("name" = String, Path, description = "Name of the playbook"), ShowParameters),
    responses((status = 200, body = PlaybookAnswer, description = "The playbook", headers(("ETag" = String, description = "Its version"))),
        error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    Query(query): Query<ShowParameters>,
) -> Result<impl IntoResponse> {
    let playbook = permitted(&app, &caller, &name, Action::ReadPlaybook).await?;
    let version = match query.version.as_deref().filter(|version| !version.is_empty()) {
        None => playbook.version.version,
        Some(text) => version(text).ok_or_else(|| Error::invalid("invalid version parameter").at_field("version"))?,
    };
    Ok(shown(playbook::at_version(&app, playbook, version).await?))
}

fn version(text: &str) -> Option<u64> {
    page::number(text).map(u64::from)
}

/// Publishes a playbook, or the next version of one
///
/// Its runs use the image and the secrets with the rights of the user who published the version, which are checked now and at each run. With
/// `If-Match`, a playbook that has another version meanwhile is not changed. The same playbook again is the same version. Its schedules are
/// made, changed and deleted as it says, and run it with the right of the user who published it.
#[utoipa::path(put, path = "/playbooks/{name}", operation_id = "publish_playbook", tag = tags::PLAYBOOKS, request_body = Playbook,
    params(("name" = String, Path, description = "Name of the playbook: 1 to 64 letters, digits, dots, hyphens and underscores"),
        ("If-Match" = Option<String>, Header, pattern = "^(W/)?([0-9]{1,9}|\"[0-9]{1,9}\")$", description = "The version that the caller has changed; 0 if there must be none")),
    responses((status = 200, body = PlaybookAnswer, description = "The playbook with its version", headers(("ETag" = String, description = "Its version"))),
        error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn publish(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Playbook>,
) -> Result<impl IntoResponse> {
    let mut head = publishable(&app, &caller, &name).await?;
    let parsed = name.parse::<PlaybookName>()?;
    let expected = expected_version(&headers)?;
    check_rights(&app, &caller, &body, Some(&parsed)).await?;
    let mut attempt = 0;
    loop {
        let by = &caller.principal.email;
        let publication = Publication { name: &parsed, playbook: &body, before: head.as_ref(), expected, by };
        match playbook::publish(&app, publication, &caller.actor).await? {
            Published::Done(playbook) => {
                let schedules = publication::bring(&app, &parsed, &caller.actor).await?;
                let (tag, Json(answer)) = shown(*playbook);
                return Ok((tag, Json(PlaybookAnswer { schedules, ..answer })));
            }
            Published::Overtaken(refusal) => {
                // A caller who names no version publishes after whatever came first.
                if expected.is_some() || attempt >= playbook::PUBLISH_ATTEMPTS {
                    return Err(refusal.into());
                }
                playbook::pause_before_repetition(&app, attempt).await;
                attempt += 1;
                head = publishable(&app, &caller, &name).await?;
            }
        }
    }
}

/// The playbook of this name, if there is one, if the caller may publish a version of it.
async fn publishable(app: &App, caller: &Caller, name: &str) -> Result<Option<playbook::Head>> {
    let head = match name.parse::<PlaybookName>() {
        Ok(name) => playbook::head(app, &name).await?,
        Err(_) => None,
    };
    match &head {
        Some(head) => may_update(caller, head.playbook())?,
        None => caller.may(Action::PublishPlaybook, Resource::Account)?,
    }
    Ok(head)
}

/// Checks that the caller may publish another version. Whoever may publish none gets the answer of a name that is free.
fn may_update(caller: &Caller, playbook: &PublishedPlaybook) -> Result<()> {
    caller.may(Action::UpdatePlaybook, playbook::resource(playbook)).map_err(|refused| {
        match (refused, policy::authorize(&caller.principal, Action::PublishPlaybook, Resource::Account)) {
            (ApiError::Denied(_, denial), Err(error)) => ApiError::Denied(error, denial),
            (refused, _) => refused,
        }
    })
}

/// Checks a playbook, and that the caller may use what it names. The audit keeps a refusal.
async fn check_rights(app: &App, caller: &Caller, playbook: &Playbook, name: Option<&PlaybookName>) -> Result<()> {
    // Who publishes a playbook runs commands by it.
    caller.may(Action::Run, Resource::Account)?;
    if !playbook.schedules.is_empty() {
        caller.may(Action::CreateSchedule, Resource::Account)?;
    }
    playbook::usable(app, playbook, &caller.principal).await.map(drop).map_err(|error| caller.denied_use(error))?;
    Ok(publication::check(app, playbook, name, &caller.principal).await?)
}

/// The version in the header `If-Match`, as `ETag` has it or without the quotes. An empty one is refused, since it is what a script sends
/// whose variable is not set, and such a change would be made whatever the version is.
fn expected_version(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let wrong = || Error::invalid("If-Match must be a version of the playbook").with_hint("GET shows it in ETag");
    Ok(Some(version(text).ok_or_else(wrong)?))
}

/// Checks the text of a playbook's file, and publishes nothing
///
/// The problems are those for which its publication would be refused.
#[utoipa::path(post, path = "/playbooks", operation_id = "check_playbook", tag = tags::PLAYBOOKS, request_body = CheckPlaybook,
    responses((status = 200, body = CheckedPlaybook, description = "The caller could publish it"), error::Malformed, error::TooLarge, error::Refused, error::Unavailable))]
pub(super) async fn check(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<CheckPlaybook>,
) -> Result<Json<CheckedPlaybook>> {
    caller.may(Action::PublishPlaybook, Resource::Account)?;
    let (playbook, unknown) = from_yaml(&body.file).map_err(|problem| problem.at_field("file"))?;
    if let Some(key) = unknown.first() {
        let problem = Problem::new(format!("there is no field {key:?} in a playbook"));
        return Err(problem.with_hint("docs/PLAYBOOKS.md lists the fields").at_field(key.as_str()).into());
    }
    check_rights(&app, &caller, &playbook, None).await?;
    Ok(Json(CheckedPlaybook { playbook }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionsParameters {
    /// The largest number of versions; all if absent or 0.
    #[param(pattern = "^[0-9]{0,9}$")]
    limit: Option<String>,
    /// Only versions before this one.
    #[param(pattern = "^[0-9]{0,9}$")]
    before: Option<String>,
}

/// Lists the versions of a playbook, newest first
#[utoipa::path(get, path = "/playbooks/{name}/versions", operation_id = "playbook_versions", tag = tags::PLAYBOOKS,
    params(("name" = String, Path, description = "Name of the playbook"), VersionsParameters),
    responses((status = 200, body = PlaybookVersions, description = "The versions", headers(("Link" = Option<String>, description = "The next page, if there is one"))), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn versions(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    Query(query): Query<VersionsParameters>,
) -> Result<impl IntoResponse> {
    let limit = page::limit(query.limit.as_deref())?.filter(|limit| *limit > 0);
    let before = match query.before.as_deref().filter(|before| !before.is_empty()) {
        None => None,
        Some(text) => Some(version(text).ok_or_else(|| Error::invalid("invalid before parameter").at_field("before"))?),
    };
    let playbook = permitted(&app, &caller, &name, Action::ReadPlaybook).await?;
    let (versions, next) = playbook::versions(&app, &playbook.name, before, limit).await?;
    let link = next
        .zip(limit)
        .map(|(next, limit)| page::next(&format!("/playbooks/{}/versions?limit={limit}&before={next}", playbook.name)));
    Ok((link, Json(PlaybookVersions { versions })))
}

/// Deletes a playbook
///
/// Its schedules are deleted with it. Its name stays for its owners, operators and admins, who may publish it again.
#[utoipa::path(delete, path = "/playbooks/{name}", operation_id = "delete_playbook", tag = tags::PLAYBOOKS,
    params(("name" = String, Path, description = "Name of the playbook")),
    responses((status = 200, body = DeletedPlaybook, description = "It is gone"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn delete(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<DeletedPlaybook>> {
    let playbook = permitted(&app, &caller, &name, Action::DeletePlaybook).await?;
    playbook::delete(&app, &playbook, &caller.actor).await?;
    // The playbook is gone. What is left of its schedules, reconcile deletes.
    let schedules = publication::bring(&app, &playbook.name, &caller.actor).await?;
    Ok(Json(DeletedPlaybook { name, message: "Playbook deleted successfully".to_owned(), schedules }))
}

/// Runs a playbook
///
/// The values of parameters are environment variables of the command, and never part of its text. The image and the secrets are used with
/// the rights of the user who published the version. A header `Idempotency-Key` has the same meaning as for `/run`.
#[utoipa::path(post, path = "/playbooks/{name}/run", operation_id = "run_playbook", tag = tags::PLAYBOOKS, request_body = Option<RunPlaybook>,
    params(("name" = String, Path, description = "Name of the playbook"),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, pattern = "^[!-~]*$", description = "A text that the caller chooses for this one run")),
    responses((status = 202, body = Started, description = "The task is on its way"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Conflict, error::Unavailable))]
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(body): JsonBody<RunPlaybook>,
) -> Result<(StatusCode, Json<Started>)> {
    let playbook = permitted(&app, &caller, &name, Action::RunPlaybook).await?;
    let key = runs::idempotency_key(&headers)?;
    let idempotency = key.map(|key| Idempotency::new(&caller.principal, key, &(&playbook.name, &body))).transpose()?;
    if let Some(idempotency) = &idempotency
        && let Some(record) = idempotency.find_first(&app).await?
    {
        let follow = runs::Follow::new(&caller, &uri, &headers)?;
        let websocket_url = follow.websocket_url(&app, record.execution.execution_id.clone()).await?;
        return Ok(follow.answer(&app, record, websocket_url).await);
    }
    let playbook = match body.version {
        None | Some(0) => playbook,
        Some(version) => playbook::to_run(&app, playbook, version, &caller.principal).await?,
    };
    let values = body.parameters.into_iter().map(|(name, value)| (name, value.0)).collect();
    let prepared = playbook::prepare(&app, &playbook, &values).await?;
    let submission = prepared.submission(&caller.principal, &caller.actor, idempotency.as_ref());
    let follow = runs::Follow::new(&caller, &uri, &headers)?;
    let beside = |id| follow.websocket_url(&app, id);
    let (record, websocket_url) =
        run::submit_beside(&app, submission, &prepared.image, &prepared.secrets, beside).await?;
    Ok(follow.answer(&app, record, websocket_url).await)
}

/// Gives a playbook to other owners
///
/// For its owners and for admins.
#[utoipa::path(put, path = "/playbooks/{name}/owners", operation_id = "own_playbook", tag = tags::PLAYBOOKS, request_body = SetOwners,
    params(("name" = String, Path, description = "Name of the playbook")),
    responses((status = 200, body = Owners, description = "The owners after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn own(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetOwners>,
) -> Result<Json<Owners>> {
    let playbook = permitted(&app, &caller, &name, Action::OwnPlaybook).await?;
    let owned_by = user::owners(&app, &body.owned_by, &playbook.owned_by).await?;
    playbook::set_owners(&app, &playbook, &owned_by, &caller.actor).await?;
    Ok(Json(Owners { owned_by }))
}

/// Says who may see and run a playbook
///
/// For its owners, operators and admins, who may in any case. Users with the role `runner` may only if they or their role are named.
#[utoipa::path(put, path = "/playbooks/{name}/sharing", operation_id = "share_playbook", tag = tags::PLAYBOOKS, request_body = SetSharing,
    params(("name" = String, Path, description = "Name of the playbook")),
    responses((status = 200, body = Sharing, description = "With whom it is shared after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn share(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetSharing>,
) -> Result<Json<Sharing>> {
    let playbook = permitted(&app, &caller, &name, Action::SharePlaybook).await?;
    let shared_with = checked(&body)?;
    playbook::set_sharing(&app, &playbook, shared_with.as_deref(), &caller.actor).await?;
    Ok(Json(Sharing { shared_with }))
}
