//! SSM Parameter Store: parameters of the standard tier.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    AwsError,
    error::{parse, write},
    state_file::StateFile,
};
use crate::stack::{ACCOUNT, REGION};

/// The largest value of the standard tier.
const MAX_VALUE: usize = 4096;
/// The longest name, its ARN included ("PutParameter").
const MAX_NAME: usize = 1011;
/// How deep a name may go.
const MAX_DEPTH: usize = 15;

#[derive(Clone)]
pub struct Ssm {
    parameters: Arc<Mutex<BTreeMap<String, Parameter>>>,
    file: StateFile,
}

#[derive(Clone, Serialize, Deserialize)]
struct Parameter {
    value: String,
    r#type: String,
    version: i64,
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
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedParameter {
    name: String,
}

impl Ssm {
    pub fn open(file: StateFile) -> Result<Self> {
        Ok(Self { parameters: Arc::new(Mutex::new(file.read()?)), file })
    }

    /// Answers one call.
    pub fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        match operation {
            "PutParameter" => self.put(parse(body)?),
            "GetParameter" => self.get(parse(body)?),
            "DeleteParameter" => self.delete(parse(body)?),
            _ => Err(AwsError::unknown_operation()),
        }
    }

    /// The value that a task definition's `valueFrom` names: what ECS hands to a container.
    pub fn value_from(&self, arn: &str) -> Option<String> {
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
        parameters.insert(request.name, Parameter { value: request.value, r#type, version });
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

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Parameter>> {
        self.parameters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_name(name: &str) -> Result<(), AwsError> {
    let well_formed = name.len() <= MAX_NAME
        && name.starts_with('/')
        && name.matches('/').count() <= MAX_DEPTH
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.-".contains(&b));
    let reserved =
        name.get(1..4).is_some_and(|start| start.eq_ignore_ascii_case("aws") || start.eq_ignore_ascii_case("ssm"));
    if reserved {
        return Err(AwsError::new(
            "ValidationException",
            "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).",
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
