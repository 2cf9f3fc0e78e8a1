//! Reads and writes the notifications table.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Channel, NewNotification, Notification, NotificationName, NotificationState, email,
    key::{self, Kept},
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::{Action, Resource},
    page::{Page, PageRequest},
    random::random_text,
    table::{self, Transacted, WriteError as _, string},
    time,
};

/// An item of the notifications table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NotificationRecord {
    #[serde(flatten)]
    pub notification: Notification,
    /// Tells the notification apart from earlier ones of the same name, and names its deliveries, its key and its topic.
    pub(super) id: String,
    /// Present while the receiver is slow to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) slow: Option<Slow>,
}

/// The state of a receiver whose last answer was slow, in a notification's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slow {
    /// No message is sent before this time. The first one that is sent afterwards moves it.
    #[serde(with = "time::as_rfc3339")]
    pub(super) until: Timestamp,
    /// The time of the first of the messages in a row that the receiver has not answered.
    #[serde(default, with = "time::as_optional_rfc3339", skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// The number of messages in a row that the receiver has not answered.
    pub(super) unanswered: u32,
}

/// A notification as the policies see it.
pub fn resource(notification: &Notification) -> Resource<'_> {
    Resource::Notification { name: notification.name.as_str(), owners: &notification.owned_by }
}

/// The name of a notification in entries of the audit.
pub(super) fn audit_name(name: &NotificationName) -> String {
    format!("notification:{name}")
}

/// Creates a notification. Returns it with the key by which its webhooks are signed, which is shown at no other time.
///
/// A key is made first, under an id of its own. If the invocation ends in between, nothing refers to it, and reconcile deletes it.
///
/// # Errors
/// [`Error::Conflict`] when there is one of this name; [`Error::Invalid`] for what cannot be a notification.
pub async fn create(
    app: &App,
    mut new: NewNotification,
    by: &Email,
    actor: &Actor,
) -> Result<(Notification, Option<String>)> {
    new.check(&app.config)?;
    let name = new.name.clone();
    let exists = || {
        Error::conflict(format!("a notification {name} exists already"))
            .with_hint("change it with PUT, or choose another name")
            .at_field("name")
    };
    if find_record(app, new.name.as_str()).await?.is_some() {
        return Err(exists());
    }
    let id = random_text::<12>()?;
    let (channel, state, signing_key) = match new.channel {
        Channel::Webhook { url } => {
            let key = key::new_key()?;
            key::write(app, &id, &Kept::Webhook { key: key.clone(), previous: Vec::new() }).await?;
            (Channel::Webhook { url }, NotificationState::Active, Some(key))
        }
        Channel::Slack { url } => {
            key::write(app, &id, &Kept::Slack { url: url.unwrap_or_default() }).await?;
            (Channel::Slack { url: None }, NotificationState::Active, None)
        }
        // The topic is made after the record. A topic has no date, so one that a dead invocation has left without a record could not be
        // told from one whose record is about to be written.
        Channel::Email { address } => (Channel::Email { address }, NotificationState::Pending, None),
    };
    let now = app.now();
    let notification = Notification {
        name: new.name,
        channel,
        on: new.on,
        r#for: new.r#for,
        slow_after: new.slow_after,
        state,
        paused_reason: None,
        created_by: by.clone(),
        owned_by: vec![by.clone()],
        created_at: now,
        updated_at: now,
        updated_by: by.clone(),
        created_by_request_id: actor.request_id.clone(),
        modified_by_request_id: actor.request_id.clone(),
    };
    let record = NotificationRecord { notification, id, slow: None };
    let put = Put::builder()
        .table_name(&app.config.tables.notifications)
        .set_item(Some(table::to_item(&record)?))
        // The second alternative is this write itself, repeated because the answer to its first try was lost.
        .condition_expression("attribute_not_exists(#name) OR id = :id")
        .expression_attribute_names("#name", "name")
        .expression_attribute_values(":id", string(&record.id))
        .build()?;
    let events: Vec<String> = record.notification.on.iter().map(ToString::to_string).collect();
    let entry = Entry::done(app, actor, Action::CreateNotification, audit_name(&record.notification.name))
        .detail("channel", record.notification.channel.kind())
        .detail("on", events);
    match audit::transact(app, vec![TransactWriteItem::builder().put(put).build()], &[entry]).await? {
        Transacted::Done => {}
        Transacted::Refused(_) => {
            remove_kept(app, &record).await?;
            return Err(exists());
        }
    }
    if let Channel::Email { address } = &record.notification.channel
        && let Err(refused) = email::subscribe(app, &record.id, address).await
    {
        // If it cannot be deleted either, it stays pending, and a test asks the recipient again.
        let _ = delete(app, &record, actor).await;
        return Err(refused);
    }
    Ok((record.notification, signing_key))
}

/// Removes what is kept of a notification outside DynamoDB.
async fn remove_kept(app: &App, record: &NotificationRecord) -> Result<()> {
    match record.notification.channel {
        Channel::Webhook { .. } | Channel::Slack { .. } => key::delete(app, &record.id).await,
        Channel::Email { .. } => email::delete_topic(app, &record.id).await,
    }
}

async fn find_record(app: &App, name: &str) -> Result<Option<NotificationRecord>> {
    table::get(&app.aws.dynamodb, &app.config.tables.notifications, "name", name).await
}

