//! Reads the local stack: the resources of `template.yaml`, with every reference resolved as CloudFormation resolves it.

mod local;
mod resolver;

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use yaml_serde::Value as Yaml;

pub use local::{ACCOUNT, NAME, REGION};
pub use resolver::physical_name;
use resolver::{FUNCTION, Resolver, name_property};

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

/// A metric that CloudWatch makes from the lines of a log group.
#[derive(Clone, Debug)]
pub struct MetricFilter<'a> {
    pub log_group: &'a str,
    /// The pattern of the lines that count ("Filter pattern syntax for metric filters", CloudWatch Logs).
    pub pattern: &'a str,
    pub metric: &'a str,
    /// A number, or the field of the line that has it.
    pub value: &'a str,
    /// The namespace, the name and the names of the dimensions, as a dashboard or an alarm refers to the metric.
    pub reference: Vec<&'a str>,
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
        let definitions = object("Resources");
        let kinds: BTreeMap<String, (String, Value)> = definitions
            .clone()
            .into_iter()
            .map(|(name, resource)| {
                let kind = resource["Type"].as_str().ok_or_else(|| anyhow!("resource {name} has no Type"))?;
                Ok((name, (kind.to_owned(), resource["Properties"].clone())))
            })
            .collect::<Result<_>>()?;
        let variables = &template["Globals"]["Function"]["Environment"]["Variables"];
        let names = variables.as_object().into_iter().flatten().filter_map(|(variable, value)| {
            Some((value["Ref"].as_str()?.to_owned(), name_of(overrides.get(variable)?).to_owned()))
        });
        let resolver = Resolver {
            parameters: object("Parameters"),
            conditions: object("Conditions"),
            mappings: template["Mappings"].clone(),
            names: names.collect(),
            kinds: &kinds,
        };
        let mut resources = BTreeMap::new();
        for (name, (kind, properties)) in &kinds {
            if let Some(condition) = definitions[name]["Condition"].as_str()
                && !resolver.holds(condition)?
            {
                continue;
            }
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

    /// The queues of SQS: the name and the properties of each.
    pub fn queues(&self) -> impl Iterator<Item = (String, &Value)> {
        self.named("AWS::SQS::Queue").map(|(name, properties)| (physical_name(name), properties))
    }

    /// The names of the IAM roles.
    pub fn roles(&self) -> Vec<String> {
        self.named("AWS::IAM::Role").map(|(name, _)| physical_name(name)).collect()
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

    /// The frame with which API Gateway itself answers each frame of this route. `None` unless the route has a mock as its integration
    /// and a route response ("Set up route responses for a WebSocket API", API Gateway Developer Guide).
    pub fn mock_answer(&self, route: &str) -> Option<String> {
        let (name, route) = self.named("AWS::ApiGatewayV2::Route").find(|(_, found)| found["RouteKey"] == route)?;
        self.of_kind("AWS::ApiGatewayV2::RouteResponse").find(|response| response["RouteId"] == physical_name(name))?;
        let id = route["Target"].as_str()?.strip_prefix("integrations/")?;
        self.named("AWS::ApiGatewayV2::Integration")
            .find(|(name, found)| physical_name(name) == id && found["IntegrationType"] == "MOCK")?;
        let response = self
            .of_kind("AWS::ApiGatewayV2::IntegrationResponse")
            .find(|response| response["IntegrationId"] == id && response["IntegrationResponseKey"] == "$default")?;
        let template = response["TemplateSelectionExpression"].as_str()?;
        response["ResponseTemplates"][template].as_str().map(str::to_owned)
    }

    /// The metrics that CloudWatch makes from log lines: log group, pattern and metric of each.
    pub fn metric_filters(&self) -> Vec<MetricFilter<'_>> {
        self.of_kind("AWS::Logs::MetricFilter")
            .filter_map(|filter| {
                let metric = &filter["MetricTransformations"][0];
                let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
                let dimensions = dimensions.filter_map(|dimension| dimension["Key"].as_str());
                let own_name = [metric["MetricNamespace"].as_str()?, metric["MetricName"].as_str()?];
                Some(MetricFilter {
                    reference: own_name.into_iter().chain(dimensions).collect(),
                    log_group: filter["LogGroupName"].as_str()?,
                    pattern: filter["FilterPattern"].as_str()?,
                    metric: metric["MetricName"].as_str()?,
                    value: metric["MetricValue"].as_str()?,
                })
            })
            .collect()
    }

    /// The metrics of a namespace that the dashboards show and the alarms watch, in the form of [`MetricFilter::reference`].
    pub fn metrics_in_use(&self, namespace: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for dashboard in self.of_kind("AWS::CloudWatch::Dashboard") {
            let body: Value = dashboard["DashboardBody"]
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default();
            for metric in list(&body["widgets"]).flat_map(|widget| list(&widget["properties"]["metrics"])) {
                // After namespace and name, names and values of dimensions alternate, and options may follow.
                let texts: Vec<&str> = list(metric).map_while(Value::as_str).collect();
                let names = texts.iter().enumerate().filter(|(at, _)| *at < 3 || at % 2 == 0);
                found.push(names.map(|(_, name)| (*name).to_owned()).collect());
            }
        }
        for alarm in self.of_kind("AWS::CloudWatch::Alarm") {
            let own_name = [&alarm["Namespace"], &alarm["MetricName"]];
            let dimensions = list(&alarm["Dimensions"]).map(|dimension| &dimension["Name"]);
            found.push(own_name.into_iter().chain(dimensions).filter_map(Value::as_str).map(str::to_owned).collect());
        }
        found.retain(|metric: &Vec<String>| metric.first().is_some_and(|first| first == namespace));
        found
    }

    fn named(&self, kind: &'static str) -> impl Iterator<Item = (&str, &Value)> {
        let resources = self.resources.iter().filter(move |(_, resource)| resource.kind == kind);
        resources.map(|(name, resource)| (name.as_str(), &resource.properties))
    }

    /// The properties of all resources of a kind, such as `AWS::CloudWatch::Alarm`.
    pub fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.named(kind).map(|(_, properties)| properties)
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The name of a resource that is named by itself or by its ARN.
pub(crate) fn name_of(name_or_arn: &str) -> &str {
    match name_or_arn.strip_prefix("arn:").and_then(|arn| arn.rsplit_once('/')) {
        Some((_, name)) => name,
        None => name_or_arn,
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
    fn concurrency_is_reserved_for_the_function_whose_parameter_says_so() {
        let reserved = |text: &str, function: &str| {
            Stack::parse(text, &BTreeMap::new()).unwrap().resources[function].properties["ReservedConcurrentExecutions"]
                .clone()
        };
        for (parameter, function, other) in [
            ("ApiConcurrency", "Orchestrator", "EventProcessor"),
            ("EventConcurrency", "EventProcessor", "Orchestrator"),
        ] {
            let default = format!("{parameter}:\n    Type: Number\n    Default: \"0\"");
            assert!(BUNDLED.contains(&default), "{parameter} is another one in the template");
            let set = BUNDLED.replace(&default, &default.replace("\"0\"", "\"7\""));
            assert_eq!(reserved(BUNDLED, function), Value::Null, "{parameter} reserves nothing by default");
            assert!(["7", "\"7\""].contains(&reserved(&set, function).to_string().as_str()), "{parameter}");
            assert_eq!(reserved(&set, other), Value::Null, "{parameter}");
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
    fn conditions_mappings_and_variables_of_a_text_are_resolved() {
        let stack = Stack::parse(
            "Parameters: {Roles: {Type: String, Default: ''}, Zone: {Type: String, Default: any}}\n\
             Conditions: {HasRoles: !Not [!Equals [!Ref Roles, '']]}\n\
             Mappings: {Zones: {any: {Cidr: 10.0.0.0/20}}}\n\
             Resources:\n\
             \x20 A: {Type: X, Condition: HasRoles, Properties: {B: !Ref Nowhere}}\n\
             \x20 C: {Type: Y, Properties: {Cidr: !FindInMap [Zones, !Ref Zone, Cidr], Role: !Sub ['role/${Names}-${Zone}', \
             {Names: !If [HasRoles, !Ref Roles, !Sub '${AWS::StackName}-task-*']}]}}\n",
            &BTreeMap::new(),
        )
        .unwrap();
        assert_eq!(stack.of_kind("X").count(), 0, "its condition does not hold");
        let made: Vec<_> = stack.of_kind("Y").collect();
        assert_eq!(made, [&json!({"Cidr": "10.0.0.0/20", "Role": "role/runvoy-local-task-*-any"})]);
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
