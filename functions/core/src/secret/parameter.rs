//! Secrets' values: parameters of SSM Parameter Store, and the only place where a function touches one.

use aws_sdk_ssm::{
    operation::{
        delete_parameter::DeleteParameterError, get_parameter::GetParameterError, put_parameter::PutParameterError,
    },
    types::{ParameterStringFilter, ParameterType, ResourceTypeForTagging, Tag},
};

use crate::{App, Error, Result};

/// What marks a parameter as ours.
const TAGS: [(&str, &str); 2] = [("Application", "runvoy"), ("ManagedBy", "runvoy")];

fn full_name(app: &App, name: &str) -> String {
    format!("{}/{name}", app.config.secrets_prefix)
}

fn tags() -> Result<Vec<Tag>> {
    TAGS.iter().map(|(key, value)| Ok(Tag::builder().key(*key).value(*value).build()?)).collect()
}

/// Stores the value of a new secret, tagged. One that an abandoned creation has left is written over.
pub async fn create(app: &App, name: &str, value: &str) -> Result<()> {
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
        Err(error) => Err(Error::aws("SSM")(error)),
    }
}

/// Stores a value whether or not there is one. SSM takes no tags with it ("PutParameter").
pub async fn overwrite(app: &App, name: &str, value: &str) -> Result<()> {
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
        .map_err(Error::aws("SSM"))
}

/// # Errors
/// [`Error::SecretNotFound`] when there is none.
pub async fn read(app: &App, name: &str) -> Result<String> {
    match app.aws.ssm.get_parameter().name(full_name(app, name)).with_decryption(true).send().await {
        Ok(answer) => answer
            .parameter
            .and_then(|parameter| parameter.value)
            .ok_or_else(|| Error::Internal("a parameter came without a value".to_owned())),
        Err(error) if matches!(error.as_service_error(), Some(GetParameterError::ParameterNotFound(_))) => {
            Err(Error::SecretNotFound(name.to_owned()))
        }
        Err(error) => Err(Error::aws("SSM")(error)),
    }
}

/// Deletes a value, if there is one.
pub async fn delete(app: &App, name: &str) -> Result<()> {
    match app.aws.ssm.delete_parameter().name(full_name(app, name)).send().await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.as_service_error(), Some(DeleteParameterError::ParameterNotFound(_))) => Ok(()),
        Err(error) => Err(Error::aws("SSM")(error)),
    }
}

/// Names of the secrets that have a value. Reads none.
pub async fn names(app: &App) -> Result<Vec<String>> {
    let below =
        ParameterStringFilter::builder().key("Path").option("Recursive").values(&app.config.secrets_prefix).build()?;
    let mut pages = app.aws.ssm.describe_parameters().parameter_filters(below).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        for parameter in page.map_err(Error::aws("SSM"))?.parameters.unwrap_or_default() {
            let name = parameter.name.unwrap_or_default();
            names.extend(name.strip_prefix(&full_name(app, "")).map(str::to_owned));
        }
    }
    Ok(names)
}

/// Gives a parameter the tags that it lacks. Returns whether it lacked any.
pub async fn mend_tags(app: &App, name: &str) -> Result<bool> {
    let (ssm, id) = (&app.aws.ssm, full_name(app, name));
    let kind = ResourceTypeForTagging::Parameter;
    let listed = ssm.list_tags_for_resource().resource_type(kind.clone()).resource_id(&id).send().await;
    let present = listed.map_err(Error::aws("SSM"))?.tag_list.unwrap_or_default();
    let wanted = tags()?;
    if wanted.iter().all(|tag| present.contains(tag)) {
        return Ok(false);
    }
    let added = ssm.add_tags_to_resource().resource_type(kind).resource_id(id).set_tags(Some(wanted)).send().await;
    added.map(|_| true).map_err(Error::aws("SSM"))
}
