//! Takes keys, tokens and values of secrets out of events, so that these can be logged and kept.

mod names;

use serde_json::Value;

use self::names::{FIELDS, HEADERS, OWN_VARIABLES, PARAMETERS};

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
        Ok(mut json @ Value::Object(_)) => {
            redact_body(&mut json);
            json.to_string()
        }
        Ok(_) | Err(_) => REDACTED.to_owned(),
    }
}

/// Leaves out of a request's body all that is not known to be harmless.
fn redact_body(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match name.as_str() {
                    // The values that a run or a playbook gets.
                    "parameters" if field.is_object() => hide(field),
                    name if !FIELDS.contains(&name) => hide(field),
                    // The path and the query of a receiver's address are often its password.
                    "webhook" | "url" => keep_origins(field),
                    _ => redact_body(field),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(redact_body),
        Value::String(text) if text.contains("://") => *text = without_credentials(text),
        _ => {}
    }
}

/// Keeps the scheme and the host of each URL in a value, and no other text.
fn keep_origins(value: &mut Value) {
    match value {
        Value::String(text) => {
            let safe = without_credentials(text);
            *text = match safe.split_once("://") {
                Some((scheme, rest)) => {
                    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                    format!("{scheme}://{host}/{REDACTED}")
                }
                None => REDACTED.to_owned(),
            };
        }
        Value::Array(entries) => entries.iter_mut().for_each(keep_origins),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(name, field)| if name == "url" { keep_origins(field) } else { hide(field) });
        }
        other => hide(other),
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
                    ("env", field) => hide(field),
                    ("headers" | "multiValueHeaders", Value::Object(headers)) => headers
                        .iter_mut()
                        .filter(|(name, _)| !HEADERS.contains(&name.to_ascii_lowercase().as_str()))
                        .for_each(|(_, value)| hide(value)),
                    ("queryStringParameters" | "multiValueQueryStringParameters", Value::Object(parameters)) => {
                        parameters
                            .iter_mut()
                            .filter(|(name, _)| !PARAMETERS.contains(&name.as_str()))
                            .for_each(|(_, value)| hide(value));
                    }
                    ("rawQueryString", Value::String(text)) => *text = redacted_query(text, &PARAMETERS),
                    ("rawPath" | "path", Value::String(text)) => *text = redacted_path(text),
                    (_, field) => redact(field),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(redact),
        Value::String(text) if text.contains("://") => *text = without_credentials(text),
        _ => {}
    }
}

/// A text whose URLs have neither a user nor a password, nor values in their queries.
fn without_credentials(text: &str) -> String {
    let mut parts = text.split("://");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("://");
        let end = part.find(|c: char| "/?#\"'`<>|\\".contains(c) || c.is_whitespace()).unwrap_or(part.len());
        let part = match part[..end].rfind('@') {
            Some(at) => {
                kept.push_str(REDACTED);
                &part[at..]
            }
            None => part,
        };
        let end = part.find(|c: char| "\"'`<>|\\".contains(c) || c.is_whitespace()).unwrap_or(part.len());
        match part[..end].find('?') {
            Some(mark) => {
                kept.push_str(&part[..=mark]);
                kept.push_str(&redacted_query(&part[mark + 1..end], &[]));
                kept.push_str(&part[end..]);
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
        Value::Number(_) => *value = Value::from(REDACTED),
        Value::Null | Value::Bool(_) => {}
    }
}

/// A query in which only the parameters of these names have their values. A text without a name may be a value itself.
fn redacted_query(query: &str, kept: &[&str]) -> String {
    let redacted = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if !kept.contains(&name) => format!("{name}={REDACTED}"),
        None if !pair.is_empty() && !kept.contains(&pair) => REDACTED.to_owned(),
        _ => pair.to_owned(),
    };
    query.split('&').map(redacted).collect::<Vec<_>>().join("&")
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
    fn values_under_names_that_are_not_known_are_left_out() {
        let event = json!({
            "rawQueryString": "limit=5&api_key=hidden-1&Token=hidden-2&a%70i_key=hidden-3&hidden-4&status=RUNNING",
            "queryStringParameters": {"api_key": "hidden-5", "password": "hidden-6", "limit": "5"},
            "multiValueQueryStringParameters": {"key": ["hidden-7"], "status": ["RUNNING"]},
            "body": json!({
                "command": "curl 'https://example.com/x?sig=hidden-8&hidden-9' # end",
                "envv": {"A": "hidden-10", "PIN": 31_337},
                "env": ["hidden-11"],
                "parameters": {"WHO": "hidden-12"},
                "secrets": {"A": "hidden-13"},
                "channel": {"webhook": {"url": "https://hidden-14@example.com/hidden-15?token=hidden-16#hidden-17", "x": "hidden-18"}},
                "timeout": 60,
            }).to_string(),
        });
        let kept = redacted(&event);
        let text = kept.to_string();
        assert!(!text.contains("hidden") && !text.contains("31337"), "{text}");
        assert!(kept["rawQueryString"].as_str().unwrap().starts_with("limit=5&api_key=REDACTED&"), "{text}");
        assert_eq!(kept["queryStringParameters"]["limit"], "5");
        assert_eq!(kept["multiValueQueryStringParameters"]["status"], json!(["RUNNING"]));
        let body: Value = serde_json::from_str(kept["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["timeout"], 60);
        assert_eq!(body["command"], "curl 'https://example.com/x?sig=REDACTED&REDACTED' # end");
        assert_eq!(body["channel"]["webhook"]["url"], "https://REDACTED@example.com/REDACTED");
        for other in [json!("hidden"), json!(["hidden"]), json!(31_337)] {
            assert_eq!(redacted(&json!({"body": other.to_string()}))["body"], "REDACTED");
        }
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
