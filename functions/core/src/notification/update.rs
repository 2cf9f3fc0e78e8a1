//! Changes notifications, rotates their keys, and tries them out.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::{
    Channel, Notification, NotificationEvent, NotificationFor, NotificationRecord, NotificationState, check, email,
    key::{self, Kept},
    queue::{self, Message},
    record::{audit_name, replace},
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    table::{number, string, to_item},
};

/// The refusal of a state that a caller cannot set.
const WANTED: &str = "state is set to \"active\" or \"paused\"";

/// Changes to a notification. What is absent stays as it is.
#[derive(Debug, Default)]
pub struct NotificationChange {
    pub channel: Option<Channel>,
    pub on: Option<Vec<NotificationEvent>>,
    pub r#for: Option<NotificationFor>,
    pub slow_after: Option<u64>,
    pub state: Option<NotificationState>,
}

/// Changes a notification.
///
/// # Errors
/// [`Error::Invalid`] for a field with a wrong value; [`Error::NotFound`] when another request has deleted it meanwhile.
pub async fn update(
    app: &App,
    record: NotificationRecord,
    change: NotificationChange,
    by: &Email,
    actor: &Actor,
) -> Result<Notification> {
    let mut changed = record.clone();
    let notification = &mut changed.notification;
    let mut attributes: Vec<(&'static str, AttributeValue)> = Vec::new();
    let mut entry = Entry::done(app, actor, Action::UpdateNotification, audit_name(&notification.name));
    let mut new_address = None;
    if let Some(channel) = change.channel {
        check::channel(&channel, &app.config)?;
        let is_same_kind = channel.kind() == notification.channel.kind();
        match channel {
            Channel::Webhook { .. } if is_same_kind => {
                attributes.push(("channel", AttributeValue::M(to_item(&channel)?)));
                notification.channel = channel;
            }
            Channel::Slack { url } if is_same_kind => new_address = url,
            Channel::Email { .. } if channel == notification.channel => {}
            _ => {
                return Err(Error::invalid("a notification keeps its kind of channel, and its address")
                    .with_hint("create another notification and delete this one")
                    .at_field("channel"));
            }
        }
        entry = entry.detail("channel", "changed");
    }
    if let Some(on) = change.on {
        notification.on = check::events(on)?;
        let names: Vec<String> = notification.on.iter().map(ToString::to_string).collect();
        attributes.push(("on", AttributeValue::L(names.iter().map(string).collect())));
        entry = entry.detail("on", names);
    }
    if let Some(mut target) = change.r#for {
        check::target(&mut target)?;
        attributes.push(("for", AttributeValue::M(to_item(&target)?)));
        notification.r#for = target;
        entry = entry.detail("for", "changed");
    }
    if let Some(seconds) = change.slow_after {
        // Like every number that must be positive, 0 means the same as absent.
        let seconds = Some(seconds).filter(|seconds| *seconds > 0);
        check::slow_after(seconds)?;
        attributes.push(("slow_after", seconds.map_or(AttributeValue::Null(true), number)));
        notification.slow_after = seconds;
    }
    if let Some(state) = change.state {
        let (state, reason) = match state {
            NotificationState::Pending => return Err(Error::invalid(WANTED).at_field("state")),
            NotificationState::Paused => (state, Some(format!("paused by {by}"))),
            NotificationState::Active if matches!(notification.channel, Channel::Email { .. }) => {
                let is_confirmed = email::is_confirmed(app, &record.id).await?;
                (if is_confirmed { state } else { NotificationState::Pending }, None)
            }
            NotificationState::Active => (state, None),
        };
        attributes.push(("state", string(state.to_string())));
        attributes.push(("paused_reason", reason.as_ref().map_or(AttributeValue::Null(true), string)));
        entry = entry.detail("state", state.to_string());
        (notification.state, notification.paused_reason) = (state, reason);
    }
    notification.updated_at = app.now();
    notification.updated_by = by.clone();
    notification.modified_by_request_id = actor.request_id.clone();
    let Some(url) = new_address else {
        replace(app, &changed, attributes, actor, &[entry]).await?;
        return Ok(changed.notification);
    };
    // SSM takes part in no transaction, so the entry comes first. If the address is not stored after all, the caller learns it.
    audit::write(app, &entry).await?;
    key::write(app, &record.id, &Kept::Slack { url }).await?;
    let replaced = replace(app, &changed, attributes, actor, &[]).await;
    if let Err(Error::NotFound { .. }) = replaced {
        // Another request has deleted the notification meanwhile. Its new address must not stay.
        key::delete(app, &record.id).await?;
    }
    replaced.map(|()| changed.notification)
}

/// The result of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The new key, which is shown at no other time.
    pub signing_secret: String,
    /// The time until which the key before it signs, too.
    pub previous_until: Timestamp,
}

/// Gives a notification a new signing key. For a day, its webhooks have a signature by the new key and one by the key before it.
///
/// # Errors
/// [`Error::Invalid`] for a notification that is no webhook; [`Error::NotFound`] when its key is gone.
pub async fn rotate(app: &App, record: &NotificationRecord, actor: &Actor) -> Result<Rotated> {
    let name = &record.notification.name;
    if !matches!(record.notification.channel, Channel::Webhook { .. }) {
        return Err(
            Error::invalid(format!("the notification {name} has no signing key")).with_hint("only webhooks are signed")
        );
    }
    let Some(kept) = key::read(app, &record.id).await? else {
        return Err(Error::not_found("notification", name.as_str()));
    };
    let entry =
        Entry::done(app, actor, Action::UpdateNotification, audit_name(name)).detail("signing_secret", "rotated");
    audit::write(app, &entry).await?;
    let (new, now) = (key::new_key()?, app.now());
    key::write(app, &record.id, &kept.rotated(new.clone(), now)).await?;
    Ok(Rotated { signing_secret: new, previous_until: now.checked_add(key::OVERLAP).unwrap_or(now) })
}

/// Sends a message that says that it is a test, once, also while the notification is paused. To a recipient who has not confirmed the
/// address, sends the question again. Returns the id of the delivery.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB, SNS or SQS fails.
pub async fn try_out(app: &App, record: &NotificationRecord, actor: &Actor) -> Result<String> {
    let name = &record.notification.name;
    audit::write(app, &Entry::done(app, actor, Action::TestNotification, audit_name(name))).await?;
    if let (Channel::Email { address }, NotificationState::Pending) =
        (&record.notification.channel, record.notification.state)
    {
        email::subscribe(app, &record.id, address).await?;
    }
    let message = Message::test(record, &actor.request_id, app.now());
    let id = message.change.clone();
    queue::send(app, &[message]).await?;
    Ok(id)
}
