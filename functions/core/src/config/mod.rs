//! Reads the settings, once at start. In AWS the template sets the variables; locally the shim works them out from the same
//! template.

mod origin;

use std::time::Duration;

use thiserror::Error;

pub use origin::{AllowedOrigins, Origin};

use crate::time::parse_duration;

/// Names of the DynamoDB tables.
#[derive(Clone, Debug)]
pub struct Tables {
    pub executions: String,
    pub execution_logs: String,
    pub users: String,
    pub api_keys: String,
    pub claims: String,
    pub images: String,
    pub secrets: String,
    pub websocket_connections: String,
    pub websocket_tokens: String,
    pub log_heads: String,
    pub requests: String,
    pub audit: String,
    pub playbooks: String,
    pub locks: String,
    pub notifications: String,
    pub deliveries: String,
    pub schedules: String,
}

/// The receivers in private networks that webhooks may go to. Such a receiver may be one that only trusts those who reach it, so that a
/// webhook to it would act for the user who made the notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum PrivateWebhooks {
    /// None.
    Off,
    /// Receivers on the same machine, as on a laptop.
    Loopback,
    /// All.
    On,
}

/// The names of which the schedules of EventBridge Scheduler are made.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// The stack's group of schedules.
    pub group: String,
    /// The function that a schedule's time invokes.
    pub target_arn: String,
    /// The role that the Scheduler assumes to invoke it.
    pub role_arn: String,
    /// The queue of the times that could not be handed over.
    pub dead_letters_arn: String,
}

/// Every setting of both functions.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the CloudFormation stack, which sets its task definitions apart from those of other stacks of the account.
    pub stack: String,
    pub tables: Tables,
    /// The management endpoint of the WebSocket API, `https://…/stage` (locally `http://`).
    pub websocket_api_endpoint: String,
    /// The path in SSM Parameter Store under which the values of secrets are kept, without a final slash.
    pub secrets_prefix: String,
    /// The KMS key that encrypts the values of secrets. If absent, SSM uses the account's own key.
    pub secrets_kms_key: Option<String>,
    /// The path in SSM Parameter Store under which the keys of notifications are kept, without a final slash.
    pub notifications_prefix: String,
    /// The URL of the queue of notifications that are to be sent.
    pub notifications_queue: String,
    /// The beginning of the ARNs of the topics by which mails are sent. The id of a notification follows.
    pub notification_topics: String,
    pub private_webhooks: PrivateWebhooks,
    pub scheduler: Scheduler,
    pub ecs_cluster: String,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// The security groups that an image may name for its tasks in place of `security_groups`.
    pub image_security_groups: Vec<String>,
    /// Tells whether each task gets a public address. A task in a private subnet cannot have one.
    pub assign_public_ip: bool,
    /// Tells whether the cluster has Fargate Spot. A new account may not have it at once.
    pub has_spot: bool,
    /// The image of the container that clones repositories: any that has `sh` and `git`.
    pub sidecar_image: String,
    /// The number of executions that may have a task at the same time; no limit if absent.
    pub max_running: Option<u32>,
    pub task_role_arn: String,
    pub task_execution_role_arn: String,
    pub log_group: String,
    /// The time that stored lines are kept. The template sets it to the retention of the CloudWatch log group.
    pub log_retention: Duration,
    /// The time that entries of the audit are kept.
    pub audit_retention: Duration,
    /// The log groups of the functions themselves, which tracing a request searches.
    pub function_log_groups: Vec<String>,
    /// Origins whose pages may call the API, that of `web_url` included.
    pub allowed_origins: AllowedOrigins,
    /// The web app that `log_url` and claim links lead to, without a final slash. If absent, the console at the API's own address.
    pub web_url: Option<String>,
    /// The API's own address, for the function that does not serve it. Without a final slash.
    pub api_url: Option<String>,
    /// The time that the orchestrator works on one request before it answers 503; no limit if absent.
    pub request_timeout: Option<Duration>,
    pub region: String,
}

/// A variable that prevents the start.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("{name} is not set: it wants {wants}")]
    Missing { name: &'static str, wants: &'static str },
    #[error("{name} is {got:?}: it wants {wants}")]
    Bad { name: &'static str, got: String, wants: &'static str },
}

/// The largest limit of executions that have a task: more than Fargate runs for an account.
const MOST_RUNNING: u32 = 100_000;

/// Kinds of values, in the words of an error.
const URL: &str = "an http:// or https:// URL";
const ORIGINS: &str = "origins such as https://app.example.com, separated by commas, or *";

