//! Keeps secrets: a record in DynamoDB, and the value in SSM Parameter Store only.
//!
//! The two stores cannot be written in one transaction, so a record says what is under way: it is `creating` until its value is
//! stored, and `deleting` from before its value is deleted. Only `active` records are read. A record that a crash leaves in another
//! state is invisible, and the next attempt at the same name, or reconcile, takes it over.

mod create;
mod ownership;
pub(crate) mod parameter;
mod validate;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update, builders::UpdateBuilder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use create::{NewSecret, create};
pub use ownership::{set_owners, set_sharing};
use runvoy_api_types::limits::MAX_SECRETS_OF_A_RUN;
pub use runvoy_api_types::{Secret, SecretName};

use crate::{
    App, Email, Error, RequestId, Result,
    audit::{self, Actor, Entry},
    auth::{Action, Resource},
    boxed,
    page::{Page, PageRequest},
    table::{self, Transacted, WriteError as _, string},
    time,
};

/// The time that a creation or deletion may be under way before it counts as abandoned. No invocation works on it for so long.
const ABANDONED_AFTER: Duration = Duration::from_mins(1);

/// The secret as the policies see it.
pub fn resource(secret: &Secret) -> Resource<'_> {
    Resource::Secret {
        name: secret.name.as_str(),
        owners: &secret.owned_by,
        shared_with: secret.shared_with.as_deref(),
    }
}

/// The state of a secret's record: which change is under way, if any is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
enum State {
    Creating,
    Active,
    Deleting,
}

impl State {
    fn attribute(self) -> AttributeValue {
        string(<&str>::from(self))
    }
}

/// An item of the secrets table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SecretRecord {
    #[serde(flatten)]
    secret: Secret,
    state: State,
}

/// Changes to a secret. An absent one leaves the field as it is.
#[derive(Default)]
pub struct SecretChange {
    pub key_name: Option<String>,
    pub value: Option<String>,
    pub description: Option<String>,
}

/// The name of a secret in entries of the audit.
fn audit_name(name: &SecretName) -> String {
    format!("secret:{name}")
}

/// The record of a secret, without its value.
///
/// # Errors
/// [`Error::SecretNotFound`], also for a text that no secret can be named.
pub async fn find(app: &App, name: &str) -> Result<Secret> {
    let missing = || Error::SecretNotFound(name.to_owned());
    let name: SecretName = name.parse().map_err(|_| missing())?;
    let record = read_record(app, &name).await?;
    record.filter(|record| record.state == State::Active).map(|record| record.secret).ok_or_else(missing)
}

/// The value of a secret. It is handed out only once its entry is in the audit.
///
/// # Errors
/// [`Error::SecretNotFound`] when it has none; [`Error::Aws`] when it cannot be read, or its entry cannot be written.
pub async fn value(app: &App, name: &SecretName, actor: &Actor) -> Result<String> {
    let read = parameter::read(app, name).await;
    let entry = match &read {
        Ok(_) => Entry::done(app, actor, Action::ReadSecret, audit_name(name)),
        Err(_) => Entry::failed(app, actor, Action::ReadSecret, audit_name(name)),
    };
    let written = audit::write(app, &entry).await;
    let value = read?;
    written.map(|()| value)
}

/// All secrets by name, without values. Makes no call to SSM.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn list(app: &App) -> Result<Vec<Secret>> {
    Ok(survey(app).await?.0)
}

/// A page of the secrets, by name, without values.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails.
pub async fn page(app: &App, request: &PageRequest) -> Result<Page<Secret>> {
    request.of(list(app).await?, |secret| secret.name.to_string(), |secret| secret.name.to_string())
}

