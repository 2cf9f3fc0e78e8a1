//! The local stack: the resources of `template.yaml`, with every reference resolved as CloudFormation resolves it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use yaml_serde::Value as Yaml;

pub const ACCOUNT: &str = "000000000000";
pub const REGION: &str = "us-east-1";
/// The name of the local stack.
pub const NAME: &str = "runvoy-local";
const FUNCTION: &str = "AWS::Serverless::Function";

/// The template, as it was when this program was built.
const BUNDLED: &str = include_str!("../../template.yaml");

/// A template with its references resolved.
pub struct Stack {
    resources: BTreeMap<String, Resource>,
    globals: Value,
}

struct Resource {
    kind: String,
    properties: Value,
}

/// The settings of a function.
#[derive(Clone, Debug, Default)]
pub struct FunctionSettings {
    pub environment: BTreeMap<String, String>,
    pub timeout: std::time::Duration,
    pub memory_mb: i32,
    /// The log group of the function's own lines.
    pub log_group: Option<String>,
    /// The policies of its role.
    pub policies: Value,
    /// The sources of its events: type and properties of each.
    pub events: Vec<(String, Value)>,
}

impl Stack {
    /// The stack of the template that is part of this program. An override of a variable whose value in the template is a reference
    /// to a table, a cluster or a log group gives that resource another name, in every place that refers to it.
    ///
    /// # Errors
    /// The template refers to something that is not emulated.
    pub fn bundled(overrides: &BTreeMap<String, String>) -> Result<Self> {
        Self::parse(BUNDLED, overrides).context("template.yaml cannot be used")
    }

    fn parse(text: &str, overrides: &BTreeMap<String, String>) -> Result<Self> {
        let yaml: Yaml = yaml_serde::from_str(text)?;
        let template = plain(yaml)?;
        let object = |name: &str| template[name].as_object().cloned().unwrap_or_default();
        let kinds: BTreeMap<String, (String, Value)> = object("Resources")
            .into_iter()
            .map(|(name, resource)| {
                let kind = resource["Type"].as_str().ok_or_else(|| anyhow!("resource {name} has no Type"))?;
                Ok((name, (kind.to_owned(), resource["Properties"].clone())))
            })
            .collect::<Result<_>>()?;
        let variables = &template["Globals"]["Function"]["Environment"]["Variables"];
        let names = variables.as_object().into_iter().flatten().filter_map(|(variable, value)| {
            Some((value["Ref"].as_str()?.to_owned(), overrides.get(variable)?.clone()))
        });
        let resolver = Resolver {
            parameters: object("Parameters"),
            conditions: object("Conditions"),
            names: names.collect(),
            kinds: &kinds,
        };
        let mut resources = BTreeMap::new();
        for (name, (kind, properties)) in &kinds {
            let mut properties = resolver.resolve(properties).with_context(|| format!("in resource {name}"))?;
            if let Some((property, renamed)) = name_property(kind).zip(resolver.names.get(name)) {
                properties[property] = Value::from(renamed.clone());
            }
            resources.insert(name.clone(), Resource { kind: kind.clone(), properties });
        }
        let globals = resolver.resolve(&template["Globals"]["Function"]).context("in Globals")?;
        Ok(Self { resources, globals })
    }

    /// A `CreateTable` request for each table, and the table's TTL attribute if it has one.
    pub fn tables(&self) -> Vec<(Value, Option<String>)> {
        self.of_kind("AWS::DynamoDB::Table")
            .map(|properties| {
                let time_to_live = properties["TimeToLiveSpecification"]["AttributeName"].as_str().map(str::to_owned);
                let mut request = properties.clone();
                if let Some(request) = request.as_object_mut() {
                    // CloudFormation sets these with other calls.
                    request.remove("TimeToLiveSpecification");
                    request.remove("PointInTimeRecoverySpecification");
                    request.remove("SSESpecification");
                    if let Some(stream) = request.get_mut("StreamSpecification") {
                        stream["StreamEnabled"] = Value::Bool(true);
                    }
                }
                (request, time_to_live)
            })
            .collect()
    }

    /// The names of the IAM roles.
    pub fn roles(&self) -> Vec<String> {
        self.resources
            .iter()
            .filter(|(_, resource)| resource.kind == "AWS::IAM::Role")
            .map(|(name, _)| physical_name(name))
            .collect()
    }

