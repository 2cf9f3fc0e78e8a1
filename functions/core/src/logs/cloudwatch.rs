//! Reading a log from CloudWatch Logs itself: what the subscription has not handed over yet, or what the store has expired.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;

use super::{END_LINE, LogEvent, store, stream_name};
use crate::{
    App, Error, Result,
    execution::{ExecutionId, ExecutionRecord},
    image::task_definition::{RUNNER, SIDECAR},
};

/// How long the end of a log is waited for: the driver flushes every 5 seconds, and CloudWatch takes its time.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a task that was killed before it could say its last line.
const PATIENCE_WITHOUT_END: Duration = Duration::from_secs(2);

/// One page of a log, and the token of the next.
pub async fn page(app: &App, id: &ExecutionId, token: Option<String>) -> Result<(Vec<LogEvent>, Option<String>)> {
    let answer = app
        .aws
        .logs
        .filter_log_events()
        .log_group_name(&app.config.log_group)
        .log_stream_names(stream_name(SIDECAR, id))
        .log_stream_names(stream_name(RUNNER, id))
        .set_next_token(token)
        .send()
        .await;
    match answer {
        Ok(answer) => {
            let events = answer
                .events
                .unwrap_or_default()
                .into_iter()
                .map(|event| LogEvent {
                    event_id: event.event_id.unwrap_or_default(),
                    timestamp: event.timestamp.unwrap_or_default(),
                    message: event.message.unwrap_or_default(),
                })
                .collect();
            Ok((events, answer.next_token))
        }
        // A task that failed to start never had a stream.
        Err(error) if matches!(error.as_service_error(), Some(FilterLogEventsError::ResourceNotFoundException(_))) => {
            Ok((Vec::new(), None))
        }
        Err(error) => Err(Error::aws("CloudWatch Logs")(error)),
    }
}

/// After a task's end: stores all that CloudWatch has and the store has not, until the runner's last line is there or
/// patience ends, and notes that the log is complete.
pub async fn complete(app: &App, id: &ExecutionId, ran_to_its_end: bool) -> Result<ExecutionRecord> {
    let patience = if ran_to_its_end { PATIENCE } else { PATIENCE_WITHOUT_END };
    let deadline = tokio::time::Instant::now() + patience;
    let mut pause = Duration::from_millis(50);
    loop {
        let ended = copy(app, id).await?;
        if ended || tokio::time::Instant::now() >= deadline {
            return Ok(store::append(app, id, Vec::new(), true).await?.record);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Copies what is missing into the store, page by page. Returns whether the runner's last line was among what was read.
async fn copy(app: &App, id: &ExecutionId) -> Result<bool> {
    let mut ended = false;
    let mut token = None;
    loop {
        let (events, next) = page(app, id, token).await?;
        ended |= events.iter().any(|event| event.message.starts_with(END_LINE));
        if !events.is_empty() {
            store::append(app, id, events, false).await?;
        }
        match next {
            Some(next) => token = Some(next),
            None => return Ok(ended),
        }
    }
}
