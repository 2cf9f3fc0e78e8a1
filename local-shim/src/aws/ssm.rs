//! Emulates SSM Parameter Store: parameters of the standard tier.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use anyhow::Result;
use aws_smithy_async::time::SharedTimeSource;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    AwsError,
    error::{parse, write},
    page_token,
    state_file::StateFile,
};
use crate::stack::{ACCOUNT, REGION};

/// Bytes of the largest value in the standard tier ("PutParameter", AWS Systems Manager API Reference).
const MAX_VALUE: usize = 4096;
/// Characters of the longest name, with its ARN ("PutParameter").
const MAX_NAME: usize = 1011;
/// Parameters in one answer of DescribeParameters.
const MAX_DESCRIBED: usize = 50;
/// Levels that a name may have ("PutParameter").
const MAX_DEPTH: usize = 15;

/// The emulated Parameter Store.
#[derive(Clone)]
pub struct Ssm {
    parameters: Arc<Mutex<BTreeMap<String, Parameter>>>,
    file: StateFile,
    clock: SharedTimeSource,
}

#[derive(Clone, Serialize, Deserialize)]
struct Parameter {
    value: String,
    r#type: String,
    version: i64,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// Seconds since 1970. Parameters of an earlier version of this program have none, and are old.
    #[serde(default)]
    modified: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutParameter {
    name: String,
    value: String,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    overwrite: bool,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeParameters {
    #[serde(default)]
    parameter_filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    option: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaggedResource {
    resource_type: String,
    resource_id: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedParameter {
    name: String,
}

impl Ssm {
    pub(crate) fn open(file: StateFile, clock: SharedTimeSource) -> Result<Self> {
        Ok(Self { parameters: Arc::new(Mutex::new(file.read()?)), file, clock })
    }

    /// Answers one call.
    ///
    /// # Errors
    /// The error that SSM answers.
    pub fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        match operation {
            "PutParameter" => self.put(parse(body)?),
            "GetParameter" => self.get(parse(body)?),
            "DeleteParameter" => self.delete(parse(body)?),
            "DescribeParameters" => self.describe(parse(body)?),
            "ListTagsForResource" => self.list_tags(parse(body)?),
            "AddTagsToResource" => self.add_tags(parse(body)?),
            _ => Err(AwsError::unknown_operation()),
        }
    }

    /// The value of the parameter that a task definition's `valueFrom` names.
    pub(super) fn value_from(&self, arn: &str) -> Option<String> {
        let name = arn.split_once(":parameter").map_or(arn, |(_, name)| name);
        self.lock().get(name).map(|parameter| parameter.value.clone())
    }

    fn put(&self, request: PutParameter) -> Result<Vec<u8>, AwsError> {
        check_name(&request.name)?;
        if request.value.is_empty() {
            return Err(AwsError::new(
                "ValidationException",
                "Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.",
            ));
        }
        if request.value.len() > MAX_VALUE {
            return Err(AwsError::new(
                "ValidationException",
                format!("Standard tier parameters support a maximum parameter value of {MAX_VALUE} characters."),
            ));
        }
        if request.overwrite && !request.tags.is_empty() {
            return Err(AwsError::new(
                "ValidationException",
                "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please \
                 remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or \
                 RemoveTagsFromResource.",
            ));
        }
        let mut parameters = self.lock();
        let existing = parameters.get(&request.name);
        if existing.is_some() && !request.overwrite {
            return Err(AwsError::new(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
            ));
        }
        let r#type = match (request.r#type, existing) {
            (Some(kind), _) if ["String", "StringList", "SecureString"].contains(&kind.as_str()) => kind,
            (None, Some(existing)) => existing.r#type.clone(),
            _ => {
                return Err(AwsError::new(
                    "ValidationException",
                    "A parameter type is required when you create a parameter.",
                ));
            }
        };
        let version = existing.map_or(1, |existing| existing.version + 1);
        let mut tags = existing.map(|existing| existing.tags.clone()).unwrap_or_default();
        tags.extend(request.tags.into_iter().map(|tag| (tag.key, tag.value)));
        let modified = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        parameters.insert(request.name, Parameter { value: request.value, r#type, version, tags, modified });
        self.file.write(&*parameters).map_err(|error| AwsError::internal(&error))?;
        write(&json!({"Version": version, "Tier": "Standard"}))
    }

    fn get(&self, request: NamedParameter) -> Result<Vec<u8>, AwsError> {
        let parameters = self.lock();
        let parameter = parameters.get(&request.name).ok_or_else(|| AwsError::new("ParameterNotFound", ""))?;
        write(&json!({"Parameter": {
            "Name": request.name,
            "Type": parameter.r#type,
            "Value": parameter.value,
            "Version": parameter.version,
            "ARN": format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{}", request.name),
            "DataType": "text",
        }}))
    }

    fn delete(&self, request: NamedParameter) -> Result<Vec<u8>, AwsError> {
        let mut parameters = self.lock();
        parameters.remove(&request.name).ok_or_else(|| AwsError::new("ParameterNotFound", ""))?;
        self.file.write(&*parameters).map_err(|error| AwsError::internal(&error))?;
        write(&json!({}))
    }

    /// Answers with parameters without their values, all or those below a path.
    fn describe(&self, request: DescribeParameters) -> Result<Vec<u8>, AwsError> {
        let mut below = None;
        for filter in &request.parameter_filters {
            match (filter.key.as_str(), filter.option.as_deref(), filter.values.as_slice()) {
                ("Path", Some("Recursive"), [path]) => below = Some(format!("{path}/")),
                _ => {
                    return Err(AwsError::new(
                        "InvalidFilterKey",
                        "The emulation knows the filter Path with the option Recursive only.",
                    ));
                }
            }
        }
        let limit = request.max_results.unwrap_or(MAX_DESCRIBED);
        if !(1..=MAX_DESCRIBED).contains(&limit) {
            return Err(AwsError::new("ValidationException", format!("MaxResults must be 1 to {MAX_DESCRIBED}.")));
        }
        let parameters = self.lock();
        let invalid_token = || AwsError::new("InvalidNextToken", "The specified token isn't valid.");
        let after = request.next_token.map(|token| page_token::read(&token).ok_or_else(invalid_token)).transpose()?;
        let after = after.unwrap_or_default();
        let mut rest = parameters
            .iter()
            .filter(|(name, _)| **name > after && below.as_ref().is_none_or(|below| name.starts_with(below)));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let described: Vec<_> = page
            .iter()
            .map(|(name, parameter)| {
                json!({
                    "Name": name, "Type": parameter.r#type, "Version": parameter.version, "Tier": "Standard",
                    "DataType": "text", "ARN": format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{name}"),
                    "LastModifiedDate": parameter.modified,
                })
            })
            .collect();
        let next = rest.next().and(page.last()).map(|(name, _)| page_token::after(name));
        write(&json!({"Parameters": described, "NextToken": next}))
    }

    fn list_tags(&self, request: TaggedResource) -> Result<Vec<u8>, AwsError> {
        let parameters = self.lock();
        let parameter = request.parameter(|name| parameters.get(name))?;
        let tags: Vec<Tag> =
            parameter.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect();
        write(&json!({"TagList": tags}))
    }

    fn add_tags(&self, request: TaggedResource) -> Result<Vec<u8>, AwsError> {
        let mut parameters = self.lock();
        let parameter = request.parameter(|name| parameters.get_mut(name))?;
        parameter.tags.extend(request.tags.into_iter().map(|tag| (tag.key, tag.value)));
        self.file.write(&*parameters).map_err(|error| AwsError::internal(&error))?;
        write(&json!({}))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Parameter>> {
        self.parameters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaggedResource {
    fn parameter<P>(&self, find: impl FnOnce(&str) -> Option<P>) -> Result<P, AwsError> {
        if self.resource_type != "Parameter" {
            return Err(AwsError::new("InvalidResourceType", "The emulation knows parameters only."));
        }
        find(&self.resource_id).ok_or_else(|| AwsError::new("InvalidResourceId", ""))
    }
}

fn check_name(name: &str) -> Result<(), AwsError> {
    let well_formed = name.len() <= MAX_NAME
        && name.starts_with('/')
        && name.matches('/').count() <= MAX_DEPTH
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.-".contains(&b));
    let reserved =
        name.get(1..4).is_some_and(|start| start.eq_ignore_ascii_case("aws") || start.eq_ignore_ascii_case("ssm"));
    if reserved && name[1..4].eq_ignore_ascii_case("aws") {
        return Err(AwsError::new("AccessDeniedException", format!("No access to reserved parameter name: {name}.")));
    }
    if reserved {
        return Err(AwsError::new(
            "ValidationException",
            "Parameter name: can't be prefixed with \"ssm\" (case-insensitive).",
        ));
    }
    if well_formed {
        Ok(())
    } else {
        Err(AwsError::new(
            "ValidationException",
            "Parameter name must be a fully qualified name of letters, digits and /_.- .",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_answer_had_is_refused() {
        let ssm = Ssm::open(StateFile::new(None, "parameters.json"), SharedTimeSource::default()).unwrap();
        let refused = ssm.call("DescribeParameters", br#"{"NextToken":"nonsense"}"#).unwrap_err();
        assert!(format!("{refused:?}").contains("InvalidNextToken"), "{refused:?}");
    }
}
