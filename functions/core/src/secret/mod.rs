//! Secrets: a record in DynamoDB, the value in SSM Parameter Store and nowhere else.
//!
//! Two stores cannot be written in one transaction, so a record says what is under way: it is `Creating` until its value
//! is stored and `Deleting` from before its value goes. Readers see only `Active` records; whatever a crash leaves behind is
//! invisible, and the next attempt at the same name takes it over.

pub mod parameter;

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, KeysAndAttributes},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Result,
    email::Email,
    execution::environment,
    table::{self, ConditionFailed, string},
    time,
};

/// The largest value of a standard parameter ("AWS Systems Manager endpoints and quotas").
pub const MAX_VALUE_BYTES: usize = 4096;
/// How long a creation or deletion may be under way before it counts as abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// A secret as the API shows it; the value only where it was asked for.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Secret {
    pub name: String,
    /// The environment variable under which a run sees the value.
    pub key_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    #[serde(with = "time::as_rfc3339")]
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    #[serde(with = "time::as_rfc3339")]
    #[schema(value_type = String, format = "date-time")]
    pub updated_at: Timestamp,
    pub updated_by: Email,
    pub created_by_request_id: String,
    pub modified_by_request_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Creating,
    Active,
    Deleting,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SecretRecord {
    #[serde(flatten)]
    secret: Secret,
    state: State,
}

/// What a secret is made of.
pub struct NewSecret {
    pub name: String,
    pub key_name: String,
    pub value: String,
    pub description: Option<String>,
}

/// What is to change; absent means unchanged.
#[derive(Default)]
pub struct SecretChange {
    pub key_name: Option<String>,
    pub value: Option<String>,
    pub description: Option<String>,
}

/// # Errors
/// [`Error::SecretExists`], or [`Error::Invalid`] for a bad name, variable or value.
pub async fn create(app: &App, new: NewSecret, by: &Email, request_id: &str) -> Result<()> {
    check_name(&new.name)?;
    environment::check_name(&new.key_name)?;
    check_value(&new.value)?;
    check_description(new.description.as_deref())?;
    let now = app.now();
    let record = SecretRecord {
        secret: Secret {
            name: new.name.clone(),
            key_name: new.key_name,
            description: new.description,
            value: None,
            created_by: by.clone(),
            owned_by: vec![by.clone()],
            created_at: now,
            updated_at: now,
            updated_by: by.clone(),
            created_by_request_id: request_id.to_owned(),
            modified_by_request_id: request_id.to_owned(),
        },
        state: State::Creating,
    };
    app.aws
        .dynamodb
        .put_item()
        .table_name(&app.config.tables.secrets)
        .set_item(Some(table::to_item(&record)?))
        // The last is this very write, made before: its answer was lost.
        .condition_expression(
            "attribute_not_exists(#name) OR (#state <> :active AND updated_at < :abandoned) \
             OR (#state = :creating AND created_by_request_id = :request)",
        )
        .expression_attribute_names("#name", "name")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", string("active"))
        .expression_attribute_values(":creating", string("creating"))
        .expression_attribute_values(":request", string(request_id))
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))))
        .send()
        .await
        .map_err(|error| if error.condition_failed() { Error::SecretExists(new.name.clone()) } else { error.into() })?;
    if let Err(error) = parameter::create(app, &new.name, &new.value).await {
        // The value may be there all the same. If it cannot be removed, the record stays as well: invisible, and abandoned.
        if parameter::delete(app, &new.name).await.is_ok() {
            let _ = remove_record(app, &new.name, State::Creating, request_id).await;
        }
        return Err(error);
    }
    app.aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.secrets)
        .key("name", string(&new.name))
        .update_expression("SET #state = :active")
        .condition_expression("#state IN (:creating, :active) AND created_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", string("active"))
        .expression_attribute_values(":creating", string("creating"))
        .expression_attribute_values(":request", string(request_id))
        .send()
        .await
        .map(drop)
        .map_err(|error| if error.condition_failed() { Error::SecretExists(new.name.clone()) } else { error.into() })
}

