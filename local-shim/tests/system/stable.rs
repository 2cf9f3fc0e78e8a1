//! Makes answers comparable that differ from run to run.

use serde_json::Value;

/// The answer, with each value that differs from run to run replaced by the name of its field.
pub fn stable(mut answer: Value) -> Value {
    const VOLATILE: [&str; 13] = [
        "timestamp",
        "execution_id",
        "log_url",
        "websocket_url",
        "started_at",
        "completed_at",
        "created_at",
        "updated_at",
        "created_by_request_id",
        "modified_by_request_id",
        "log_stream_name",
        "claim_token",
        "claim_url",
    ];
    match &mut answer {
        Value::Array(list) => list.iter_mut().for_each(|value| *value = stable(value.take())),
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_volatile = VOLATILE.contains(&name.as_str()) && value.is_string()
                    || ["duration_seconds", "timing", "cost_estimate_usd"].contains(&name.as_str());
                *value = if is_volatile { Value::from(format!("[{name}]")) } else { stable(value.take()) };
            }
        }
        _ => {}
    }
    answer
}