impl Config {
    /// Reads this process's environment.
    pub(crate) fn from_environment() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads variables from `lookup`. An empty value counts as unset.
    ///
    /// # Errors
    /// Names the first variable that is missing or bad.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let variables = Variables(&lookup);
        let table = |name| variables.required(name, "the name of a DynamoDB table");
        let web_url = variables.optional_url("RUNVOY_WEB_URL")?;
        let mut allowed_origins = variables.origins("RUNVOY_CORS_ALLOWED_ORIGINS")?;
        allowed_origins.add(web_url.as_deref().and_then(Origin::of_url));
        Ok(Self {
            stack: variables.stack()?,
            tables: Tables {
                executions: table("RUNVOY_EXECUTIONS_TABLE")?,
                execution_logs: table("RUNVOY_EXECUTION_LOGS_TABLE")?,
                users: table("RUNVOY_USERS_TABLE")?,
                api_keys: table("RUNVOY_API_KEYS_TABLE")?,
                claims: table("RUNVOY_CLAIMS_TABLE")?,
                images: table("RUNVOY_IMAGES_TABLE")?,
                secrets: table("RUNVOY_SECRETS_TABLE")?,
                websocket_connections: table("RUNVOY_WEBSOCKET_CONNECTIONS_TABLE")?,
                websocket_tokens: table("RUNVOY_WEBSOCKET_TOKENS_TABLE")?,
                log_heads: table("RUNVOY_LOG_HEADS_TABLE")?,
                requests: table("RUNVOY_REQUESTS_TABLE")?,
                audit: table("RUNVOY_AUDIT_TABLE")?,
                playbooks: table("RUNVOY_PLAYBOOKS_TABLE")?,
                locks: table("RUNVOY_LOCKS_TABLE")?,
                notifications: table("RUNVOY_NOTIFICATIONS_TABLE")?,
                deliveries: table("RUNVOY_DELIVERIES_TABLE")?,
                schedules: table("RUNVOY_SCHEDULES_TABLE")?,
            },
            scheduler: Scheduler {
                group: variables.required("RUNVOY_SCHEDULE_GROUP", "the name of a group of EventBridge Scheduler")?,
                target_arn: variables.required("RUNVOY_SCHEDULE_TARGET_ARN", "the ARN of the event processor")?,
                role_arn: variables.required("RUNVOY_SCHEDULE_ROLE_ARN", "the ARN of an IAM role")?,
                dead_letters_arn: variables.required("RUNVOY_SCHEDULE_DEAD_LETTERS_ARN", "the ARN of an SQS queue")?,
            },
            websocket_api_endpoint: variables.url("RUNVOY_WEBSOCKET_API_ENDPOINT")?,
            secrets_prefix: variables.path("RUNVOY_SECRETS_PREFIX", "/runvoy/secrets")?,
            secrets_kms_key: variables.optional("RUNVOY_SECRETS_KMS_KEY"),
            notifications_prefix: variables.path("RUNVOY_NOTIFICATIONS_PREFIX", "/runvoy/notifications")?,
            notifications_queue: variables.url("RUNVOY_NOTIFICATIONS_QUEUE")?,
            notification_topics: variables
                .required("RUNVOY_NOTIFICATION_TOPICS", "the beginning of the ARN of an SNS topic")?,
            private_webhooks: variables.private_webhooks()?,
            ecs_cluster: variables.required("RUNVOY_ECS_CLUSTER", "the name or ARN of an ECS cluster")?,
            subnets: variables.list("RUNVOY_SUBNETS", "subnet ids, separated by commas")?,
            security_groups: variables.list("RUNVOY_SECURITY_GROUPS", "security group ids, separated by commas")?,
            image_security_groups: variables.optional_list("RUNVOY_IMAGE_SECURITY_GROUPS"),
            assign_public_ip: variables.assign_public_ip()?,
            has_spot: variables.optional("RUNVOY_SPOT").is_some_and(|value| value == "true"),
            max_running: variables.max_running()?,
            sidecar_image: variables.required("RUNVOY_SIDECAR_IMAGE", "an image that has sh and git")?,
            task_role_arn: variables.required("RUNVOY_TASK_ROLE_ARN", "the ARN of an IAM role")?,
            task_execution_role_arn: variables.required("RUNVOY_TASK_EXECUTION_ROLE_ARN", "the ARN of an IAM role")?,
            log_group: variables.required("RUNVOY_LOG_GROUP", "the name of a CloudWatch Logs group")?,
            log_retention: variables.days("RUNVOY_LOG_RETENTION_DAYS", 30)?,
            audit_retention: variables.days("RUNVOY_AUDIT_RETENTION_DAYS", 400)?,
            function_log_groups: variables.optional_list("RUNVOY_FUNCTION_LOG_GROUPS"),
            allowed_origins,
            web_url,
            api_url: variables.optional_url("RUNVOY_API_URL")?,
            request_timeout: variables.timeout("RUNVOY_REQUEST_TIMEOUT", Duration::from_secs(30))?,
            region: variables.optional("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        })
    }

    /// The URL that viewers connect to: the management endpoint with `wss://` or `ws://`.
    pub(crate) fn websocket_url(&self) -> String {
        match self.websocket_api_endpoint.split_once("://") {
            Some(("https", rest)) => format!("wss://{rest}"),
            Some((_, rest)) => format!("ws://{rest}"),
            None => self.websocket_api_endpoint.clone(),
        }
    }

    /// The origin of the WebSocket URL, which pages that follow a log have to be allowed to connect to.
    pub fn websocket_origin(&self) -> String {
        let url = self.websocket_url();
        let host = url.split_once("://").map_or(0, |(scheme, _)| scheme.len() + 3);
        url[..url[host..].find('/').map_or(url.len(), |at| host + at)].to_owned()
    }
}

struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &'static str, wants: &'static str) -> Result<String, ConfigError> {
        self.optional(name).ok_or(ConfigError::Missing { name, wants })
    }

