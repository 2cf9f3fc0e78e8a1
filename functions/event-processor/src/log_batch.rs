//! Batches of lines from a CloudWatch Logs subscription ("Subscription filters with AWS Lambda").

use std::{io::Read, time::Duration};

use aws_lambda_events::cloudwatch_logs::LogData;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use runvoy_core::{
    App, Error,
    logs::{self, LogEvent, store},
    websocket::serve,
};
use serde_json::Value;

use crate::EventError;

/// What a batch may come to unpacked; one of CloudWatch's is far smaller.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;
/// How long a line may precede what ECS shows of its task.
const CONSISTENT_AFTER: Duration = Duration::from_secs(60);

/// Stores a batch and serves whoever is watching.
pub async fn handle(app: &App, event: &Value) -> Result<(), EventError> {
    let data = unpack(event["awslogs"]["data"].as_str().unwrap_or_default())?;
    if data.message_type != "DATA_MESSAGE" {
        tracing::debug!(message_type = data.message_type, "ignored: not lines");
        return Ok(());
    }
    let Some(id) = logs::execution_of(&data.log_stream) else {
        tracing::debug!(log_stream = data.log_stream, "ignored: not a stream of an execution");
        return Ok(());
    };
    let newest = data.log_events.iter().map(|entry| entry.timestamp).max().unwrap_or_default();
    let events: Vec<LogEvent> = data
        .log_events
        .into_iter()
        .map(|entry| LogEvent { event_id: entry.id, timestamp: entry.timestamp, message: entry.message })
        .collect();
    let appended = match store::append(app, &id, events, false).await {
        Ok(appended) => appended,
        Err(Error::NotFound { .. }) if is_old(app, newest) => {
            tracing::warn!(execution_id = %id, "ignored: neither runvoy nor ECS knows the task that these lines are from");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    // A repeated batch adds nothing, but whoever handled it first may have died before serving it.
    if appended.record.log.viewers > 0 {
        serve::execution(app, &appended.record, &appended.batches).await?;
    }
    Ok(())
}

fn is_old(app: &App, timestamp: i64) -> bool {
    app.now().as_millisecond().saturating_sub(timestamp) > CONSISTENT_AFTER.as_millis() as i64
}

fn unpack(data: &str) -> Result<LogData, EventError> {
    const KIND: &str = "CloudWatch Logs batch";
    let malformed = |cause: &dyn std::fmt::Display| EventError::Malformed { kind: KIND, cause: cause.to_string() };
    let gzipped = STANDARD.decode(data).map_err(|error| malformed(&error))?;
    let mut json = Vec::new();
    GzDecoder::new(gzipped.as_slice())
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut json)
        .map_err(|error| malformed(&error))?;
    if json.len() as u64 > MAX_UNPACKED {
        return Err(malformed(&"it is too large unpacked"));
    }
    serde_json::from_slice(&json).map_err(EventError::malformed(KIND))
}
