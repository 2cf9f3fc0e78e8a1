//! Reads a log from CloudWatch Logs itself, for lines that the subscription has not delivered or that the store has expired.
//!
//! `FilterLogEvents` may be called 5 times a second in an account and region, and the quota cannot be raised ("CloudWatch Logs
//! quotas"). `GetLogEvents` has a higher quota, but its answers have no event ids.

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use runvoy_api_types::limits::MAX_ATTEMPTS_OF_A_RUN;
use serde::{Deserialize, Serialize};

use super::{LogEvent, end_line};
use crate::{
    App, Error, Result,
    aws::cloudwatch_logs::FilterLogEvents,
    error::Service,
    execution::{ExecutionRecord, LogStream},
    image::task_definition::{RUNNER, SIDECAR},
};

/// A place in an execution's log: some of its streams, and CloudWatch's token within them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamCursor {
    /// Counts the entries of [`STREAMS`] of the first attempt's task, then those of the second one's, and so on.
    streams: usize,
    token: Option<String>,
}

/// The containers whose streams are read by one call. A container that never started has no stream, and its name would make the
/// whole call fail. Then the sidecar's is read alone, and the runner's if there was a sidecar, because the runner starts after it.
const STREAMS: [&[&str]; 3] = [&[SIDECAR, RUNNER], &[SIDECAR], &[RUNNER]];

impl StreamCursor {
    /// The beginning of a log. The task of a run without a repository has no sidecar.
    pub(super) fn start(has_sidecar: bool) -> Self {
        Self::start_of(0, has_sidecar)
    }

    /// The beginning of the lines of one task among those of the execution.
    fn start_of(task: usize, has_sidecar: bool) -> Self {
        Self { streams: task * STREAMS.len() + if has_sidecar { 0 } else { STREAMS.len() - 1 }, token: None }
    }

    /// The task among those of the execution, and the entry of [`STREAMS`].
    fn place(&self) -> (usize, usize) {
        (self.streams / STREAMS.len(), self.streams % STREAMS.len())
    }

    /// As text, for the `Link` header of a page.
    pub(super) fn encode(&self) -> String {
        format!("{}:{}", self.streams, self.token.as_deref().unwrap_or_default())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (streams, token) = text.split_once(':')?;
        let streams = streams.parse().ok().filter(|at| *at < STREAMS.len() * MAX_ATTEMPTS_OF_A_RUN as usize)?;
        Some(Self { streams, token: Some(token.to_owned()).filter(|token| !token.is_empty()) })
    }

    /// The next place within the same task.
    fn next(self, token: Option<String>, is_missing: bool) -> Option<Self> {
        let (task, entry) = self.place();
        match token {
            Some(token) => Some(Self { streams: self.streams, token: Some(token) }),
            // Both were read, or there is no sidecar.
            None if (entry == 0) != is_missing => None,
            None => Some(Self { streams: self.streams + 1, token: None }).filter(|next| next.place().0 == task),
        }
    }
}

/// A span of time in milliseconds since 1970, without its end. It is open where it has no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) from: Option<i64>,
    pub(super) until: Option<i64>,
}

/// One page of the lines of a span, in which the runner's last line is marked by the run's nonce, and where the next page starts if
/// there is one. A page may be empty although more follow. The lines of each attempt's task come before those of the next one's.
pub(super) async fn page(
    app: &App,
    record: &ExecutionRecord,
    span: Span,
    place: StreamCursor,
) -> Result<(Vec<LogEvent>, Option<StreamCursor>)> {
    let tasks = record.tasks();
    let (at, entry) = place.place();
    let (Some(task), Some(containers)) = (tasks.get(at), STREAMS.get(entry)) else { return Ok((Vec::new(), None)) };
    let streams = containers.iter().map(|container| LogStream::new(container, task).to_string()).collect();
    let request = FilterLogEvents {
        log_group_name: app.config.log_group.clone(),
        log_stream_names: Some(streams),
        start_time: span.from,
        // AWS includes the end.
        end_time: span.until.map(|until| until - 1),
        next_token: place.token.clone(),
        ..FilterLogEvents::default()
    };
    let (events, token, is_missing) = match app.aws.logs.filter_log_events(request).await {
        Ok(page) => (page.events, page.next_token, false),
        Err(error) if error.code() == Some("ResourceNotFoundException") => (Vec::new(), None, true),
        Err(error) => return Err(Error::aws(Service::CloudWatchLogs)(error)),
    };
    let mut events: Vec<LogEvent> = events
        .into_iter()
        .map(|event| LogEvent {
            event_id: event.event_id,
            timestamp: event.timestamp,
            message: event.message,
            exit_code: None,
        })
        .collect();
    let is_end = |exit_code| !record.may_be_followed(task, exit_code);
    end_line::mark_end(&mut events, record.nonce.as_deref(), is_end);
    let has_sidecar = record.execution.asked.git_repo.is_some();
    let next_task = (at + 1 < tasks.len()).then(|| StreamCursor::start_of(at + 1, has_sidecar));
    Ok((events, place.next(token, is_missing).or(next_task)))
}