/// The record of a secret, without its value.
pub async fn find(app: &App, name: &str) -> Result<Secret> {
    let missing = || Error::SecretNotFound(name.to_owned());
    if check_name(name).is_err() {
        return Err(missing());
    }
    let record: Option<SecretRecord> = table::get(&app.aws.dynamodb, &app.config.tables.secrets, "name", name).await?;
    record.filter(|record| record.state == State::Active).map(|record| record.secret).ok_or_else(missing)
}

/// The value of a secret.
pub async fn value(app: &App, name: &str) -> Result<String> {
    parameter::read(app, name).await
}

/// All secrets by name, without values and without a call to SSM.
pub async fn list(app: &App) -> Result<Vec<Secret>> {
    Ok(survey(app).await?.0)
}

/// All secrets by name, and the names of those whose creation or deletion was abandoned halfway.
pub async fn survey(app: &App) -> Result<(Vec<Secret>, Vec<String>)> {
    let records: Vec<SecretRecord> = table::scan(&app.aws.dynamodb, &app.config.tables.secrets).await?;
    let abandoned = abandoned_before(app);
    let mut secrets = Vec::new();
    let mut halfway = Vec::new();
    for record in records {
        match record.state {
            State::Active => secrets.push(record.secret),
            State::Creating | State::Deleting if record.secret.updated_at < abandoned => {
                halfway.push(record.secret.name)
            }
            State::Creating | State::Deleting => {}
        }
    }
    secrets.sort_by(|a, b| a.name.cmp(&b.name));
    halfway.sort();
    Ok((secrets, halfway))
}

/// Undoes an abandoned creation, or ends an abandoned deletion. Returns whether it was still abandoned.
pub async fn clear_abandoned(app: &App, name: &str, request_id: &str) -> Result<bool> {
    let abandoned = mark_deleting(app, name, request_id)
        .condition_expression("#state IN (:creating, :deleting) AND updated_at < :abandoned")
        .expression_attribute_values(":abandoned", string(time::rfc3339(abandoned_before(app))));
    remove(app, name, request_id, abandoned).await
}

/// The write that says that a secret is being deleted. Whoever makes it adds the condition under which it is.
fn mark_deleting(app: &App, name: &str, request_id: &str) -> UpdateItemFluentBuilder {
    app.aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.secrets)
        .key("name", string(name))
        .update_expression("SET #state = :deleting, updated_at = :now, modified_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":creating", string("creating"))
        .expression_attribute_values(":deleting", string("deleting"))
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .expression_attribute_values(":request", string(request_id))
}

