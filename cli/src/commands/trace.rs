//! Does `runvoy trace`: shows what the functions logged about a request, and what it created or changed.

use runvoy_api_types::{Trace, time::rfc3339};
use serde_json::{Map, Value};

use super::context::Context;
use crate::{
    api::segment,
    failure::{Failure, Result},
    output::{self, cell},
};

/// Fields of a line that say where in the program it was written. `-o json` shows them.
const OF_THE_PROGRAM: [&str; 3] = ["target", "span", "spans"];

pub(super) async fn trace(context: &Context, request_id: &str) -> Result<()> {
    let answer = context.api.get(&format!("/trace/{}", segment(request_id))).await?;
    context.show(&answer, |Trace { logs, searched_since, is_cut, related_resources: related }| {
        let executions = related.executions.iter().map(|one| ("executions", one.execution_id.to_string()));
        let secrets = related.secrets.iter().map(|one| ("secrets", one.name.to_string()));
        let users = related.users.iter().map(|one| ("users", one.email.to_string()));
        let images = related.images.iter().map(|one| ("images", one.image_id.to_string()));
        let resources: Vec<_> = executions.chain(images).chain(secrets).chain(users).collect();
        if logs.is_empty() && resources.is_empty() {
            return Err(Failure::new(format!("there is no trace of a request {request_id:?}")).remedy(
                "it is the X-Request-Id of an answer; log lines show after some seconds, and are kept for a month",
            ));
        }
        for line in &logs {
            output::print(&cell(in_words(&line.message)))?;
        }
        if is_cut {
            say!("some lines are left out: there are more than an answer takes");
        }
        if let Some(since) = searched_since {
            say!("lines before {} were not looked for, which would have taken too long", rfc3339(since));
        }
        for (kind, id) in resources {
            say!("{kind}: {}", cell(id));
        }
        Ok(())
    })
}

/// A line of a function's log: its time, level, message and fields. A line that is no JSON is shown as it is.
fn in_words(line: &str) -> String {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(line) else {
        return line.to_owned();
    };
    let at = fields.remove("timestamp");
    fields.retain(|name, _| !OF_THE_PROGRAM.contains(&name.as_str()));
    // Lambda's own format has the message among the fields.
    if let Some(Value::Object(inner)) = fields.remove("fields") {
        fields.extend(inner);
    }
    let first = [at, fields.remove("level"), fields.remove("message")];
    let mut words: Vec<String> = first.into_iter().flatten().map(plain).collect();
    words.extend(fields.into_iter().map(|(name, value)| format!("{name}={}", plain(value))));
    words.join("  ")
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_time_level_message_and_fields() {
        let line =
            r#"{"timestamp":"2026-01-02T03:04:05Z","level":"INFO","message":"answered","status":202,"target":"x"}"#;
        assert_eq!(in_words(line), "2026-01-02T03:04:05Z  INFO  answered  status=202");
        let line = r#"{"level":"WARN","fields":{"message":"late","count":2},"span":{"a":1}}"#;
        assert_eq!(in_words(line), "WARN  late  count=2");
        assert_eq!(in_words("START RequestId: 1"), "START RequestId: 1");
    }
}
