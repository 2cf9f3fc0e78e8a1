//! Marks in the log of an execution where another attempt begins.

use super::{LogEvent, append::append_before_end, head, store};
use crate::{
    App, Result,
    execution::{self, Execution, ExecutionRecord},
};

/// Stores the line that marks the beginning of the present attempt, once. The line comes after those of earlier attempts, and before those
/// of the attempt's task, which is started after it. `false` for the first attempt, which needs no mark.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when DynamoDB fails.
pub(crate) async fn mark_beginning(app: &App, record: &ExecutionRecord) -> Result<bool> {
    let Execution { execution_id: id, attempt: Some(number), .. } = &record.execution else { return Ok(false) };
    let Some(message) = message(&record.execution) else { return Ok(false) };
    // The id comes after that of the last line that is stored now, and is kept, so that a repetition of this call stores the same line.
    let last = head::of(app, record).await?.last_event_id.unwrap_or_else(|| "0".repeat(56));
    let line = format!("{last}-attempt-{number:02}");
    let Some(event_id) = execution::note_mark(app, id, *number, &line).await? else { return Ok(false) };
    let newest = store::last_timestamp(app, id).await?;
    let now = app.now().as_millisecond();
    let timestamp = newest.map_or(now, |newest| newest.max(now));
    // The execution may have been killed since.
    append_before_end(app, id, LogEvent { event_id, timestamp, message, exit_code: None }).await?;
    Ok(true)
}

fn message(execution: &Execution) -> Option<String> {
    let (number, earlier) = (execution.attempt?, execution.earlier_attempts.last()?);
    let attempts = execution.asked.retry.as_ref()?.attempts;
    // What ECS says may have several lines.
    let reason = earlier.reason.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(format!("### runvoy attempt: {number} of {attempts} begins after attempt {} failed: {reason}", earlier.number))
}
