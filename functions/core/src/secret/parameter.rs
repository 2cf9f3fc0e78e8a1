//! Reads and writes the values of secrets, which are parameters of SSM Parameter Store. No other module reads or writes a value.

use aws_sdk_ssm::{
    operation::{
        delete_parameter::DeleteParameterError, get_parameter::GetParameterError, put_parameter::PutParameterError,
    },
    types::{ParameterStringFilter, ParameterType, ResourceTypeForTagging, Tag},
};

use super::SecretName;
use crate::{App, Error, Result, error::Service};

/// The tags of every parameter that runvoy creates.
const TAGS: [(&str, &str); 2] = [("Application", "runvoy"), ("ManagedBy", "runvoy")];

fn full_name(app: &App, name: &SecretName) -> String {
    format!("{}/{name}", app.config.secrets_prefix)
}

fn tags() -> Result<Vec<Tag>> {
    TAGS.iter().map(|(key, value)| Ok(Tag::builder().key(*key).value(*value).build()?)).collect()
}

/// Stores the value of a new secret, with tags. Overwrites a value that an abandoned creation has left.
pub(super) async fn create(app: &App, name: &SecretName, value: &str) -> Result<()> {
    let created = app
        .aws
        .ssm
        .put_parameter()
        .name(full_name(app, name))
        .value(value)
        .r#type(ParameterType::SecureString)
        .set_key_id(app.config.secrets_kms_key.clone())
        .set_tags(Some(tags()?))
        .send()
        .await;
    match created {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.as_service_error(), Some(PutParameterError::ParameterAlreadyExists(_))) => {
            overwrite(app, name, value).await
        }
        Err(error) => Err(Error::aws(Service::Ssm)(error)),
    }
}

/// Stores a value whether or not there is one. SSM allows no tags in such a call ("PutParameter").
pub(super) async fn overwrite(app: &App, name: &SecretName, value: &str) -> Result<()> {
    app.aws
        .ssm
        .put_parameter()
        .name(full_name(app, name))
        .value(value)
        .r#type(ParameterType::SecureString)
        .set_key_id(app.config.secrets_kms_key.clone())
        .overwrite(true)
        .send()
        .await
        .map(drop)
        .map_err(Error::aws(Service::Ssm))
}

/// # Errors
/// [`Error::SecretNotFound`] when there is none.
pub(super) async fn read(app: &App, name: &SecretName) -> Result<String> {
    match app.aws.ssm.get_parameter().name(full_name(app, name)).with_decryption(true).send().await {
        Ok(answer) => answer
            .parameter
            .and_then(|parameter| parameter.value)
            .ok_or_else(|| Error::internal("SSM answered with a parameter that has no value")),
        Err(error) if matches!(error.as_service_error(), Some(GetParameterError::ParameterNotFound(_))) => {
            Err(Error::SecretNotFound(name.to_string()))
        }
        Err(error) => Err(Error::aws(Service::Ssm)(error)),
    }
}

/// Deletes a value, if there is one.
pub(super) async fn delete(app: &App, name: &SecretName) -> Result<()> {
    match app.aws.ssm.delete_parameter().name(full_name(app, name)).send().await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.as_service_error(), Some(DeleteParameterError::ParameterNotFound(_))) => Ok(()),
        Err(error) => Err(Error::aws(Service::Ssm)(error)),
    }
}

/// Names of the secrets that have a value. Reads no value.
pub(crate) async fn names(app: &App) -> Result<Vec<SecretName>> {
    let below =
        ParameterStringFilter::builder().key("Path").option("Recursive").values(&app.config.secrets_prefix).build()?;
    let mut pages = app.aws.ssm.describe_parameters().parameter_filters(below).into_paginator().send();
    let prefix = format!("{}/", app.config.secrets_prefix);
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        for parameter in page.map_err(Error::aws(Service::Ssm))?.parameters.unwrap_or_default() {
            let name = parameter.name.unwrap_or_default();
            names.extend(name.strip_prefix(&prefix).and_then(|name| name.parse().ok()));
        }
    }
    Ok(names)
}

/// Gives a parameter the tags that it lacks. Returns whether it lacked any.
pub(crate) async fn mend_tags(app: &App, name: &SecretName) -> Result<bool> {
    let (ssm, id) = (&app.aws.ssm, full_name(app, name));
    let kind = ResourceTypeForTagging::Parameter;
    let listed = ssm.list_tags_for_resource().resource_type(kind.clone()).resource_id(&id).send().await;
    let present = listed.map_err(Error::aws(Service::Ssm))?.tag_list.unwrap_or_default();
    let wanted = tags()?;
    if wanted.iter().all(|tag| present.contains(tag)) {
        return Ok(false);
    }
    let added = ssm.add_tags_to_resource().resource_type(kind).resource_id(id).set_tags(Some(wanted)).send().await;
    added.map(|_| true).map_err(Error::aws(Service::Ssm))
}
