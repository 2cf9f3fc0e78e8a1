//! Writes what a user can give to a shell: quoted arguments, and a request as a line of curl.

use serde_json::Value;

use crate::arguments::Global;

/// The request as a line for a shell. The key stays a variable, so that the line can be shown to others.
pub(super) fn curl_line(global: &Global, path: &str, request: &Value) -> String {
    let endpoint = global.config().map_or_else(|_| "$RUNVOY_ENDPOINT".to_owned(), |config| config.endpoint);
    format!(
        "curl -X POST \"{endpoint}/api/v1{path}\" -H \"X-API-Key: $RUNVOY_API_KEY\" -H 'Content-Type: application/json' -d {}",
        quoted(&request.to_string())
    )
}

/// An argument as a shell reads it back.
pub(super) fn quoted(argument: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_the_shell_where_they_need_it() {
        for (argument, text) in [
            ("plain-1.0", "plain-1.0"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("--x=1", "--x=1"),
        ] {
            assert_eq!(quoted(argument), text);
        }
    }
}
