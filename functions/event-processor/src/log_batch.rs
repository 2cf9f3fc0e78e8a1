//! Handles batches of lines from a CloudWatch Logs subscription ("Subscription filters with AWS Lambda").

use std::io::Read;

use aws_lambda_events::cloudwatch_logs::LogData;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use jiff::Timestamp;
use runvoy_core::{
    App, Error,
    execution::{self, ExecutionId, LogStream, TaskId, consistency::is_consistent, sidecar_failure},
    image::task_definition::{RUNNER, SIDECAR},
    logs::{LogEvent, append::append, completion, end_line, new_owner},
    websocket::fan_out,
};
use serde_json::Value;

use crate::error::EventError;

/// Bytes that a batch may have after decompression. CloudWatch sends far smaller ones.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;

/// The beginning of the sidecar's last line after a clone. The commit follows.
const CHECKED_OUT: &str = "### runvoy sidecar: checked out ";

/// Stores the lines of a batch and sends them to the execution's viewers.
pub(crate) async fn handle(app: &App, event: &Value) -> Result<(), EventError> {
    let batch = unpack(event["awslogs"]["data"].as_str().unwrap_or_default())?;
    if batch.message_type != "DATA_MESSAGE" {
        tracing::debug!(message_type = batch.message_type, "ignored: the message has no lines");
        return Ok(());
    }
    let Some(LogStream { task_id, container }) = LogStream::parse(&batch.log_stream) else {
        tracing::debug!(log_stream = batch.log_stream, "ignored: the stream belongs to no execution");
        return Ok(());
    };
    let newest = batch.log_events.iter().map(|line| line.timestamp).max().unwrap_or_default();
    let mut events: Vec<LogEvent> = batch
        .log_events
        .into_iter()
        .map(|line| LogEvent { event_id: line.id, timestamp: line.timestamp, message: line.message, exit_code: None })
        .collect();
    let mut ending = None;
    let owner = new_owner()?;
    let stored = async {
        let id = execution::execution_of(app, &task_id).await?;
        if container == RUNNER && end_line::may_have_end(&events) {
            ending = Box::pin(mark_end(app, &id, &task_id, &mut events)).await?;
        }
        let (commit, failure) = if container == SIDECAR { end_of_sidecar(&events) } else { (None, None) };
        let appended = append(app, &id, events, false, Some(&owner)).await?;
        if let Some(commit) = commit {
            execution::note_commit(app, &id, &task_id, &commit).await?;
        }
        if let Some(words) = failure {
            sidecar_failure::keep(app, &id, &task_id, &words).await?;
        }
        Ok((id, appended))
    };
    let (id, appended) = match stored.await {
        Ok(stored) => stored,
        // If the lines are newer than that, ECS may not show their task yet, and the batch is delivered again.
        Err(Error::NotFound { .. })
            if Timestamp::from_millisecond(newest).is_ok_and(|newest| is_consistent(app, newest)) =>
        {
            tracing::warn!(%task_id, "ignored: neither runvoy nor ECS knows the task that these lines are from");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let is_watched = appended.head.watched;
    let is_first = appended.batches.first().is_some_and(|batch| batch.sequence == 1);
    let lines = appended.batches.iter().flat_map(|batch| &batch.events);
    let oldest = lines.map(|line| line.timestamp).min().filter(|_| is_watched);
    fan_out::send(app, &id, &owner, appended).await?;
    // A metric of the template counts these lines: see `LineDelays`.
    if let Some(oldest) = oldest {
        let milliseconds = app.now().as_millisecond().saturating_sub(oldest);
        tracing::info!(execution_id = %id, milliseconds, "lines sent");
    }
    if is_first {
        tell_first_line(app, &id).await;
    }
    // Viewers have the last lines before CloudWatch is asked for lines of earlier batches that are late.
    if let Some(exit_code) = ending
        && is_watched
        && completion::complete_up_to_end(app, &id, exit_code).await?.is_some()
    {
        fan_out::wake(app, &id).await?;
    }
    Ok(())
}

/// Marks the runner's last line as the end of the log, unless another attempt may follow, and notes that the command has ended. Returns its
/// exit code.
async fn mark_end(app: &App, id: &ExecutionId, task: &TaskId, events: &mut [LogEvent]) -> Result<Option<i32>, Error> {
    let record = execution::get(app, id).await?;
    let is_end = |exit_code| !record.may_be_followed(task, exit_code);
    let Some(exit_code) = end_line::mark_end(events, record.nonce.as_deref(), is_end) else { return Ok(None) };
    // The end is noted before its line is stored, so that an invocation that sends a viewer this line knows of the end.
    let line = events.iter().find(|event| event.exit_code.is_some());
    let at = line.and_then(|line| Timestamp::from_millisecond(line.timestamp).ok()).unwrap_or_else(|| app.now());
    let is_noted = execution::note_ending(app, id, task, exit_code, at).await?;
    if !is_noted
        && record.execution.asked.retry.is_some()
        && execution::get(app, id).await?.may_be_followed(task, exit_code)
    {
        // Another attempt has followed the task's end meanwhile.
        events.iter_mut().for_each(|event| event.exit_code = None);
        return Ok(None);
    }
    Ok(Some(exit_code))
}

/// Logs the time from the request to the first line of an execution, for the metric `FirstLineTimes` of the template. A failure to read the
/// execution does not fail the batch.
async fn tell_first_line(app: &App, id: &ExecutionId) {
    match execution::get(app, id).await {
        Ok(record) => {
            let milliseconds = app.now().duration_since(record.execution.started_at).as_millis() as i64;
            tracing::info!(execution_id = %id, milliseconds, "first line stored");
        }
        Err(error) => {
            tracing::debug!(execution_id = %id, error = %error.chain(), "the time of the first line is unknown");
        }
    }
}

/// The commit that the sidecar says it has checked out, and its words for a failure.
fn end_of_sidecar(events: &[LogEvent]) -> (Option<String>, Option<String>) {
    (checked_out(events), sidecar_failure::in_lines(events.iter().map(|event| event.message.as_str())))
}

/// The commit that the sidecar says it has checked out.
fn checked_out(events: &[LogEvent]) -> Option<String> {
    let commit = events.iter().find_map(|event| event.message.strip_prefix(CHECKED_OUT))?.trim_end();
    // SHA-1 or SHA-256.
    let is_hash = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then(|| commit.to_owned())
}

/// Decodes the data of an event: JSON, compressed with gzip, in base64. The library's own type of the whole event does the same without a
/// bound on what is unpacked.
fn unpack(data: &str) -> Result<LogData, EventError> {
    const KIND: &str = "CloudWatch Logs batch";
    let gzipped = STANDARD.decode(data).map_err(EventError::malformed(KIND))?;
    let mut json = Vec::new();
    GzDecoder::new(gzipped.as_slice())
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut json)
        .map_err(EventError::malformed(KIND))?;
    if json.len() as u64 > MAX_UNPACKED {
        return Err(EventError::malformed(KIND)(format!("it has more than {MAX_UNPACKED} bytes after decompression")));
    }
    serde_json::from_slice(&json).map_err(EventError::malformed(KIND))
}
