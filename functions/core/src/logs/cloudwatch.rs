//! Reading a log from CloudWatch Logs itself: what the subscription has not handed over yet, or what the store has expired.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use jiff::SignedDuration;

use super::{END_LINE, LogEvent, store, stream_name};
use crate::{
    App, Error, Result,
    execution::{ExecutionId, ExecutionRecord, task::Stop},
    image::task_definition::{RUNNER, SIDECAR},
};

/// How long after a task's end the end of its log is waited for: the driver flushes every 5 seconds, and CloudWatch takes its
/// time.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a task that was killed before it could say its last line.
const PATIENCE_WITHOUT_END: Duration = Duration::from_secs(2);

/// Where a page starts: in the log of one container after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    container: usize,
    token: Option<String>,
}

/// In the order in which they run. A container that never started has no stream, so each is asked for by itself.
const CONTAINERS: [&str; 2] = [SIDECAR, RUNNER];

impl Place {
    /// As text, for whoever comes back for the next page.
    pub fn encode(&self) -> String {
        format!("{}:{}", self.container, self.token.as_deref().unwrap_or_default())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (container, token) = text.split_once(':')?;
        let container = container.parse().ok().filter(|at| *at < CONTAINERS.len())?;
        Some(Self { container, token: Some(token.to_owned()).filter(|token| !token.is_empty()) })
    }
}

/// One page of a log, and where the next one starts.
pub async fn page(app: &App, id: &ExecutionId, place: Place) -> Result<(Vec<LogEvent>, Option<Place>)> {
    let Some(container) = CONTAINERS.get(place.container) else { return Ok((Vec::new(), None)) };
    let answer = app
        .aws
        .logs
        .filter_log_events()
        .log_group_name(&app.config.log_group)
        .log_stream_names(stream_name(container, id))
        .set_next_token(place.token)
        .send()
        .await;
    let (events, token) = match answer {
        Ok(answer) => (answer.events.unwrap_or_default(), answer.next_token),
        Err(error) if matches!(error.as_service_error(), Some(FilterLogEventsError::ResourceNotFoundException(_))) => {
            (Vec::new(), None)
        }
        Err(error) => return Err(Error::aws("CloudWatch Logs")(error)),
    };
    let events = events
        .into_iter()
        .map(|event| LogEvent {
            event_id: event.event_id.unwrap_or_default(),
            timestamp: event.timestamp.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        })
        .collect();
    let next = match token {
        Some(token) => Some(Place { container: place.container, token: Some(token) }),
        None => {
            Some(Place { container: place.container + 1, token: None }).filter(|next| next.container < CONTAINERS.len())
        }
    };
    Ok((events, next))
}

/// After a task's end: stores all that CloudWatch has and the store has not, until the runner's last line is there or
/// patience ends, and notes that the log is complete.
pub async fn complete(app: &App, id: &ExecutionId, stop: &Stop) -> Result<ExecutionRecord> {
    let patience = if stop.ran_to_its_end() { PATIENCE } else { PATIENCE_WITHOUT_END };
    let since_end =
        stop.at.map_or(Duration::ZERO, |at| app.now().duration_since(at).max(SignedDuration::ZERO).unsigned_abs());
    let deadline = app.now() + patience.saturating_sub(since_end);
    let mut pause = Duration::from_millis(50);
    loop {
        // Before the look: what came while an earlier one was slow is not given up.
        let is_late = app.now() >= deadline;
        if copy(app, id).await? || is_late {
            return Ok(store::append(app, id, Vec::new(), true).await?.record);
        }
        app.sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Copies what is missing into the store, page by page. Returns whether the runner's last line was among what was read.
async fn copy(app: &App, id: &ExecutionId) -> Result<bool> {
    let mut ended = false;
    let mut place = Place::default();
    loop {
        let (events, next) = page(app, id, place).await?;
        ended |= events.iter().any(|event| event.message.starts_with(END_LINE));
        if !events.is_empty() {
            store::append(app, id, events, false).await?;
        }
        match next {
            Some(next) => place = next,
            None => return Ok(ended),
        }
    }
}
