//! Takes keys, tokens and values of secrets out of events, so that these can be logged and kept.

use serde_json::Value;

/// The text in the place of a value that is left out.
const REDACTED: &str = "REDACTED";
/// Headers, parameters and fields whose values are credentials, in lower case.
const CREDENTIALS: [&str; 9] = [
    "x-api-key",
    "authorization",
    "cookie",
    "cookies",
    "token",
    "api_key",
    "claim_token",
    "x-amz-security-token",
    // The channel of a notification whose address is as good as a password.
    "slack",
];
/// Headers that are kept with their values. Any other may hold a credential of a proxy or of a caller's own.
const HEADERS: [&str; 25] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "origin",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-websocket-extensions",
    "sec-websocket-version",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
];
/// Variables of a container that the orchestrator sets, and no user.
const OWN_VARIABLES: [&str; 8] = [
    "RUNVOY_COMMAND",
    "RUNVOY_ENV_NAMES",
    "RUNVOY_GIT_PATH",
    "RUNVOY_GIT_REF",
    "RUNVOY_GIT_REPO",
    "RUNVOY_IMAGE_ID",
    "RUNVOY_REQUEST_ID",
    "RUNVOY_TIMEOUT",
];
/// Words in the name of an environment variable that say that its value is a secret.
const SECRET_WORDS: [&str; 6] = ["ACCESS_KEY", "API_KEY", "PRIVATE_KEY", "PASSWORD", "SECRET", "TOKEN"];

/// The event of a function without keys, tokens and values of secrets. A body that cannot be read is left out as a whole.
pub fn redacted(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(body) = event.get("body").and_then(Value::as_str) {
        let is_encoded = event.get("isBase64Encoded") == Some(&Value::Bool(true));
        let body = redacted_body(body, is_encoded);
        event["body"] = Value::from(body);
        event["isBase64Encoded"] = Value::Bool(false);
    }
    redact(&mut event);
    event
}

fn redacted_body(body: &str, is_encoded: bool) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let bytes = if is_encoded { STANDARD.decode(body).unwrap_or_default() } else { body.as_bytes().to_vec() };
    if bytes.is_empty() {
        return String::new();
    }
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(mut json) => {
            redact(&mut json);
            // The value of a secret that is created or changed.
            if let Some(value) = json.get_mut("value") {
                *value = Value::from(REDACTED);
            }
            json.to_string()
        }
        Err(_) => REDACTED.to_owned(),
    }
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A variable of a container is a name and a value.
            let is_variable = fields.len() == 2 && fields.contains_key("value");
            let names_own =
                fields.get("name").and_then(Value::as_str).is_some_and(|name| OWN_VARIABLES.contains(&name));
            for (name, field) in fields.iter_mut() {
                let is_credential = CREDENTIALS.contains(&name.to_ascii_lowercase().as_str()) || says_secret(name);
                match (name.as_str(), field) {
                    (name, field) if is_credential || (is_variable && !names_own && name == "value") => hide(field),
                    // The variables of a run.
                    ("env", field @ Value::Object(_)) => hide(field),
                    ("headers" | "multiValueHeaders", Value::Object(headers)) => headers
                        .iter_mut()
                        .filter(|(name, _)| !HEADERS.contains(&name.to_ascii_lowercase().as_str()))
                        .for_each(|(_, value)| hide(value)),
                    ("rawQueryString", Value::String(text)) => *text = redacted_query(text),
                    ("rawPath" | "path", Value::String(text)) => *text = redacted_path(text),
                    (_, field) => redact(field),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(redact),
        Value::String(text) if text.contains("://") => *text = without_userinfo(text),
        _ => {}
    }
}

/// A text whose URLs have neither a user nor a password.
fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("://");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("://");
        let end = part.find(|c: char| "/?#\"'`<>|\\".contains(c) || c.is_whitespace()).unwrap_or(part.len());
        match part[..end].rfind('@') {
            Some(at) => {
                kept.push_str(REDACTED);
                kept.push_str(&part[at..]);
            }
            None => kept.push_str(part),
        }
    }
    kept
}