/// All secrets by name, and the names of those whose creation or deletion was abandoned.
pub(crate) async fn survey(app: &App) -> Result<(Vec<Secret>, Vec<SecretName>)> {
    let records: Vec<SecretRecord> = table::scan(&app.aws.dynamodb, &app.config.tables.secrets).await?;
    let abandoned = abandoned_before(app);
    let mut secrets = Vec::new();
    let mut unfinished = Vec::new();
    for record in records {
        match record.state {
            State::Active => secrets.push(record.secret),
            State::Creating | State::Deleting if record.secret.updated_at < abandoned => {
                unfinished.push(record.secret.name);
            }
            State::Creating | State::Deleting => {}
        }
    }
    secrets.sort_by(|a, b| a.name.cmp(&b.name));
    unfinished.sort();
    Ok((secrets, unfinished))
}

/// Removes a secret whose creation or deletion was abandoned. Returns whether it was still abandoned.
pub(crate) async fn clear_abandoned(app: &App, name: &SecretName, request_id: &RequestId) -> Result<bool> {
    let abandoned = mark_deleting(app, name, request_id)
        .condition_expression("#state IN (:creating, :deleting) AND updated_at < :abandoned")
        .expression_attribute_values(":creating", State::Creating.attribute())
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))));
    remove(app, name, request_id, abandoned, &[]).await
}

/// The write that marks a secret as being deleted. The caller adds the condition under which it may be.
fn mark_deleting(app: &App, name: &SecretName, request_id: &RequestId) -> UpdateBuilder {
    Update::builder()
        .table_name(&app.config.tables.secrets)
        .key("name", string(name.as_str()))
        .update_expression("SET #state = :deleting, updated_at = :now, modified_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":deleting", State::Deleting.attribute())
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .expression_attribute_values(":request", string(request_id.as_str()))
}

/// Marks a secret as being deleted, then removes its value and its record. `false` when the condition of the mark does not hold.
async fn remove(
    app: &App,
    name: &SecretName,
    request_id: &RequestId,
    mark: UpdateBuilder,
    entries: &[Entry],
) -> Result<bool> {
    let mark = TransactWriteItem::builder().update(mark.build()?).build();
    if audit::transact(app, vec![mark], entries).await? != Transacted::Done {
        return Ok(false);
    }
    parameter::delete(app, name).await?;
    remove_record(app, name, State::Deleting, request_id).await.map(|()| true)
}

/// A creation or deletion that was under way at this time, and still is, has been abandoned by its invocation.
fn abandoned_before(app: &App) -> Timestamp {
    let now = app.now();
    now.checked_sub(ABANDONED_AFTER).unwrap_or(now)
}

/// Tells whether there is a record of this name, in any state.
pub(crate) async fn is_known(app: &App, name: &SecretName) -> Result<bool> {
    Ok(read_record(app, name).await?.is_some())
}

async fn read_record(app: &App, name: &SecretName) -> Result<Option<SecretRecord>> {
    table::get(&app.aws.dynamodb, &app.config.tables.secrets, "name", name.as_str()).await
}

/// The records of several secrets by name, in one call. A name that is given twice is found once.
///
/// # Errors
/// [`Error::Invalid`] that names the first unknown one, for more than 50 names, or for a secret whose variable steers programs.
#[boxed]
pub async fn find_all(app: &App, names: &[String]) -> Result<Vec<Secret>> {
    let distinct: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    if distinct.len() > MAX_SECRETS_OF_A_RUN {
        return Err(Error::invalid(format!("a run can name {MAX_SECRETS_OF_A_RUN} secrets at most")));
    }
    if let Some(bad) = distinct.iter().find(|name| name.parse::<SecretName>().is_err()) {
        return Err(unknown(bad));
    }
    let keys = distinct.iter().map(|name| (*name).to_owned());
    let records: Vec<SecretRecord> = table::batch_get(app, &app.config.tables.secrets, "name", keys).await?;
    let active = records.into_iter().filter(|record| record.state == State::Active);
    let mut found: HashMap<String, Secret> = active.map(|it| (it.secret.name.to_string(), it.secret)).collect();
    let secrets: Vec<Secret> =
        distinct.into_iter().map(|name| found.remove(name).ok_or_else(|| unknown(name))).collect::<Result<_>>()?;
    // An earlier version stored variables that this one refuses.
    for secret in &secrets {
        validate::key_name(&secret.key_name).map_err(|error| {
            error.at_exact_field("secrets").with_hint(format!("give the secret {} another key_name", secret.name))
        })?;
    }
    Ok(secrets)
}

fn unknown(name: &str) -> Error {
    Error::invalid(format!("there is no secret {name:?}"))
        .with_hint("GET /api/v1/secrets lists the secrets")
        .at_field("secrets")
}

/// Changes a secret: its value first, then its record.
///
/// # Errors
/// [`Error::SecretNotFound`] when another request has deleted it meanwhile; [`Error::Invalid`] for a bad variable or value.
pub async fn update(app: &App, name: &SecretName, change: SecretChange, by: &Email, actor: &Actor) -> Result<()> {
    if let Some(key_name) = &change.key_name {
        validate::key_name(key_name)?;
    }
    validate::description(change.description.as_deref())?;
    let mut entry = Entry::done(app, actor, Action::UpdateSecret, audit_name(name))
        .detail("key_name", change.key_name.clone())
        .detail("description", change.description.as_ref().map(|_| "changed"));
    let mut entries = Vec::new();
    if let Some(value) = &change.value {
        validate::value(value)?;
        entry = entry.detail("value", "changed");
        // SSM takes part in no transaction, so the entry comes first. If the value is not stored after all, the caller learns it.
        audit::write(app, &entry).await?;
        parameter::overwrite(app, name, value).await?;
    } else {
        entries.push(entry);
    }
    let mut expression = "SET updated_at = :now, updated_by = :by, modified_by_request_id = :request".to_owned();
    let mut update = Update::builder()
        .table_name(&app.config.tables.secrets)
        .key("name", string(name.as_str()))
        .condition_expression("#state = :active")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", State::Active.attribute())
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .expression_attribute_values(":by", string(by.as_str()))
        .expression_attribute_values(":request", string(actor.request_id.as_str()));
    for (attribute, value) in [("key_name", change.key_name), ("description", change.description)] {
        if let Some(value) = value {
            expression.push_str(&format!(", {attribute} = :{attribute}"));
            update = update.expression_attribute_values(format!(":{attribute}"), AttributeValue::S(value));
        }
    }
    let update = TransactWriteItem::builder().update(update.update_expression(expression).build()?).build();
    match audit::transact(app, vec![update], &entries).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused(_) => {
            // Another request has deleted the secret meanwhile. Its new value must not stay.
            if change.value.is_some() {
                parameter::delete(app, name).await?;
            }
            Err(Error::SecretNotFound(name.to_string()))
        }
    }
}

