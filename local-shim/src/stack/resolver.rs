//! Resolves references, functions and conditions of a template as CloudFormation does.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::local::{ACCOUNT, NAME, REGION};

/// The type of a function in the template.
pub(super) const FUNCTION: &str = "AWS::Serverless::Function";

/// The type of a queue in a template.
const QUEUE: &str = "AWS::SQS::Queue";

/// The sections of a template that its resources refer to.
pub(super) struct Resolver<'a> {
    pub(super) parameters: Map<String, Value>,
    pub(super) conditions: Map<String, Value>,
    pub(super) mappings: Value,
    /// Names that overrides give to resources, by logical name.
    pub(super) names: BTreeMap<String, String>,
    /// Type and properties of each resource.
    pub(super) kinds: &'a BTreeMap<String, (String, Value)>,
}

impl Resolver<'_> {
    /// The value with each function in it replaced by its result. Each parameter has its default value.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value> {
        match value {
            Value::Array(list) => list.iter().map(|value| self.resolve(value)).collect(),
            Value::Object(object) => {
                if object.len() == 1
                    && let Some((function, argument)) = object.iter().next()
                    && (function == "Ref" || function.starts_with("Fn::"))
                {
                    return self.call(function, argument);
                }
                let resolved: Result<Map<_, _>> =
                    object.iter().map(|(key, value)| Ok((key.clone(), self.resolve(value)?))).collect();
                Ok(Value::Object(resolved?))
            }
            plain => Ok(plain.clone()),
        }
    }

    fn call(&self, function: &str, argument: &Value) -> Result<Value> {
        match (function, argument) {
            ("Ref", Value::String(name)) => self.reference(name),
            ("Fn::GetAtt", Value::Array(path)) => match path.as_slice() {
                [Value::String(name), Value::String(attribute)] => self.attribute(name, attribute).map(Value::String),
                _ => bail!("GetAtt wants a resource and an attribute"),
            },
            ("Fn::Sub", Value::String(text)) => self.substitute(text, &Map::new()).map(Value::String),
            ("Fn::Sub", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(text), Value::Object(variables)] => self.substitute(text, variables).map(Value::String),
                _ => bail!("Sub wants a text, and the variables of the text"),
            },
            ("Fn::FindInMap", Value::Array(path)) if path.len() == 3 => {
                let keys = path.iter().map(|key| self.resolve(key)).collect::<Result<Vec<_>>>()?;
                let found = keys.iter().try_fold(&self.mappings, |level, key| level.get(key.as_str()?));
                found.cloned().ok_or_else(|| anyhow!("no mapping has {keys:?}"))
            }
            ("Fn::GetAZs", _) => Ok(json!([format!("{REGION}a"), format!("{REGION}b"), format!("{REGION}c")])),
            ("Fn::Select", Value::Array(pair)) if pair.len() == 2 => {
                let list = self.resolve(&pair[1])?;
                let at = pair[0].as_u64().and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| list.get(at).cloned()).ok_or_else(|| anyhow!("Select is out of range"))
            }
            ("Fn::If", Value::Array(parts)) if parts.len() == 3 => {
                let holds = self.holds(parts[0].as_str().unwrap_or_default())?;
                self.resolve(if holds { &parts[1] } else { &parts[2] })
            }
            ("Fn::Not", Value::Array(parts)) if parts.len() == 1 => {
                Ok(Value::Bool(self.resolve(&parts[0])? != Value::Bool(true)))
            }
            ("Fn::Equals", Value::Array(parts)) if parts.len() == 2 => {
                Ok(Value::Bool(self.resolve(&parts[0])? == self.resolve(&parts[1])?))
            }
            _ => bail!("the emulation does not know {function}"),
        }
    }

    /// Tells whether the condition of this name holds.
    pub(super) fn holds(&self, condition: &str) -> Result<bool> {
        let found = self.conditions.get(condition).ok_or_else(|| anyhow!("no condition is named {condition}"))?;
        Ok(self.resolve(found)? == Value::Bool(true))
    }

    fn reference(&self, name: &str) -> Result<Value> {
        let pseudo = match name {
            "AWS::StackName" => Some(NAME),
            "AWS::Region" => Some(REGION),
            "AWS::AccountId" => Some(ACCOUNT),
            "AWS::Partition" => Some("aws"),
            "AWS::URLSuffix" => Some("amazonaws.com"),
            // A property with this value is as good as absent.
            "AWS::NoValue" => return Ok(Value::Null),
            _ => None,
        };
        if let Some(text) = pseudo {
            return Ok(Value::from(text));
        }
        if let Some(parameter) = self.parameters.get(name) {
            return Ok(parameter["Default"].clone());
        }
        let (kind, properties) = self.kinds.get(name).ok_or_else(|| anyhow!("nothing is named {name}"))?;
        if kind == QUEUE {
            return Ok(Value::String(queue_url(&physical_name(name))));
        }
        let property = name_property(kind);
        if let Some(renamed) = self.names.get(name).filter(|_| property.is_some()) {
            return Ok(Value::from(renamed.clone()));
        }
        match property.map_or(&Value::Null, |property| &properties[property]) {
            Value::Null => Ok(Value::String(physical_name(name))),
            named => self.resolve(named),
        }
    }

    fn attribute(&self, name: &str, attribute: &str) -> Result<String> {
        // SAM creates the resource of a function's URL. The port is not known here, so the system sets the variable again.
        if attribute == "FunctionUrl" {
            return Ok("http://localhost/".to_owned());
        }
        let physical = self.reference(name)?.as_str().unwrap_or_default().to_owned();
        let (kind, _) = self.kinds.get(name).ok_or_else(|| anyhow!("nothing is named {name}"))?;
        let arn = |service: &str, resource: String| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}");
        Ok(match (kind.as_str(), attribute) {
            ("AWS::DynamoDB::Table", "Arn") => arn("dynamodb", format!("table/{physical}")),
            ("AWS::DynamoDB::Table", "StreamArn") => arn("dynamodb", format!("table/{physical}/stream/local")),
            ("AWS::ECS::Cluster", "Arn") => arn("ecs", format!("cluster/{physical}")),
            ("AWS::Logs::LogGroup", "Arn") => arn("logs", format!("log-group:{physical}:*")),
            // A reference to a queue is its URL.
            (QUEUE, "Arn") => arn("sqs", physical_name(name)),
            (QUEUE, "QueueName") => physical_name(name),
            ("AWS::KMS::Key", "Arn") => arn("kms", format!("key/{physical}")),
            (FUNCTION, "Arn") => arn("lambda", format!("function:{physical}")),
            ("AWS::IAM::Role", "Arn") => format!("arn:aws:iam::{ACCOUNT}:role/{physical}"),
            ("AWS::EC2::SecurityGroup", "GroupId") => physical,
            _ => bail!("the emulation knows no attribute {attribute} of {kind}"),
        })
    }

    /// Replaces each `${name}` in a text, by a variable of this name or else by the reference.
    fn substitute(&self, text: &str, variables: &Map<String, Value>) -> Result<String> {
        let mut done = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| anyhow!("{text:?} has no closing brace"))?;
            done.push_str(before);
            let value = match (variables.get(name), name.split_once('.')) {
                (Some(variable), _) => self.resolve(variable)?,
                (None, Some((resource, attribute))) => Value::String(self.attribute(resource, attribute)?),
                (None, None) => self.reference(name)?,
            };
            done.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            rest = after;
        }
        done.push_str(rest);
        Ok(done)
    }
}

/// The property that names a resource of this kind, for the kinds that overrides can rename.
pub(super) fn name_property(kind: &str) -> Option<&'static str> {
    match kind {
        "AWS::DynamoDB::Table" => Some("TableName"),
        "AWS::ECS::Cluster" => Some("ClusterName"),
        "AWS::Logs::LogGroup" => Some("LogGroupName"),
        "AWS::Scheduler::ScheduleGroup" => Some("Name"),
        _ => None,
    }
}

/// The name of a resource that the template does not name: `Orchestrator` becomes `runvoy-local-Orchestrator`.
pub fn physical_name(logical: &str) -> String {
    format!("{NAME}-{logical}")
}

/// The URL of a queue of SQS.
fn queue_url(name: &str) -> String {
    format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}")
}