    fn optional_list(&self, name: &str) -> Vec<String> {
        self.optional(name).map(|list| split_list(&list)).unwrap_or_default()
    }

    fn list(&self, name: &'static str, wants: &'static str) -> Result<Vec<String>, ConfigError> {
        let list = split_list(&self.required(name, wants)?);
        if list.is_empty() { Err(ConfigError::Missing { name, wants }) } else { Ok(list) }
    }

    fn url(&self, name: &'static str) -> Result<String, ConfigError> {
        self.optional_url(name)?.ok_or(ConfigError::Missing { name, wants: URL })
    }

    fn optional_url(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(url) = self.optional(name) else { return Ok(None) };
        match Origin::of_url(&url) {
            Some(_) => Ok(Some(url.trim_end_matches('/').to_owned())),
            None => Err(ConfigError::Bad { name, got: url, wants: URL }),
        }
    }

    fn origins(&self, name: &'static str) -> Result<AllowedOrigins, ConfigError> {
        let list = self.optional(name).unwrap_or_default();
        AllowedOrigins::parse(&list).map_err(|got| ConfigError::Bad { name, got, wants: ORIGINS })
    }

    fn timeout(&self, name: &'static str, default: Duration) -> Result<Option<Duration>, ConfigError> {
        let limit = match self.optional(name) {
            None => default,
            Some(text) => parse_duration(&text).ok_or(ConfigError::Bad {
                name,
                got: text,
                wants: "a duration such as 30s, 1m30s or 500ms, plain seconds, or 0 for no limit",
            })?,
        };
        Ok(Some(limit).filter(|limit| !limit.is_zero()))
    }

    fn days(&self, name: &'static str, default: u16) -> Result<Duration, ConfigError> {
        let days = match self.optional(name) {
            None => default,
            Some(text) => match text.parse() {
                Ok(days @ 1..) => days,
                _ => return Err(ConfigError::Bad { name, got: text, wants: "a number of days, 1 to 65535" }),
            },
        };
        Ok(Duration::from_secs(u64::from(days) * 24 * 3600))
    }

    fn max_running(&self) -> Result<Option<u32>, ConfigError> {
        const NAME: &str = "RUNVOY_MAX_RUNNING";
        let Some(text) = self.optional(NAME) else { return Ok(None) };
        match text.parse() {
            Ok(most @ 0..=MOST_RUNNING) => Ok(Some(most).filter(|most| *most > 0)),
            _ => Err(ConfigError::Bad {
                name: NAME,
                got: text,
                wants: "a number of executions up to 100000, or 0 for no limit",
            }),
        }
    }

    fn assign_public_ip(&self) -> Result<bool, ConfigError> {
        const NAME: &str = "RUNVOY_ASSIGN_PUBLIC_IP";
        match self.optional(NAME).as_deref() {
            None | Some("ENABLED") => Ok(true),
            Some("DISABLED") => Ok(false),
            Some(other) => Err(ConfigError::Bad { name: NAME, got: other.to_owned(), wants: "ENABLED or DISABLED" }),
        }
    }

    fn stack(&self) -> Result<String, ConfigError> {
        const NAME: &str = "RUNVOY_STACK";
        let stack = self.optional(NAME).unwrap_or_else(|| "runvoy".to_owned());
        let well_formed = stack.len() <= 128 && stack.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if well_formed {
            Ok(stack)
        } else {
            Err(ConfigError::Bad { name: NAME, got: stack, wants: "up to 128 letters, digits and hyphens" })
        }
    }

    fn path(&self, name: &'static str, default: &str) -> Result<String, ConfigError> {
        let prefix = self.optional(name).unwrap_or_else(|| default.to_owned());
        let well_formed = prefix.len() > 1
            && prefix.starts_with('/')
            && !prefix.ends_with('/')
            && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.-".contains(&b));
        if well_formed {
            Ok(prefix)
        } else {
            Err(ConfigError::Bad { name, got: prefix, wants: "a path such as /runvoy/secrets" })
        }
    }

    fn private_webhooks(&self) -> Result<PrivateWebhooks, ConfigError> {
        const NAME: &str = "RUNVOY_ALLOW_PRIVATE_WEBHOOKS";
        let Some(text) = self.optional(NAME) else { return Ok(PrivateWebhooks::Off) };
        text.parse().map_err(|_| ConfigError::Bad { name: NAME, got: text, wants: "off, loopback or on" })
    }
}

fn split_list(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
