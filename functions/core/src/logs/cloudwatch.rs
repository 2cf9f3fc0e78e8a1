//! Reading a log from CloudWatch Logs itself, for lines that the subscription has not delivered yet or that the store has expired.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use jiff::SignedDuration;

use super::{END_LINE, LogEvent, store};
use crate::{
    App, Error, Result,
    error::Service,
    execution::{ExecutionId, ExecutionRecord, LogStream, task::Stop},
    image::task_definition::{RUNNER, SIDECAR},
};

/// How long after a task's end its log may still grow: the log driver sends lines every 5 seconds, and CloudWatch shows them a
/// little later.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a task that was killed before its runner could print the last line.
const PATIENCE_WITHOUT_END: Duration = Duration::from_secs(2);

/// A place in an execution's log: a container's stream, and CloudWatch's token within it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    container: usize,
    token: Option<String>,
}

/// In the order in which they run. Each stream is read by a call of its own, because a container that never started has none and
/// its name would make the whole call fail.
const CONTAINERS: [&str; 2] = [SIDECAR, RUNNER];

impl Place {
    /// As text, for the `Link` header of a page.
    pub(super) fn encode(&self) -> String {
        format!("{}:{}", self.container, self.token.as_deref().unwrap_or_default())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (container, token) = text.split_once(':')?;
        let container = container.parse().ok().filter(|at| *at < CONTAINERS.len())?;
        Some(Self { container, token: Some(token.to_owned()).filter(|token| !token.is_empty()) })
    }
}

/// One page of a log, and where the next one starts if there is one.
pub(super) async fn page(app: &App, id: &ExecutionId, place: Place) -> Result<(Vec<LogEvent>, Option<Place>)> {
    let Some(container) = CONTAINERS.get(place.container) else { return Ok((Vec::new(), None)) };
    let answer = app
        .aws
        .logs
        .filter_log_events()
        .log_group_name(&app.config.log_group)
        .log_stream_names(LogStream::new(container, id).to_string())
        .set_next_token(place.token)
        .send()
        .await;
    let (events, token) = match answer {
        Ok(answer) => (answer.events.unwrap_or_default(), answer.next_token),
        Err(error) if matches!(error.as_service_error(), Some(FilterLogEventsError::ResourceNotFoundException(_))) => {
            (Vec::new(), None)
        }
        Err(error) => return Err(Error::aws(Service::CloudWatchLogs)(error)),
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

/// After a task's end, copies the lines that the store lacks from CloudWatch, until the runner's last line is stored or
/// [`PATIENCE`] has passed, and marks the log complete. If the runner could not print a last line, one is added that says how the
/// task ended.
pub(crate) async fn complete(app: &App, id: &ExecutionId, stop: &Stop) -> Result<ExecutionRecord> {
    let patience = if stop.may_have_last_line() { PATIENCE } else { PATIENCE_WITHOUT_END };
    let since_end =
        stop.at.map_or(Duration::ZERO, |at| app.now().duration_since(at).max(SignedDuration::ZERO).unsigned_abs());
    let deadline = app.now() + patience.saturating_sub(since_end);
    let mut pause = Duration::from_millis(50);
    loop {
        // The time is read before the copy, so that the last copy begins after the deadline and misses no line before it.
        let is_late = app.now() >= deadline;
        let has_end = copy(app, id).await?;
        if has_end || is_late {
            let last = if has_end { None } else { stop.failure().map(|reason| last_line(app, stop, &reason)) };
            return Ok(store::append(app, id, last.into_iter().collect(), true).await?.record);
        }
        app.sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// The line that stands for the runner's last one. Its id is greater than every id of CloudWatch's (56 digits) and the same at each
/// attempt, so that it is stored once, at the end.
fn last_line(app: &App, stop: &Stop, reason: &str) -> LogEvent {
    LogEvent {
        event_id: "9".repeat(56),
        timestamp: stop.at.unwrap_or_else(|| app.now()).as_millisecond(),
        message: format!("### runvoy runner: the task ended without the command's end => {reason}"),
    }
}

/// Copies the lines that the store lacks, page by page. Returns whether the runner's last line was among those read.
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