/// Marks a secret, removes its value, then its record. `false` when the mark's condition does not hold.
async fn remove(app: &App, name: &str, request_id: &str, mark: UpdateItemFluentBuilder) -> Result<bool> {
    match mark.send().await {
        Ok(_) => {}
        Err(error) if error.condition_failed() => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    parameter::delete(app, name).await?;
    remove_record(app, name, State::Deleting, request_id).await.map(|()| true)
}

/// What was under way then and still is will not be finished by whoever began it.
fn abandoned_before(app: &App) -> Timestamp {
    let now = app.now();
    now.checked_sub(ABANDONED_AFTER).unwrap_or(now)
}

/// Whether there is a record of this name, in whatever state.
pub async fn is_known(app: &App, name: &str) -> Result<bool> {
    let record: Option<SecretRecord> = table::get(&app.aws.dynamodb, &app.config.tables.secrets, "name", name).await?;
    Ok(record.is_some())
}

/// The records of several secrets in one call, in the order asked for.
///
/// # Errors
/// [`Error::Invalid`] naming the first that is unknown.
pub async fn find_all(app: &App, names: &[String]) -> Result<Vec<Secret>> {
    let mut distinct: Vec<&String> = names.iter().collect();
    distinct.sort();
    distinct.dedup();
    if distinct.len() > 100 {
        return Err(Error::invalid("a run can name 100 secrets at most"));
    }
    for name in &distinct {
        if check_name(name).is_err() {
            return Err(unknown(name));
        }
    }
    let keys = distinct.iter().map(|name| HashMap::from([("name".to_owned(), string(name.as_str()))])).collect();
    let mut wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?;
    let mut found = HashMap::new();
    for _ in 0..8 {
        let answer = app.aws.dynamodb.batch_get_item().request_items(&app.config.tables.secrets, wanted).send().await?;
        for item in answer.responses.unwrap_or_default().into_values().flatten() {
            let record: SecretRecord = table::from_item(item)?;
            if record.state == State::Active {
                found.insert(record.secret.name.clone(), record.secret);
            }
        }
        match answer.unprocessed_keys.and_then(|keys| keys.into_values().next()) {
            Some(rest) => wanted = rest,
            None => {
                return distinct.into_iter().map(|name| found.remove(name).ok_or_else(|| unknown(name))).collect();
            }
        }
    }
    Err(Error::Database("a batch of secrets stayed unprocessed".to_owned()))
}

fn unknown(name: &str) -> Error {
    Error::invalid(format!("there is no secret {name:?}; `GET /api/v1/secrets` lists those there are"))
}

/// Changes a secret that exists.
pub async fn update(app: &App, name: &str, change: SecretChange, by: &Email, request_id: &str) -> Result<()> {
    if let Some(key_name) = &change.key_name {
        environment::check_name(key_name)?;
    }
    check_description(change.description.as_deref())?;
    if let Some(value) = &change.value {
        check_value(value)?;
        parameter::overwrite(app, name, value).await?;
    }
    let mut expression = "SET updated_at = :now, updated_by = :by, modified_by_request_id = :request".to_owned();
    let mut update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.secrets)
        .key("name", string(name))
        .condition_expression("#state = :active")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":active", string("active"))
        .expression_attribute_values(":now", string(time::rfc3339(app.now())))
        .expression_attribute_values(":by", string(by.as_str()))
        .expression_attribute_values(":request", string(request_id));
    for (attribute, value) in [("key_name", change.key_name), ("description", change.description)] {
        if let Some(value) = value {
            expression.push_str(&format!(", {attribute} = :{attribute}"));
            update = update.expression_attribute_values(format!(":{attribute}"), AttributeValue::S(value));
        }
    }
    match update.update_expression(expression).send().await {
        Ok(_) => Ok(()),
        Err(error) if error.condition_failed() => {
            // Deleted meanwhile: its new value must not outlive it.
            if change.value.is_some() {
                parameter::delete(app, name).await?;
            }
            Err(Error::SecretNotFound(name.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes a secret, value first.
pub async fn delete(app: &App, name: &str, request_id: &str) -> Result<()> {
    let existing = mark_deleting(app, name, request_id)
        .condition_expression("attribute_exists(#name) AND #state <> :creating")
        .expression_attribute_names("#name", "name");
    if remove(app, name, request_id, existing).await? { Ok(()) } else { Err(Error::SecretNotFound(name.to_owned())) }
}

async fn remove_record(app: &App, name: &str, state: State, request_id: &str) -> Result<()> {
    let removed = app
        .aws
        .dynamodb
        .delete_item()
        .table_name(&app.config.tables.secrets)
        .key("name", string(name))
        .condition_expression("#state = :state AND modified_by_request_id = :request")
        .expression_attribute_names("#state", "state")
        .expression_attribute_values(":state", string(if state == State::Creating { "creating" } else { "deleting" }))
        .expression_attribute_values(":request", string(request_id))
        .send()
        .await;
    match removed {
        Ok(_) => Ok(()),
        // Somebody else has removed it or taken it over.
        Err(error) if error.condition_failed() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Parameter names take letters, digits and `. _ -`, and no part may start with `aws` or `ssm` ("PutParameter").
fn check_name(name: &str) -> Result<()> {
    let well_formed =
        (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if well_formed {
        Ok(())
    } else {
        Err(Error::invalid("name must be 1 to 128 letters, digits, dots, hyphens or underscores"))
    }
}

fn check_value(value: &str) -> Result<()> {
    match value.len() {
        0 => Err(Error::invalid("value must not be empty")),
        1..=MAX_VALUE_BYTES => Ok(()),
        size => Err(Error::invalid(format!("value has {size} bytes; at most {MAX_VALUE_BYTES} are kept"))),
    }
}

fn check_description(description: Option<&str>) -> Result<()> {
    match description {
        Some(text) if text.len() > 1024 => Err(Error::invalid("description must have at most 1024 bytes")),
        _ => Ok(()),
    }
}
