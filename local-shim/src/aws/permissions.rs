//! Names the permissions that IAM wants of a caller for each call ("Service Authorization Reference"): actions on resources, under
//! conditions. A test checks that the template's policies give them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;

use crate::stack::{ACCOUNT, REGION, physical_name};

/// An action on a resource, with the condition keys that policies can ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    pub action: String,
    /// An ARN, or `*` for an operation for which IAM knows no resource.
    pub resource: String,
    pub conditions: BTreeMap<&'static str, String>,
}

/// The permissions that each caller has needed since the watching began.
#[derive(Clone, Default)]
pub struct Needed(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_watched: AtomicBool,
    accesses: Mutex<BTreeMap<&'static str, BTreeSet<Access>>>,
}

impl Needed {
    /// Notes what later calls need. It costs time, so only a test asks for it.
    pub(crate) fn watch(&self) {
        self.0.is_watched.store(true, Ordering::Relaxed);
    }

    pub(super) fn note(&self, caller: &'static str, service: &str, operation: &str, body: &[u8]) {
        if !self.0.is_watched.load(Ordering::Relaxed) {
            return;
        }
        let request: Value = serde_json::from_slice(body).unwrap_or_else(|_| form(body));
        let mut all = self.0.accesses.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(caller).or_default().extend(accesses(service, operation, &request));
    }

    /// The permissions that this caller has needed so far.
    pub(crate) fn by(&self, caller: &str) -> BTreeSet<Access> {
        self.0.accesses.lock().unwrap_or_else(PoisonError::into_inner).get(caller).cloned().unwrap_or_default()
    }
}

/// The body of a request in the query protocol, as an object.
fn form(body: &[u8]) -> Value {
    let body = String::from_utf8_lossy(body);
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect()
}

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn on(action: impl Into<String>, resource: impl Into<String>) -> Access {
    Access { action: action.into(), resource: resource.into(), conditions: BTreeMap::new() }
}

impl Access {
    fn under(mut self, condition: &'static str, value: impl Into<String>) -> Self {
        self.conditions.insert(condition, value.into());
        self
    }
}

/// The items of a list, or the one item that stands for a list.
fn listed(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    }
}

/// A statement of a role's policies, which allows some actions on some resources ("IAM JSON policy element reference").
#[derive(Clone, Debug)]
pub struct Statement {
    pub actions: Vec<String>,
    resources: Vec<String>,
    conditions: Value,
}

impl Statement {
    /// The statements of policies that allow something.
    pub fn all(policies: &Value) -> Vec<Self> {
        let texts = |value: &Value| listed(value).iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect();
        let statements = listed(policies).into_iter().flat_map(|policy| listed(&policy["Statement"]));
        statements
            .filter(|statement| statement["Effect"] == "Allow")
            .map(|statement| Self {
                actions: texts(&statement["Action"]),
                resources: texts(&statement["Resource"]),
                conditions: statement["Condition"].clone(),
            })
            .collect()
    }

    /// Tells whether the statement allows this access. A condition of a kind that is not known here allows nothing.
    pub fn allows(&self, access: &Access) -> bool {
        let conditions = self.conditions.as_object().into_iter().flatten();
        self.actions.contains(&access.action)
            && self.resources.iter().any(|pattern| matches(pattern, &access.resource))
            && conditions
                .flat_map(|(kind, keys)| keys.as_object().into_iter().flatten().map(move |key| (kind, key)))
                .all(|(kind, (key, values))| {
                    let Some(actual) = access.conditions.get(key.as_str()) else { return false };
                    listed(values).iter().filter_map(Value::as_str).any(|value| match kind.as_str() {
                        "StringEquals" => value == actual,
                        "ArnEquals" | "ArnLike" | "StringLike" => matches(value, actual),
                        _ => false,
                    })
                })
    }
}

/// Tells whether a pattern with `*` (any characters) and `?` (one character) matches a text.
fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), None) => matches(&pattern[1..], text),
        (Some('*'), Some(first)) => matches(&pattern[1..], text) || matches(pattern, &text[first.len_utf8()..]),
        (Some(one), Some(first)) if one == '?' || one == first => {
            matches(&pattern[one.len_utf8()..], &text[first.len_utf8()..])
        }
        _ => false,
    }
}