/// Leaves out every text of a value, which may be a list of them, as in `multiValueHeaders`.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) => REDACTED.clone_into(text),
        Value::Array(entries) => entries.iter_mut().for_each(hide),
        Value::Object(fields) => fields.values_mut().for_each(hide),
        _ => {}
    }
}

fn redacted_query(query: &str) -> String {
    let is_token = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case("token"));
    let pairs = query.split('&').map(|pair| if is_token(pair) { format!("token={REDACTED}") } else { pair.to_owned() });
    pairs.collect::<Vec<_>>().join("&")
}

fn redacted_path(path: &str) -> String {
    match path.split_once("/claim/") {
        Some((before, _)) => format!("{before}/claim/{REDACTED}"),
        None => path.to_owned(),
    }
}

/// Tells whether the name of an environment variable says that its value is a secret.
pub(crate) fn says_secret(name: &str) -> bool {
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_tokens_and_values_of_secrets_are_left_out_and_nothing_else() {
        let event = json!({
            "rawPath": "/api/v1/claim/hidden-1",
            "rawQueryString": "execution_id=1&token=hidden-2&batch=true",
            "headers": {"X-API-Key": "hidden-3", "host": "example.com", "Authorization": "hidden-4", "X-Mine": "hidden-16"},
            "multiValueHeaders": {"X-API-Key": ["hidden-11"]},
            "cookies": ["session=hidden-12"],
            "queryStringParameters": {"token": "hidden-5", "execution_id": "1"},
            "requestContext": {"http": {"path": "/api/v1/claim/hidden-6", "method": "GET"}},
            "detail": {"overrides": {"containerOverrides": [{"environment": [
                {"name": "RUNVOY_COMMAND", "value": "echo hello"}, {"name": "DB_PASSWORD", "value": "hidden-7"},
                {"name": "database_url", "value": "hidden-17"},
            ]}]}},
            "body": json!({"name": "db", "key_name": "DB", "value": "hidden-8", "api_key": "hidden-9",
                "env": {"STAGE": "hidden-13", "GITHUB_TOKEN": "hidden-10"}, "command": "curl https://u:hidden-14@example.com/x",
                "git_repo": "https://hidden-15@example.com/r.git"}).to_string(),
        });
        let kept = redacted(&event);
        let text = kept.to_string();
        assert!(!text.contains("hidden"), "{text}");
        assert_eq!(kept["headers"]["host"], "example.com");
        assert_eq!(kept["rawQueryString"], "execution_id=1&token=REDACTED&batch=true");
        let body: Value = serde_json::from_str(kept["body"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&body["command"], &body["env"]["STAGE"], &body["name"]),
            (&json!("curl https://REDACTED@example.com/x"), &json!("REDACTED"), &json!("db"))
        );
        assert_eq!(kept["detail"]["overrides"]["containerOverrides"][0]["environment"][0]["value"], "echo hello");
    }

    #[test]
    fn a_body_is_read_as_it_was_sent_or_left_out() {
        let with = |body: &str, is_encoded: bool| redacted(&json!({"body": body, "isBase64Encoded": is_encoded}));
        assert_eq!(with("eyJ2YWx1ZSI6ImhpZGRlbiJ9", true)["body"], r#"{"value":"REDACTED"}"#);
        assert_eq!(with("eyJ2YWx1ZSI6ImhpZGRlbiJ9", true)["isBase64Encoded"], false);
        assert_eq!(with(r#"{"value": "hidden"#, false)["body"], "REDACTED");
        assert_eq!(with("", false)["body"], "");
        assert_eq!(redacted(&json!({"source": "aws.ecs"})), json!({"source": "aws.ecs"}));
    }
}
