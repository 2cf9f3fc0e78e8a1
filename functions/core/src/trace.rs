//! Traces one request: the functions' log lines with its id, and what it created or changed.

use std::time::Duration;

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use futures_util::future;
use jiff::Timestamp;
use runvoy_api_types::{RelatedResources, Trace};

use crate::{
    App, Error, RequestId, Result, audit,
    aws::cloudwatch_logs::{FilterLogEvents, FilteredLogEvent},
    error::Service,
    execution::{self, Execution, list},
    image,
    logs::LogEvent,
    secret, user,
};

/// The ages up to which lines are searched of a request whose time is not known, one after the other. Most requests that are traced are
/// recent, and a search takes longer the more it covers. The last is the longest retention that the template allows.
const AGES: [Duration; 4] =
    [Duration::from_hours(1), Duration::from_hours(24), Duration::from_hours(168), Duration::from_hours(8760)];
/// The time that such a search may take. CloudWatch reads about a gigabyte of lines a second, and the request itself has 30 seconds.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest time that an invocation may last ("Lambda quotas").
const INVOCATION: Duration = Duration::from_mins(15);
/// The time after a request in which its last line comes. An event's retries have its request id, and come within minutes unless the
/// function is throttled.
const RETRIES: Duration = Duration::from_hours(1);

/// Lines that an answer has at most. A request writes some dozens.
const MAX_LINES: usize = 10_000;
/// Bytes that the lines of an answer have at most, as they travel. Lambda's answers have at most 6 MB ("Lambda quotas"); half of that leaves
/// room for what the request created or changed.
const MAX_BYTES: usize = 3_000_000;
/// Bytes of a line's other fields, as they travel.
const LINE_OVERHEAD: usize = 200;

/// Lines up to the limits of an answer.
#[derive(Default)]
struct Lines {
    found: Vec<LogEvent>,
    bytes: usize,
    is_cut: bool,
}

impl Lines {
    /// Takes lines until one does not fit any more.
    fn extend(&mut self, lines: impl IntoIterator<Item = LogEvent>) {
        for line in lines {
            let bytes = self.bytes + bytes_as_sent(&line.message) + LINE_OVERHEAD;
            if self.is_cut || bytes > MAX_BYTES || self.found.len() == MAX_LINES {
                self.is_cut = true;
                return;
            }
            self.bytes = bytes;
            self.found.push(line);
        }
    }

    /// The first lines of all of these by time, as far as they fit.
    fn merged(all: impl IntoIterator<Item = Self>) -> Self {
        let (mut found, mut is_cut) = (Vec::new(), false);
        for lines in all {
            found.extend(lines.found);
            is_cut |= lines.is_cut;
        }
        found.sort_by(|a: &LogEvent, b| (a.timestamp, &a.event_id).cmp(&(b.timestamp, &b.event_id)));
        let mut merged = Self::default();
        merged.extend(found);
        merged.is_cut |= is_cut;
        merged
    }
}

/// Bytes of a text in an answer of Lambda: it is escaped in the body, which is a string of JSON itself.
fn bytes_as_sent(text: &str) -> usize {
    let bytes = |byte| match byte {
        b'"' | b'\\' => 4,
        0..0x20 | 0x7f => 7,
        _ => 1,
    };
    text.bytes().map(bytes).sum()
}

/// Finds what is known of a request. The result is empty for an unknown one.
///
/// # Errors
/// [`Error::Aws`] when a table or CloudWatch Logs cannot be read.
pub async fn request(app: &App, request_id: &RequestId) -> Result<Trace> {
    let of_request = |created: &RequestId, modified: &RequestId| created == request_id || modified == request_id;
    let (executions, secrets, users, images, audited) = tokio::try_join!(
        executions(app, request_id),
        secret::list(app),
        user::list(app),
        image::list(app),
        audit::read::time_of(app, request_id),
    )?;
    let related_resources = RelatedResources {
        executions,
        secrets: kept(secrets, |one| of_request(&one.created_by_request_id, &one.modified_by_request_id)),
        users: kept(users, |one| of_request(&one.created_by_request_id, &one.modified_by_request_id)),
        images: kept(images, |one| of_request(&one.created_by_request_id, &one.modified_by_request_id)),
    };
    let (lines, searched_since) = match audited.or_else(|| time_of(&related_resources, request_id)) {
        Some(time) => (lines_around(app, request_id, time).await?, None),
        None => search(app, request_id).await?,
    };
    Ok(Trace { logs: lines.found, searched_since, is_cut: lines.is_cut, related_resources })
}