fn accesses(service: &str, operation: &str, request: &Value) -> Vec<Access> {
    let own = format!("{service}:{operation}");
    match service {
        "dynamodb" => of_tables(operation, request),
        "ecs" => of_tasks(&own, operation, request),
        "ssm" => of_parameters(&own, operation, request),
        // A batch needs the action of one message.
        "sqs" => {
            let queue = text(&request["QueueUrl"]).rsplit('/').next().unwrap_or_default();
            vec![on(own.trim_end_matches("Batch"), arn("sqs", queue))]
        }
        "sns" => {
            let name = request["Name"].as_str().map(|name| arn("sns", name));
            let topic =
                percent_encoding::percent_decode_str(text(&request["TopicArn"])).decode_utf8_lossy().into_owned();
            vec![on(own, name.unwrap_or(topic))]
        }
        "iam" => vec![on(own, format!("arn:aws:iam::{ACCOUNT}:role/{}", text(&request["RoleName"])))],
        "logs" => vec![on(own, arn("logs", &format!("log-group:{}:log-stream:", text(&request["logGroupName"]))))],
        "scheduler" => of_schedules(&own, operation, request),
        // The local address has no stage, so only the API is compared.
        "execute-api" => {
            let api = physical_name("WebSocketApi");
            vec![on("execute-api:ManageConnections", arn("execute-api", &format!("{api}/live/POST/@connections/id")))]
        }
        _ => vec![on(own, "*")],
    }
}

fn of_tables(operation: &str, request: &Value) -> Vec<Access> {
    let table = |name: &str| arn("dynamodb", &format!("table/{name}"));
    match operation {
        // A transaction needs the actions of its parts.
        "TransactWriteItems" => request["TransactItems"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|part| part.as_object()?.iter().next())
            .map(|(kind, part)| {
                let kind =
                    if kind == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{kind}Item") };
                on(format!("dynamodb:{kind}"), table(text(&part["TableName"])))
            })
            .collect(),
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = request["RequestItems"].as_object().into_iter().flatten();
            tables.map(|(name, _)| on(format!("dynamodb:{operation}"), table(name))).collect()
        }
        _ => {
            let index = request["IndexName"].as_str().map(|index| format!("/index/{index}")).unwrap_or_default();
            vec![on(format!("dynamodb:{operation}"), table(text(&request["TableName"])) + &index)]
        }
    }
}

fn of_tasks(own: &str, operation: &str, request: &Value) -> Vec<Access> {
    let cluster = text(&request["cluster"]).rsplit('/').next().unwrap_or_default();
    let task = |id: &str| arn("ecs", &format!("task/{cluster}/{}", id.rsplit('/').next().unwrap_or_default()));
    let definition = |family: &str| arn("ecs", &format!("task-definition/{family}:1"));
    let is_tagged = request["tags"].as_array().is_some_and(|tags| !tags.is_empty());
    let tags = |resource: String| is_tagged.then(|| on("ecs:TagResource", resource));
    let roles = |from: &Value| {
        ["taskRoleArn", "executionRoleArn"]
            .into_iter()
            .filter_map(|role| from[role].as_str())
            .map(|role| on("iam:PassRole", role).under("iam:PassedToService", "ecs-tasks.amazonaws.com"))
            .collect::<Vec<_>>()
    };
    match operation {
        "RunTask" => {
            let family = text(&request["taskDefinition"]).rsplit('/').next().unwrap_or_default();
            let family = family.split(':').next().unwrap_or_default();
            let run = on(own, definition(family)).under("ecs:cluster", arn("ecs", &format!("cluster/{cluster}")));
            [run].into_iter().chain(tags(task("new"))).chain(roles(&request["overrides"])).collect()
        }
        "RegisterTaskDefinition" => {
            let tags = tags(definition(text(&request["family"])));
            [on(own, "*")].into_iter().chain(tags).chain(roles(request)).collect()
        }
        "StopTask" => vec![on(own, task(text(&request["task"])))],
        "DescribeTasks" => {
            let tasks = request["tasks"].as_array().into_iter().flatten();
            tasks.map(|id| on(own, task(text(id)))).collect()
        }
        "TagResource" => vec![on(own, text(&request["resourceArn"]))],
        "ListTasks" => vec![on(own, "*").under("ecs:cluster", arn("ecs", &format!("cluster/{cluster}")))],
        _ => vec![on(own, "*")],
    }
}

