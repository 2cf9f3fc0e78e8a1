//! Reads and writes the values of secrets, which are parameters of SSM Parameter Store. No other module reads or writes a value.

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::SecretName;
use crate::{
    App, Error, Result,
    aws::ssm::{NewParameter, Tag},
    error::Service,
};

/// The tags of every parameter that runvoy creates.
const TAGS: [(&str, &str); 2] = [("Application", "runvoy"), ("ManagedBy", "runvoy")];

fn full_name(app: &App, name: &SecretName) -> String {
    format!("{}/{name}", app.config.secrets_prefix)
}

fn tags() -> Vec<Tag> {
    TAGS.iter().map(|(key, value)| Tag { key: (*key).to_owned(), value: (*value).to_owned() }).collect()
}

fn parameter(app: &App, name: &SecretName, value: &str) -> NewParameter {
    NewParameter {
        name: full_name(app, name),
        value: value.to_owned(),
        kms_key: app.config.secrets_kms_key.clone(),
        ..NewParameter::default()
    }
}

/// Stores the value of a new secret, with tags. Overwrites a value that an abandoned creation has left.
pub(super) async fn create(app: &App, name: &SecretName, value: &str) -> Result<()> {
    match app.aws.ssm.put(NewParameter { tags: tags(), ..parameter(app, name, value) }).await {
        Err(error) if error.code() == Some("ParameterAlreadyExists") => overwrite(app, name, value).await,
        created => created.map_err(Error::aws(Service::Ssm)),
    }
}

/// Stores a value whether or not there is one. SSM allows no tags in such a call ("PutParameter").
pub(super) async fn overwrite(app: &App, name: &SecretName, value: &str) -> Result<()> {
    let put = NewParameter { overwrite: true, ..parameter(app, name, value) };
    app.aws.ssm.put(put).await.map_err(Error::aws(Service::Ssm))
}

/// # Errors
/// [`Error::SecretNotFound`] when there is none.
pub(super) async fn read(app: &App, name: &SecretName) -> Result<String> {
    match app.aws.ssm.get(full_name(app, name)).await {
        Err(error) if error.code() == Some("ParameterNotFound") => Err(Error::SecretNotFound(name.to_string())),
        got => got.map_err(Error::aws(Service::Ssm)),
    }
}

/// Deletes a value, if there is one.
pub(super) async fn delete(app: &App, name: &SecretName) -> Result<()> {
    match app.aws.ssm.delete(full_name(app, name)).await {
        Err(error) if error.code() == Some("ParameterNotFound") => Ok(()),
        deleted => deleted.map_err(Error::aws(Service::Ssm)),
    }
}

/// Names of the secrets that have a value. Reads no value.
pub(crate) async fn names(app: &App) -> Result<Vec<SecretName>> {
    let found = app.aws.ssm.below(&app.config.secrets_prefix).await.map_err(Error::aws(Service::Ssm))?;
    let prefix = format!("{}/", app.config.secrets_prefix);
    Ok(found.iter().filter_map(|parameter| parameter.name.strip_prefix(&prefix)?.parse().ok()).collect())
}

/// Gives a parameter the tags that it lacks. Returns whether it lacked any.
pub(crate) async fn mend_tags(app: &App, name: &SecretName) -> Result<bool> {
    let (ssm, id) = (&app.aws.ssm, full_name(app, name));
    let present = ssm.tags(id.clone()).await.map_err(Error::aws(Service::Ssm))?;
    let wanted = tags();
    if wanted.iter().all(|tag| present.contains(tag)) {
        return Ok(false);
    }
    ssm.add_tags(id, wanted).await.map(|()| true).map_err(Error::aws(Service::Ssm))
}