async fn executions(app: &App, request_id: &RequestId) -> Result<Vec<Execution>> {
    let mut executions = Vec::new();
    for id in list::of_request(app, request_id).await? {
        executions.extend(execution::find(app, &id).await?.map(|record| record.execution));
    }
    Ok(executions)
}

/// The time of the request, from what it created.
fn time_of(related: &RelatedResources, request_id: &RequestId) -> Option<Timestamp> {
    let executions = related.executions.iter().map(|one| (&one.created_by_request_id, one.started_at));
    let secrets = related.secrets.iter().map(|one| (&one.created_by_request_id, one.created_at));
    let users = related.users.iter().map(|one| (&one.created_by_request_id, one.created_at));
    let images = related.images.iter().map(|one| (&one.created_by_request_id, one.created_at));
    let mut all = executions.chain(secrets).chain(users).chain(images);
    all.find(|(id, _)| *id == request_id).map(|(_, time)| time)
}

fn kept<T>(all: Vec<T>, keep: impl Fn(&T) -> bool) -> Vec<T> {
    all.into_iter().filter(keep).collect()
}

/// The lines of a request whose time is known.
async fn lines_around(app: &App, request_id: &RequestId, time: Timestamp) -> Result<Lines> {
    let from = time.checked_sub(INVOCATION).unwrap_or(Timestamp::UNIX_EPOCH);
    lines(app, request_id, from, time.checked_add(RETRIES).unwrap_or(Timestamp::MAX)).await
}

/// The lines of a request whose time is not known, and how far back they were searched, if the time did not suffice for all.
async fn search(app: &App, request_id: &RequestId) -> Result<(Lines, Option<Timestamp>)> {
    let now = app.now();
    let gives_up = now + SEARCH_TIMEOUT;
    let mut found = Lines::default();
    let mut until = Timestamp::MAX;
    for age in AGES {
        let from = now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH);
        found = Lines::merged([found, lines(app, request_id, from, until).await?]);
        if found.is_cut {
            break;
        }
        let first = found.found.first().map(|line| line.timestamp);
        // If the first line is this close to the beginning, the request may have begun before it.
        if first.is_some_and(|first| first > from.as_millisecond() + INVOCATION.as_millis() as i64) {
            break;
        }
        if app.now() >= gives_up {
            return Ok((found, Some(from)));
        }
        until = from;
    }
    Ok((found, None))
}

/// The lines of a request in this span of time, its end left out, from the logs of both functions.
async fn lines(app: &App, request_id: &RequestId, from: Timestamp, until: Timestamp) -> Result<Lines> {
    let groups = app.config.function_log_groups.iter();
    let found = future::try_join_all(groups.map(|group| lines_of(app, group, request_id, from, until))).await?;
    Ok(Lines::merged(found))
}

async fn lines_of(app: &App, group: &str, request_id: &RequestId, from: Timestamp, until: Timestamp) -> Result<Lines> {
    let mut token = None;
    let mut found = Lines::default();
    loop {
        let request = FilterLogEvents {
            log_group_name: group.to_owned(),
            filter_pattern: Some(format!("\"{request_id}\"")),
            start_time: Some(from.as_millisecond()),
            end_time: (until < Timestamp::MAX).then(|| until.as_millisecond() - 1),
            next_token: token,
            ..FilterLogEvents::default()
        };
        let page = match app.aws.logs.filter_log_events(request).await {
            Ok(page) => page,
            // The log group does not exist before the function's first invocation.
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(found),
            Err(error) => return Err(Error::aws(Service::CloudWatchLogs)(error)),
        };
        found.extend(page.events.into_iter().map(line));
        token = page.next_token;
        if token.is_none() || found.is_cut {
            return Ok(found);
        }
    }
}

fn line(event: FilteredLogEvent) -> LogEvent {
    LogEvent {
        event_id: event.event_id,
        timestamp: event.timestamp,
        message: event.message.trim_end().to_owned(),
        exit_code: None,
    }
}
