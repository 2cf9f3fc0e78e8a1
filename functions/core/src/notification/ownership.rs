//! Changes who owns a notification.

use aws_sdk_dynamodb::types::Update;

use super::{NotificationRecord, record::audit_name};
use crate::{
    App, Email, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    ownership::{self, OwnershipChange},
    table::{Transacted, string},
};

/// Gives a notification to other owners. From then on, its messages have only what these owners may see.
///
/// # Errors
/// [`Error::Conflict`](crate::Error::Conflict) when another request has deleted it or changed its owners meanwhile.
pub async fn set_owners(app: &App, record: &NotificationRecord, owners: &[Email], actor: &Actor) -> Result<()> {
    let notification = &record.notification;
    let entry = Entry::done(app, actor, Action::OwnNotification, audit_name(&notification.name));
    let change = OwnershipChange::owners(owners, &notification.owned_by, entry);
    let update = Update::builder()
        .table_name(&app.config.tables.notifications)
        .key("name", string(notification.name.as_str()))
        .condition_expression("id = :id")
        .expression_attribute_values(":id", string(&record.id));
    let write = change.write(update, "", actor)?;
    match audit::transact(app, vec![write], &[change.entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(ownership::has_changed(&format!("the notification {}", notification.name))),
    }
}