    /// The settings of the function with this logical name.
    ///
    /// # Errors
    /// The template defines no such function.
    pub fn function(&self, name: &str) -> Result<FunctionSettings> {
        let resource = self
            .resources
            .get(name)
            .filter(|resource| resource.kind == FUNCTION)
            .ok_or_else(|| anyhow!("template.yaml defines no function {name}"))?;
        let setting = |key: &str| match &resource.properties[key] {
            Value::Null => self.globals[key].clone(),
            own => own.clone(),
        };
        let mut environment = BTreeMap::new();
        for variables in [&self.globals["Environment"]["Variables"], &resource.properties["Environment"]["Variables"]] {
            for (name, value) in variables.as_object().into_iter().flatten() {
                if !value.is_null() {
                    environment.insert(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                }
            }
        }
        environment.insert("AWS_REGION".to_owned(), REGION.to_owned());
        let events = resource.properties["Events"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, event)| (event["Type"].as_str().unwrap_or_default().to_owned(), event["Properties"].clone()))
            .collect();
        Ok(FunctionSettings {
            environment,
            policies: resource.properties["Policies"].clone(),
            log_group: resource.properties["LoggingConfig"]["LogGroup"].as_str().map(str::to_owned),
            timeout: std::time::Duration::from_secs(setting("Timeout").as_u64().unwrap_or(3)),
            memory_mb: setting("MemorySize").as_i64().and_then(|mb| mb.try_into().ok()).unwrap_or(128),
            events,
        })
    }

    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.resources.values().filter(move |resource| resource.kind == kind).map(|resource| &resource.properties)
    }
}

/// Turns YAML into JSON, and CloudFormation's short forms (`!Ref`) into their long ones.
fn plain(yaml: Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => Value::Bool(flag),
        Yaml::Number(number) => serde_json::to_value(number)?,
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(list) => Value::Array(list.into_iter().map(plain).collect::<Result<_>>()?),
        Yaml::Mapping(map) => {
            let mut object = Map::new();
            for (key, value) in map {
                let Yaml::String(key) = key else { bail!("a key is not text: {key:?}") };
                object.insert(key, plain(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            let name = name.trim_start_matches('!');
            let argument = plain(tagged.value)?;
            match (name, &argument) {
                ("Ref", _) => json!({"Ref": argument}),
                ("GetAtt", Value::String(path)) => {
                    let (resource, attribute) = path.split_once('.').unwrap_or((path, ""));
                    json!({"Fn::GetAtt": [resource, attribute]})
                }
                _ => json!({format!("Fn::{name}"): argument}),
            }
        }
    })
}

struct Resolver<'a> {
    parameters: Map<String, Value>,
    conditions: Map<String, Value>,
    /// Names that overrides give to resources, by logical name.
    names: BTreeMap<String, String>,
    kinds: &'a BTreeMap<String, (String, Value)>,
}

impl Resolver<'_> {
    fn resolve(&self, value: &Value) -> Result<Value> {
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
            ("Fn::Sub", Value::String(text)) => self.substitute(text).map(Value::String),
            ("Fn::GetAZs", _) => Ok(json!([format!("{REGION}a"), format!("{REGION}b"), format!("{REGION}c")])),
            ("Fn::Select", Value::Array(pair)) if pair.len() == 2 => {
                let list = self.resolve(&pair[1])?;
                let at = pair[0].as_u64().and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| list.get(at).cloned()).ok_or_else(|| anyhow!("Select is out of range"))
            }
            ("Fn::If", Value::Array(parts)) if parts.len() == 3 => {
                let name = parts[0].as_str().unwrap_or_default();
                let condition = self.conditions.get(name).ok_or_else(|| anyhow!("no condition is named {name}"))?;
                let chosen = if self.resolve(condition)? == Value::Bool(true) { &parts[1] } else { &parts[2] };
                self.resolve(chosen)
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
            ("AWS::SQS::Queue", "Arn") => arn("sqs", physical),
            ("AWS::SQS::Queue", "QueueName") => physical,
            ("AWS::KMS::Key", "Arn") => arn("kms", format!("key/{physical}")),
            (FUNCTION, "Arn") => arn("lambda", format!("function:{physical}")),
            ("AWS::IAM::Role", "Arn") => format!("arn:aws:iam::{ACCOUNT}:role/{physical}"),
            ("AWS::EC2::SecurityGroup", "GroupId") => physical,
            _ => bail!("the emulation knows no attribute {attribute} of {kind}"),
        })
    }

    fn substitute(&self, text: &str) -> Result<String> {
        let mut done = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| anyhow!("{text:?} has no closing brace"))?;
            done.push_str(before);
            match name.split_once('.') {
                Some((resource, attribute)) => done.push_str(&self.attribute(resource, attribute)?),
                None => {
                    let value = self.reference(name)?;
                    done.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                }
            }
            rest = after;
        }
        done.push_str(rest);
        Ok(done)
    }
}