fn of_schedules(own: &str, operation: &str, request: &Value) -> Vec<Access> {
    if operation == "ListSchedules" {
        return vec![on(own, "*")];
    }
    let schedule = format!("schedule/{}/{}", text(&request["GroupName"]), text(&request["Name"]));
    let role = request["Target"]["RoleArn"].as_str();
    let role = role.map(|role| on("iam:PassRole", role).under("iam:PassedToService", "scheduler.amazonaws.com"));
    [on(own, arn("scheduler", &schedule))].into_iter().chain(role).collect()
}

fn of_parameters(own: &str, operation: &str, request: &Value) -> Vec<Access> {
    let name = request["Name"].as_str().or(request["ResourceId"].as_str());
    let Some(name) = name else { return vec![on(own, "*")] };
    let parameter = arn("ssm", &format!("parameter/{}", name.trim_start_matches('/')));
    let key = |action: &str, key: &str| on(action, key).under("kms:ViaService", format!("ssm.{REGION}.amazonaws.com"));
    let mut all = vec![on(own, &parameter)];
    match operation {
        "PutParameter" => {
            if request["Tags"].as_array().is_some_and(|tags| !tags.is_empty()) {
                all.push(on("ssm:AddTagsToResource", parameter));
            }
            if let Some(id) = request["KeyId"].as_str() {
                all.push(key("kms:Encrypt", id));
            }
        }
        // SSM decrypts with the key that the value was stored with.
        "GetParameter" => all.push(key("kms:Decrypt", &arn("kms", &format!("key/{}", physical_name("SecretsKey"))))),
        _ => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_needs_what_its_parts_need() {
        let actions = |service: &str, operation: &str, request: Value| {
            let accesses = accesses(service, operation, &request);
            accesses.into_iter().map(|access| (access.action, access.resource)).collect::<Vec<_>>()
        };
        let owned = |one: (&str, String)| (one.0.to_owned(), one.1);
        let transaction = serde_json::json!({"TransactItems": [
            {"Put": {"TableName": "a"}}, {"Update": {"TableName": "b"}}, {"ConditionCheck": {"TableName": "b"}},
        ]});
        let table = |name: &str| arn("dynamodb", &format!("table/{name}"));
        let expected = [
            ("dynamodb:PutItem", table("a")),
            ("dynamodb:UpdateItem", table("b")),
            ("dynamodb:ConditionCheckItem", table("b")),
        ];
        assert_eq!(actions("dynamodb", "TransactWriteItems", transaction), expected.map(owned));
        let query = serde_json::json!({"TableName": "a", "IndexName": "i"});
        assert_eq!(actions("dynamodb", "Query", query), [owned(("dynamodb:Query", table("a/index/i")))]);
    }

    #[test]
    fn a_statement_allows_its_actions_on_its_resources_under_its_conditions() {
        let policy = serde_json::json!({"Statement": {
            "Effect": "Allow", "Action": ["iam:PassRole"], "Resource": ["arn:*:role/a?c", "x"],
            "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        }});
        let [statement] = Statement::all(&policy).try_into().unwrap();
        let pass = |role: &str, service: &str| on("iam:PassRole", role).under("iam:PassedToService", service);
        let ecs = "ecs-tasks.amazonaws.com";
        assert!(statement.allows(&pass("arn:aws:iam::1:role/abc", ecs)));
        assert!(!statement.allows(&pass("arn:aws:iam::1:role/abcd", ecs)));
        assert!(!statement.allows(&pass("arn:aws:iam::1:role/abc", "ec2.amazonaws.com")));
        assert!(!statement.allows(&on("iam:PassRole", "x")), "without the condition's key");
        assert!(!statement.allows(&on("iam:GetRole", "x")));
    }
}
