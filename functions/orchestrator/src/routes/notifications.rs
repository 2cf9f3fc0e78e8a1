//! Creates, lists, shows, changes, tries and deletes notifications, and lists their deliveries.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use runvoy_api_types::{
    CreateNotification, CreatedNotification, DeletedNotification, Deliveries, NotificationAnswer, NotificationFor,
    Notifications, RotatedNotification, TestedNotification, UpdateNotification,
};
use runvoy_core::{
    App,
    auth::{Action, Resource},
    notification::{self, NewNotification, NotificationChange, NotificationRecord},
};
use serde::Deserialize;

use super::{
    named,
    page::{self, PageParameters},
    tags,
};
use crate::{
    error::{self, Result},
    extract::{Caller, JsonBody, NoFields, Path, Query},
};

/// The notification that a path names, if the caller may do this to it.
pub(super) async fn permitted(app: &App, caller: &Caller, name: &str, action: Action) -> Result<NotificationRecord> {
    let found = notification::find(app, name).await;
    caller.may_named(action, name, found, |record| notification::resource(&record.notification))
}

/// Checks that what a notification is about can be seen. What it was about before may be gone meanwhile, and stay.
async fn check_target(
    app: &App,
    caller: &Caller,
    target: Option<&NotificationFor>,
    before: Option<&NotificationFor>,
) -> Result<()> {
    let new = |part: fn(&NotificationFor) -> &Option<String>| {
        let given = target.and_then(|target| part(target).as_deref()).map(str::trim).filter(|name| !name.is_empty());
        given.filter(|name| before.and_then(|before| part(before).as_deref()) != Some(*name))
    };
    if let Some(name) = new(|target| &target.playbook) {
        named::check_playbook(app, caller, name, "for.playbook").await?;
    }
    if let Some(name) = new(|target| &target.schedule) {
        named::check_schedule(app, caller, name, "for.schedule").await?;
    }
    Ok(())
}

/// Lists notifications
///
/// Developers see their own. When there is more, the header `Link: <…>; rel="next"` names the next page.
#[utoipa::path(get, path = "/notifications", operation_id = "list_notifications", tag = tags::NOTIFICATIONS, params(PageParameters),
    responses((status = 200, body = Notifications, description = "Notifications, by name"), error::Malformed, error::Refused, error::Unavailable))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageParameters>,
) -> Result<impl IntoResponse> {
    caller.may(Action::ListNotifications, Resource::Account)?;
    let is_shown = |one: &_| caller.would_be_allowed(Action::ReadNotification, notification::resource(one));
    let page = notification::page(&app, &query.request()?, is_shown).await?;
    Ok((query.link("/notifications", page.next.as_ref()), Json(Notifications { notifications: page.items })))
}

