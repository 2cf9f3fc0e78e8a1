//! Tests of the settings.

use super::*;
use std::collections::HashMap;

fn complete() -> HashMap<&'static str, &'static str> {
    HashMap::from([
        ("RUNVOY_EXECUTIONS_TABLE", "executions"),
        ("RUNVOY_EXECUTION_LOGS_TABLE", "logs"),
        ("RUNVOY_USERS_TABLE", "users"),
        ("RUNVOY_API_KEYS_TABLE", "keys"),
        ("RUNVOY_CLAIMS_TABLE", "claims"),
        ("RUNVOY_IMAGES_TABLE", "images"),
        ("RUNVOY_SECRETS_TABLE", "secrets"),
        ("RUNVOY_WEBSOCKET_CONNECTIONS_TABLE", "connections"),
        ("RUNVOY_WEBSOCKET_TOKENS_TABLE", "tokens"),
        ("RUNVOY_LOG_HEADS_TABLE", "log-heads"),
        ("RUNVOY_REQUESTS_TABLE", "requests"),
        ("RUNVOY_AUDIT_TABLE", "audit"),
        ("RUNVOY_PLAYBOOKS_TABLE", "playbooks"),
        ("RUNVOY_LOCKS_TABLE", "locks"),
        ("RUNVOY_NOTIFICATIONS_TABLE", "notifications"),
        ("RUNVOY_DELIVERIES_TABLE", "deliveries"),
        ("RUNVOY_NOTIFICATION_TOPICS", "arn:aws:sns:us-east-1:123456789012:runvoy-notification-"),
        ("RUNVOY_NOTIFICATIONS_QUEUE", "https://sqs.us-east-1.amazonaws.com/123456789012/notifications"),
        ("RUNVOY_SCHEDULES_TABLE", "schedules"),
        ("RUNVOY_SCHEDULE_GROUP", "runvoy"),
        ("RUNVOY_SCHEDULE_TARGET_ARN", "arn:aws:lambda:us-east-1:123456789012:function:runvoy-event-processor"),
        ("RUNVOY_SCHEDULE_ROLE_ARN", "arn:aws:iam::123456789012:role/scheduler"),
        ("RUNVOY_SCHEDULE_DEAD_LETTERS_ARN", "arn:aws:sqs:us-east-1:123456789012:failed-events"),
        ("RUNVOY_WEBSOCKET_API_ENDPOINT", "https://abc.example.com/prod/"),
        ("RUNVOY_ECS_CLUSTER", "runvoy"),
        ("RUNVOY_SUBNETS", "subnet-1, subnet-2"),
        ("RUNVOY_SECURITY_GROUPS", "sg-1"),
        ("RUNVOY_SIDECAR_IMAGE", "registry.example.com/git:1"),
        ("RUNVOY_TASK_ROLE_ARN", "arn:aws:iam::123456789012:role/task"),
        ("RUNVOY_TASK_EXECUTION_ROLE_ARN", "arn:aws:iam::123456789012:role/execution"),
        ("RUNVOY_LOG_GROUP", "/runvoy"),
    ])
}

fn read(variables: &HashMap<&'static str, &'static str>) -> Result<Config, ConfigError> {
    Config::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned()))
}

#[test]
fn defaults_fill_what_the_template_leaves_out() {
    let config = read(&complete()).unwrap();
    assert_eq!(config.request_timeout, Some(Duration::from_secs(30)));
    assert!(config.web_url.is_none() && !config.allowed_origins.any);
    assert_eq!(config.log_retention, Duration::from_hours(720));
    assert_eq!(config.secrets_prefix, "/runvoy/secrets");
    assert_eq!(config.subnets, ["subnet-1", "subnet-2"]);
    assert_eq!(config.websocket_url(), "wss://abc.example.com/prod");
    assert_eq!(config.websocket_origin(), "wss://abc.example.com");
}

#[test]
fn a_limit_of_running_executions_of_zero_is_no_limit() {
    let mut variables = complete();
    assert_eq!(read(&variables).unwrap().max_running, None);
    for (text, limit) in [("0", None), ("", None), ("3", Some(3)), ("100000", Some(100_000))] {
        variables.insert("RUNVOY_MAX_RUNNING", text);
        assert_eq!(read(&variables).unwrap().max_running, limit, "{text}");
    }
}

#[test]
fn a_request_timeout_of_zero_is_no_limit() {
    for (text, limit) in
        [("0", None), ("0s", None), ("1m30s", Some(90_000)), ("500ms", Some(500)), ("45", Some(45_000))]
    {
        let mut variables = complete();
        variables.insert("RUNVOY_REQUEST_TIMEOUT", text);
        assert_eq!(read(&variables).unwrap().request_timeout, limit.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn each_required_variable_is_named_when_it_is_missing() {
    for name in complete().into_keys() {
        let mut variables = complete();
        variables.insert(name, " ");
        let message = read(&variables).unwrap_err().to_string();
        assert!(message.starts_with(name), "{message}");
    }
}

#[test]
fn a_bad_value_is_quoted_with_what_is_wanted() {
    for (name, value) in [
        ("RUNVOY_REQUEST_TIMEOUT", "soon"),
        ("RUNVOY_MAX_RUNNING", "many"),
        ("RUNVOY_MAX_RUNNING", "-1"),
        ("RUNVOY_MAX_RUNNING", "100001"),
        ("RUNVOY_WEBSOCKET_API_ENDPOINT", "abc"),
        ("RUNVOY_WEB_URL", "https://"),
        ("RUNVOY_WEB_URL", "https://a b"),
        ("RUNVOY_CORS_ALLOWED_ORIGINS", "app.example.com"),
        ("RUNVOY_CORS_ALLOWED_ORIGINS", "https://ä.example"),
        ("RUNVOY_CORS_ALLOWED_ORIGINS", "https://example.com/app"),
        ("RUNVOY_SECRETS_PREFIX", "secrets/"),
        ("RUNVOY_STACK", "my_stack"),
        ("RUNVOY_LOG_RETENTION_DAYS", "0"),
        ("RUNVOY_LOG_RETENTION_DAYS", "-1"),
        ("RUNVOY_LOG_RETENTION_DAYS", "a month"),
        ("RUNVOY_ASSIGN_PUBLIC_IP", "yes"),
        ("RUNVOY_ALLOW_PRIVATE_WEBHOOKS", "yes"),
        ("RUNVOY_NOTIFICATIONS_QUEUE", "notifications"),
    ] {
        let mut variables = complete();
        variables.insert(name, value);
        let message = read(&variables).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(value) && message.contains("wants"), "{message}");
    }
}
