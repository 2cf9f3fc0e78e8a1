//! Creates secrets.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::{
    Secret, SecretName, SecretRecord, State, abandoned_before, audit_name, parameter, read_record, remove_record,
    validate,
};
use crate::{
    App, Email, Error, Result,
    audit::{self, Actor, Entry},
    auth::Action,
    table::{self, Transacted, WriteError as _, string},
    time,
};

/// A secret that is to be created.
pub struct NewSecret {
    pub name: SecretName,
    pub key_name: String,
    pub value: String,
    pub description: Option<String>,
}

/// Creates a secret: its record first, then its value, then the record is marked active.
///
/// # Errors
/// [`Error::SecretExists`], or [`Error::Invalid`] for a bad variable or value.
pub async fn create(app: &App, new: NewSecret, by: &Email, actor: &Actor) -> Result<()> {
    let request_id = &actor.request_id;
    let entry =
        Entry::done(app, actor, Action::CreateSecret, audit_name(&new.name)).detail("key_name", new.key_name.clone());
    validate::key_name(&new.key_name)?;
    validate::value(&new.value)?;
    validate::description(new.description.as_deref())?;
    let now = app.now();
    let record = SecretRecord {
        secret: Secret {
            name: new.name.clone(),
            key_name: new.key_name,
            description: new.description,
            value: None,
            created_by: by.clone(),
            owned_by: vec![by.clone()],
            shared_with: None,
            created_at: now,
            updated_at: now,
            updated_by: by.clone(),
            created_by_request_id: request_id.clone(),
            modified_by_request_id: request_id.clone(),
        },
        state: State::Creating,
    };
    let put = app
        .aws
        .dynamodb
        .put_item()
        .table_name(&app.config.tables.secrets)
        .set_item(Some(table::to_item(&record)?))
        // The last alternative is this write itself, repeated because the answer to its first try was lost.
        .condition_expression(
            "attribute_not_exists(#name) OR (#state <> :active AND updated_at < :abandoned) \
             OR (#state = :creating AND created_by_request_id = :request)",
        )
        .expression_attribute_names("#name", "name")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", State::Active.attribute())
        .expression_attribute_values(":creating", State::Creating.attribute())
        .expression_attribute_values(":request", string(request_id.as_str()))
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))));
    let exists = || Error::SecretExists(new.name.to_string());
    match table::write(app, || put.clone().send()).await {
        Ok(_) => {}
        Err(error) if error.condition_failed() => {
            return Err(match read_record(app, &new.name).await? {
                Some(record) if record.state != State::Active => is_under_way(&new.name),
                _ => exists(),
            });
        }
        Err(error) => return Err(error.into()),
    }
    if let Err(error) = parameter::create(app, &new.name, &new.value).await {
        // The value may have been stored although the call failed. If it cannot be removed either, the record stays in the
        // state `creating`, so that reconcile removes both.
        if parameter::delete(app, &new.name).await.is_ok() {
            let _ = remove_record(app, &new.name, State::Creating, request_id).await;
        }
        return Err(error);
    }
    let activate = Update::builder()
        .table_name(&app.config.tables.secrets)
        .key("name", string(new.name.as_str()))
        .update_expression("SET #state = :active")
        .condition_expression("#state = :creating AND created_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", State::Active.attribute())
        .expression_attribute_values(":creating", State::Creating.attribute())
        .expression_attribute_values(":request", string(request_id.as_str()))
        .build()?;
    match audit::transact(app, vec![TransactWriteItem::builder().update(activate).build()], &[entry]).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => Err(exists()),
    }
}

/// The refusal of a secret whose creation or deletion has begun, and may have been left halfway.
fn is_under_way(name: &SecretName) -> Error {
    Error::conflict(format!("secret {name} is being created or deleted"))
        .with_hint("try again; what was left halfway gives its name back after a minute")
        .at_field("name")
}