/// The property that names a resource of this kind, for the kinds that overrides can rename.
fn name_property(kind: &str) -> Option<&'static str> {
    match kind {
        "AWS::DynamoDB::Table" => Some("TableName"),
        "AWS::ECS::Cluster" => Some("ClusterName"),
        "AWS::Logs::LogGroup" => Some("LogGroupName"),
        _ => None,
    }
}

/// The name of a resource that the template does not name: `Orchestrator` becomes `runvoy-local-Orchestrator`.
pub fn physical_name(logical: &str) -> String {
    format!("{NAME}-{logical}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_template_sets_every_variable_that_the_functions_want() {
        let stack = Stack::bundled(&BTreeMap::new()).unwrap();
        for name in ["Orchestrator", "EventProcessor"] {
            let settings = stack.function(name).unwrap();
            runvoy_core::config::Config::from_lookup(|name| settings.environment.get(name).cloned()).unwrap();
        }
    }

    #[test]
    fn references_resolve_as_cloudformation_resolves_them() {
        let stack = Stack::parse(
            "Parameters: {Days: {Type: Number, Default: 7}}\n\
             Resources:\n\
             \x20 T: {Type: 'AWS::DynamoDB::Table', Properties: {TableName: !Sub '${AWS::StackName}-t', N: !Ref Days}}\n\
             \x20 F: {Type: 'AWS::Serverless::Function', Properties: {Timeout: 9, Environment: {Variables: \
             {A: !GetAtt T.Arn, B: !Sub 'x-${T}-${T.Arn}'}}}}\n",
            &BTreeMap::new(),
        )
        .unwrap();
        assert_eq!(stack.tables()[0].0, json!({"TableName": "runvoy-local-t", "N": 7}));
        let settings = stack.function("F").unwrap();
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/runvoy-local-t";
        assert_eq!(settings.environment["A"], arn);
        assert_eq!(settings.environment["B"], format!("x-runvoy-local-t-{arn}"));
        assert_eq!(settings.timeout.as_secs(), 9);
    }

    #[test]
    fn an_override_renames_a_resource_wherever_the_template_refers_to_it() {
        let overrides = BTreeMap::from([("CLUSTER".to_owned(), "mine".to_owned())]);
        let stack = Stack::parse(
            "Globals: {Function: {Environment: {Variables: {CLUSTER: !Ref C}}}}\n\
             Resources:\n\
             \x20 C: {Type: 'AWS::ECS::Cluster', Properties: {ClusterName: !Ref 'AWS::StackName'}}\n\
             \x20 F: {Type: 'AWS::Serverless::Function', Properties: {Events: {E: {Type: EventBridgeRule, Properties: \
             {Pattern: {detail: {clusterArn: [!GetAtt C.Arn]}}}}}}}\n",
            &overrides,
        )
        .unwrap();
        let settings = stack.function("F").unwrap();
        assert_eq!(settings.environment["CLUSTER"], "mine");
        let pattern = json!({"detail": {"clusterArn": ["arn:aws:ecs:us-east-1:000000000000:cluster/mine"]}});
        assert_eq!(settings.events[0].1["Pattern"], pattern);
    }

    #[test]
    fn a_reference_to_nothing_is_an_error_that_names_it() {
        let error =
            Stack::parse("Resources: {A: {Type: X, Properties: {B: !Ref Nowhere}}}", &BTreeMap::new()).err().unwrap();
        assert!(format!("{error:#}").contains("Nowhere"));
    }
}
