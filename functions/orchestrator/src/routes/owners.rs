//! Says who owns executions, notifications, images, secrets and schedules, and with whom the last three are shared.

use axum::{
    Json,
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
};
use runvoy_api_types::{Owners, SetOwners, SetSharing, Sharing};
use runvoy_core::{
    App, auth::Action, execution, image, notification, ownership, schedule, secret, user, websocket::hand_over,
};

use super::{base::BASE, executions, images, notifications, schedules, secrets, tags};
use crate::{
    error::{self, ApiError, Result},
    extract::{Caller, JsonBody, Path},
};

pub(super) fn checked(body: &SetSharing) -> Result<Option<Vec<String>>> {
    Ok(body.shared_with.as_deref().map(ownership::shared_with).transpose()?)
}

/// Gives an execution to other owners, who may read its log and stop it
///
/// For its owners and for admins.
#[utoipa::path(put, path = "/executions/{id}/owners", operation_id = "own_execution", tag = tags::EXECUTIONS, request_body = SetOwners,
    params(("id" = String, Path, description = "Id of the execution")),
    responses((status = 200, body = Owners, description = "The owners after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn own_execution(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path,
    JsonBody(body): JsonBody<SetOwners>,
) -> Result<Json<Owners>> {
    let found = executions::find(&app, &id).await;
    let found = caller.may_named(Action::OwnExecution, &id, found, |found| execution::resource(&found.execution))?;
    let record = found.execution;
    let owned_by = user::owners(&app, &body.owned_by, &record.owned_by).await?;
    execution::set_owners(&app, &record, &owned_by, &caller.actor).await?;
    // If this fails, the caller repeats the request, which does it once more.
    hand_over::of_changed_owners(&app, &record.execution_id).await?;
    Ok(Json(Owners { owned_by }))
}

/// Gives a secret to other owners
///
/// For its owners and for admins.
#[utoipa::path(put, path = "/secrets/{name}/owners", operation_id = "own_secret", tag = tags::SECRETS, request_body = SetOwners,
    params(("name" = String, Path, description = "Name of the secret")),
    responses((status = 200, body = Owners, description = "The owners after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn own_secret(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetOwners>,
) -> Result<Json<Owners>> {
    let found = secrets::permitted(&app, &caller, &name, Action::OwnSecret).await?;
    let owned_by = user::owners(&app, &body.owned_by, &found.owned_by).await?;
    secret::set_owners(&app, &found, &owned_by, &caller.actor).await?;
    Ok(Json(Owners { owned_by }))
}

/// Says who may use a secret
///
/// For its owners, operators and admins, who may use it in any case.
#[utoipa::path(put, path = "/secrets/{name}/sharing", operation_id = "share_secret", tag = tags::SECRETS, request_body = SetSharing,
    params(("name" = String, Path, description = "Name of the secret")),
    responses((status = 200, body = Sharing, description = "With whom it is shared after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn share_secret(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetSharing>,
) -> Result<Json<Sharing>> {
    let found = secrets::permitted(&app, &caller, &name, Action::ShareSecret).await?;
    let shared_with = checked(&body)?;
    secret::set_sharing(&app, &found, shared_with.as_deref(), &caller.actor).await?;
    Ok(Json(Sharing { shared_with }))
}

/// Gives a schedule to other owners
///
/// For its owners and for admins. Its runs keep the rights of the user who has said last what it runs.
#[utoipa::path(put, path = "/schedules/{name}/owners", operation_id = "own_schedule", tag = tags::SCHEDULES, request_body = SetOwners,
    params(("name" = String, Path, description = "Name of the schedule")),
    responses((status = 200, body = Owners, description = "The owners after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn own_schedule(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetOwners>,
) -> Result<Json<Owners>> {
    let found = schedules::permitted(&app, &caller, &name, Action::OwnSchedule).await?;
    let owned_by = user::owners(&app, &body.owned_by, &found.owned_by).await?;
    schedule::set_owners(&app, &found, &owned_by, &caller.actor).await?;
    Ok(Json(Owners { owned_by }))
}

/// Says who may see and run a schedule, besides its owners, operators and admins
///
/// For its owners, operators and admins.
#[utoipa::path(put, path = "/schedules/{name}/sharing", operation_id = "share_schedule", tag = tags::SCHEDULES, request_body = SetSharing,
    params(("name" = String, Path, description = "Name of the schedule")),
    responses((status = 200, body = Sharing, description = "With whom it is shared after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn share_schedule(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetSharing>,
) -> Result<Json<Sharing>> {
    let found = schedules::permitted(&app, &caller, &name, Action::ShareSchedule).await?;
    let shared_with = checked(&body)?;
    schedule::set_sharing(&app, &found, shared_with.as_deref(), &caller.actor).await?;
    Ok(Json(Sharing { shared_with }))
}

/// Gives a notification to other owners
///
/// For its owners and for admins. It tells of what its owners may see.
#[utoipa::path(put, path = "/notifications/{name}/owners", operation_id = "own_notification", tag = tags::NOTIFICATIONS, request_body = SetOwners,
    params(("name" = String, Path, description = "Name of the notification")),
    responses((status = 200, body = Owners, description = "The owners after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn own_notification(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetOwners>,
) -> Result<Json<Owners>> {
    let found = notifications::permitted(&app, &caller, &name, Action::OwnNotification).await?;
    let owned_by = user::owners(&app, &body.owned_by, &found.notification.owned_by).await?;
    notification::set_owners(&app, &found, &owned_by, &caller.actor).await?;
    Ok(Json(Owners { owned_by }))
}

/// Gives an image to other owners
///
/// For its owners and for admins.
#[utoipa::path(put, path = "/images/{image}/owners", operation_id = "own_image", tag = tags::IMAGES, request_body = SetOwners,
    params(("image" = String, Path, description = "Id of the image; its slashes may be encoded or not")),
    responses((status = 200, body = Owners, description = "The owners after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn own_image(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetOwners>,
) -> Result<Json<Owners>> {
    let found = images::permitted(&app, &caller, &name, Action::OwnImage).await?;
    let owned_by = user::owners(&app, &body.owned_by, &found.owned_by).await?;
    image::set_owners(&app, &found, &owned_by, &caller.actor).await?;
    Ok(Json(Owners { owned_by }))
}

/// Says who may use an image
///
/// For its owners, operators and admins, who may use it in any case.
#[utoipa::path(put, path = "/images/{image}/sharing", operation_id = "share_image", tag = tags::IMAGES, request_body = SetSharing,
    params(("image" = String, Path, description = "Id of the image; its slashes may be encoded or not")),
    responses((status = 200, body = Sharing, description = "With whom it is shared after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn share_image(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<SetSharing>,
) -> Result<Json<Sharing>> {
    let found = images::permitted(&app, &caller, &name, Action::ShareImage).await?;
    let shared_with = checked(&body)?;
    image::set_sharing(&app, &found, shared_with.as_deref(), &caller.actor).await?;
    Ok(Json(Sharing { shared_with }))
}

/// Serves the two routes of an image. The id of an image has slashes, so only a wildcard matches its path, and a wildcard is the end of a
/// pattern.
pub(super) async fn change_image(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path,
    request: Request,
) -> Result<Response> {
    if let Some(name) = path.strip_suffix("/owners") {
        let body = JsonBody::from_request(request, &app).await?;
        Ok(own_image(State(app), caller, Path(name.to_owned()), body).await?.into_response())
    } else if let Some(name) = path.strip_suffix("/sharing") {
        let body = JsonBody::from_request(request, &app).await?;
        Ok(share_image(State(app), caller, Path(name.to_owned()), body).await?.into_response())
    } else {
        Err(ApiError::MethodNotAllowed)
    }
}

/// The methods of a path below that of an image, which the wildcard of its route does not tell apart. `None` for any other path.
pub(crate) fn methods_of_image(path: &str) -> Option<&'static str> {
    let image = path.trim_end_matches('/').strip_prefix(BASE)?.strip_prefix("/images/")?;
    match image {
        "register" => None,
        _ if image.ends_with("/owners") || image.ends_with("/sharing") => Some("PUT"),
        _ => Some("GET,HEAD,DELETE"),
    }
}