/// Deletes a secret: its value first, then its record.
///
/// # Errors
/// [`Error::SecretNotFound`] when there is no secret of this name.
pub async fn delete(app: &App, name: &SecretName, actor: &Actor) -> Result<()> {
    let existing = mark_deleting(app, name, &actor.request_id)
        .condition_expression("attribute_exists(#name) AND #state <> :creating")
        .expression_attribute_names("#name", "name")
        .expression_attribute_values(":creating", State::Creating.attribute());
    let entry = Entry::done(app, actor, Action::DeleteSecret, audit_name(name));
    if remove(app, name, &actor.request_id, existing, &[entry]).await? {
        Ok(())
    } else {
        Err(Error::SecretNotFound(name.to_string()))
    }
}

async fn remove_record(app: &App, name: &SecretName, state: State, request_id: &RequestId) -> Result<()> {
    let delete = app
        .aws
        .dynamodb
        .delete_item()
        .table_name(&app.config.tables.secrets)
        .key("name", string(name.as_str()))
        .condition_expression("#state = :state AND modified_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":state", state.attribute())
        .expression_attribute_values(":request", string(request_id.as_str()));
    match table::write(app, || delete.clone().send()).await {
        Ok(_) => Ok(()),
        // Another request has removed the record or taken it over.
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