/// The notification of this name. A pending one becomes active if its recipient has confirmed the address by now.
///
/// # Errors
/// [`Error::NotFound`], also for a text that no notification can be named.
pub async fn find(app: &App, name: &str) -> Result<NotificationRecord> {
    let missing = || Error::not_found("notification", name);
    let name: NotificationName = name.parse().map_err(|_| missing())?;
    let record = find_record(app, name.as_str()).await?.ok_or_else(missing)?;
    confirmed(app, record).await
}

/// The notification with this name and this id, if there still is one.
pub(super) async fn find_same(app: &App, name: &str, id: &str) -> Result<Option<NotificationRecord>> {
    match find_record(app, name).await?.filter(|record| record.id == id) {
        Some(record) => confirmed(app, record).await.map(Some),
        None => Ok(None),
    }
}

/// Marks a pending notification as active if its recipient has confirmed the address by now. Returns the notification.
async fn confirmed(app: &App, mut record: NotificationRecord) -> Result<NotificationRecord> {
    if record.notification.state == NotificationState::Pending && email::is_confirmed(app, &record.id).await? {
        set_state(app, &record, NotificationState::Pending, NotificationState::Active, None).await?;
        record.notification.state = NotificationState::Active;
    }
    Ok(record)
}

/// Moves a notification from one state to another. `false` when it is not in the first, or is gone.
pub(super) async fn set_state(
    app: &App,
    record: &NotificationRecord,
    from: NotificationState,
    to: NotificationState,
    reason: Option<&str>,
) -> Result<bool> {
    let update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.notifications)
        .key("name", string(record.notification.name.as_str()))
        .update_expression("SET #state = :to, paused_reason = :reason")
        .condition_expression("id = :id AND #state = :from")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":id", string(&record.id))
        .expression_attribute_values(":from", string(from.to_string()))
        .expression_attribute_values(":to", string(to.to_string()))
        .expression_attribute_values(":reason", reason.map_or(AttributeValue::Null(true), string));
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(true),
        Err(error) if error.condition_failed() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// All notifications, in no particular order.
pub(super) async fn all(app: &App) -> Result<Vec<NotificationRecord>> {
    table::scan(&app.aws.dynamodb, &app.config.tables.notifications).await
}

/// A page of those notifications that `is_shown` wants, by name.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB or SNS fails.
pub async fn page(
    app: &App,
    request: &PageRequest,
    is_shown: impl Fn(&Notification) -> bool,
) -> Result<Page<Notification>> {
    let shown = all(app).await?.into_iter().filter(|record| is_shown(&record.notification));
    // SNS is asked only for those that wait for their recipients.
    let shown = futures_util::future::try_join_all(shown.map(|record| confirmed(app, record))).await?;
    let name = |notification: &Notification| notification.name.to_string();
    request.of(shown.into_iter().map(|record| record.notification).collect(), name, name)
}

/// Deletes a notification: what is kept outside DynamoDB first, so that a repetition finishes what was left.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it meanwhile.
pub async fn delete(app: &App, record: &NotificationRecord, actor: &Actor) -> Result<()> {
    remove_kept(app, record).await?;
    let name = &record.notification.name;
    let delete = aws_sdk_dynamodb::types::Delete::builder()
        .table_name(&app.config.tables.notifications)
        .key("name", string(name.as_str()))
        .condition_expression("id = :id")
        .expression_attribute_values(":id", string(&record.id))
        .build()?;
    let entry = Entry::done(app, actor, Action::DeleteNotification, audit_name(name));
    match audit::transact(app, vec![TransactWriteItem::builder().delete(delete).build()], &[entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(Error::not_found("notification", name.as_str())),
    }
}

/// Writes a changed notification with entries of the audit.
///
/// # Errors
/// [`Error::NotFound`] when another request has deleted it meanwhile.
pub(super) async fn replace(
    app: &App,
    record: &NotificationRecord,
    changes: Vec<(&'static str, AttributeValue)>,
    actor: &Actor,
    entries: &[Entry],
) -> Result<()> {
    let mut expression = "SET updated_at = :now, updated_by = :by, modified_by_request_id = :request".to_owned();
    let notification = &record.notification;
    let mut update = Update::builder()
        .table_name(&app.config.tables.notifications)
        .key("name", string(notification.name.as_str()))
        .condition_expression("id = :id")
        .expression_attribute_values(":id", string(&record.id))
        .expression_attribute_values(":now", string(crate::time::rfc3339(notification.updated_at)))
        .expression_attribute_values(":by", string(notification.updated_by.as_str()))
        .expression_attribute_values(":request", string(actor.request_id.as_str()));
    for (attribute, value) in changes {
        expression.push_str(&format!(", #{attribute} = :{attribute}"));
        update = update
            .expression_attribute_names(format!("#{attribute}"), attribute)
            .expression_attribute_values(format!(":{attribute}"), value);
    }
    // The receiver may be another one now, or be mended: the next message finds out at once.
    expression.push_str(" REMOVE #slow");
    update = update.expression_attribute_names("#slow", "slow");
    let write = TransactWriteItem::builder().update(update.update_expression(expression).build()?).build();
    match audit::transact(app, vec![write], entries).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(Error::not_found("notification", notification.name.as_str())),
    }
}