/// Creates a notification
///
/// A webhook gets `POST {"id","type","time","notification","execution":{…},"url"}` with `X-Runvoy-Timestamp` and `X-Runvoy-Signature:
/// v1=…`, the hexadecimal HMAC-SHA-256 of the timestamp, a dot and the body under `signing_secret`. During a rotation the header has two
/// signatures, separated by a comma. The same change has the same `id` at each try. Anything but a 2xx within 10 seconds is tried again,
/// first after 5 seconds, for a day. Then the notification is paused.
#[utoipa::path(post, path = "/notifications", operation_id = "create_notification", tag = tags::NOTIFICATIONS, request_body = CreateNotification,
    responses((status = 201, body = CreatedNotification, description = "It is active, or waits for the recipient of its mails"), error::Malformed, error::TooLarge, error::Refused, error::Conflict, error::Unavailable))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateNotification>,
) -> Result<impl IntoResponse> {
    caller.may(Action::CreateNotification, Resource::Account)?;
    check_target(&app, &caller, body.r#for.as_ref(), None).await?;
    let new = NewNotification {
        name: body.name.parse()?,
        channel: body.channel,
        on: body.on.unwrap_or_default(),
        r#for: body.r#for.unwrap_or_default(),
        slow_after: body.slow_after.filter(|seconds| *seconds > 0),
    };
    let (notification, signing_secret) =
        notification::create(&app, new, &caller.principal.email, &caller.actor).await?;
    Ok((StatusCode::CREATED, Json(CreatedNotification { notification, signing_secret })))
}

/// Shows one notification
#[utoipa::path(get, path = "/notifications/{name}", operation_id = "show_notification", tag = tags::NOTIFICATIONS,
    params(("name" = String, Path, description = "Name of the notification")),
    responses((status = 200, body = NotificationAnswer, description = "The notification, without its keys"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn show(State(app): State<App>, caller: Caller, Path(name): Path) -> Result<Json<NotificationAnswer>> {
    let record = permitted(&app, &caller, &name, Action::ReadNotification).await?;
    Ok(Json(NotificationAnswer { notification: record.notification }))
}

/// Changes, pauses or resumes a notification; what is absent stays as it is
#[utoipa::path(put, path = "/notifications/{name}", operation_id = "update_notification", tag = tags::NOTIFICATIONS, request_body = UpdateNotification,
    params(("name" = String, Path, description = "Name of the notification")),
    responses((status = 200, body = NotificationAnswer, description = "The notification after the change"), error::Malformed, error::TooLarge, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    JsonBody(body): JsonBody<UpdateNotification>,
) -> Result<Json<NotificationAnswer>> {
    let record = permitted(&app, &caller, &name, Action::UpdateNotification).await?;
    let UpdateNotification { channel, on, r#for, slow_after, state } = body;
    check_target(&app, &caller, r#for.as_ref(), Some(&record.notification.r#for)).await?;
    let change = NotificationChange { channel, on, r#for, slow_after, state };
    let notification = notification::update(&app, record, change, &caller.principal.email, &caller.actor).await?;
    Ok(Json(NotificationAnswer { notification }))
}

/// Deletes a notification
#[utoipa::path(delete, path = "/notifications/{name}", operation_id = "delete_notification", tag = tags::NOTIFICATIONS,
    params(("name" = String, Path, description = "Name of the notification")),
    responses((status = 200, body = DeletedNotification, description = "It is gone"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
) -> Result<Json<DeletedNotification>> {
    let record = permitted(&app, &caller, &name, Action::DeleteNotification).await?;
    notification::delete(&app, &record, &caller.actor).await?;
    Ok(Json(DeletedNotification { name, message: "Notification deleted successfully".to_owned() }))
}

/// Sends a message that says that it is a test
///
/// It is sent once, also while the notification is paused, and its delivery tells what the receiver answered. A recipient who has not
/// confirmed the address is asked again.
#[utoipa::path(post, path = "/notifications/{name}/test", operation_id = "test_notification", tag = tags::NOTIFICATIONS,
    params(("name" = String, Path, description = "Name of the notification")),
    responses((status = 202, body = TestedNotification, description = "It is on its way"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn test(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    _: JsonBody<NoFields>,
) -> Result<(StatusCode, Json<TestedNotification>)> {
    let record = permitted(&app, &caller, &name, Action::TestNotification).await?;
    let id = notification::try_out(&app, &record, &caller.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(TestedNotification { id, message: "Test initiated".to_owned() })))
}

/// Gives a webhook a new signing key
///
/// For a day, webhooks have a signature by each key, so that the receiver can change over.
#[utoipa::path(post, path = "/notifications/{name}/rotate", operation_id = "rotate_notification", tag = tags::NOTIFICATIONS,
    params(("name" = String, Path, description = "Name of the notification")),
    responses((status = 200, body = RotatedNotification, description = "The new key"), error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    _: JsonBody<NoFields>,
) -> Result<impl IntoResponse> {
    let record = permitted(&app, &caller, &name, Action::UpdateNotification).await?;
    let rotated = notification::rotate(&app, &record, &caller.actor).await?;
    let notification::Rotated { signing_secret, previous_until } = rotated;
    Ok(Json(RotatedNotification { signing_secret, previous_until }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveryParameters {
    /// The largest number of deliveries; 1000 if absent or 0.
    #[param(pattern = "^[0-9]{0,9}$")]
    limit: Option<String>,
    /// From the `Link` header of the previous page.
    cursor: Option<String>,
}

/// Lists the deliveries of the last 30 days, newest changes first
#[utoipa::path(get, path = "/notifications/{name}/deliveries", operation_id = "list_deliveries", tag = tags::NOTIFICATIONS,
    params(("name" = String, Path, description = "Name of the notification"), DeliveryParameters),
    responses((status = 200, body = Deliveries, description = "What was sent, with the receiver's answers", headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        error::Malformed, error::Refused, error::NotFound, error::Unavailable))]
pub(super) async fn deliveries(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path,
    Query(query): Query<DeliveryParameters>,
) -> Result<impl IntoResponse> {
    let limit = page::limit(query.limit.as_deref())?.filter(|limit| *limit > 0);
    let cursor = page::cursor(query.cursor.as_deref())?;
    let record = permitted(&app, &caller, &name, Action::ReadNotification).await?;
    let (deliveries, next) = notification::delivery::page(&app, &record, limit, cursor.as_ref()).await?;
    let path = format!("/notifications/{}/deliveries", record.notification.name);
    let link = next.map(|next| page::link(&path, &[("limit", query.limit.as_deref())], &next));
    Ok((link, Json(Deliveries { deliveries })))
}
