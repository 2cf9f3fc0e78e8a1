//! What one request did: the functions' own log lines with its id, and what it created or changed.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::{operation::filter_log_events::FilterLogEventsError, types::FilteredLogEvent};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App, Error, Result,
    execution::{self, Execution, list},
    image::{self, Image},
    logs::LogEvent,
    secret::{self, Secret},
    user::{self, User},
};

/// How far back is looked, step by step: the most recent lines are the ones that are asked for, and a search costs time by the
/// size of what it covers.
const WINDOWS: [Duration; 4] =
    [Duration::from_secs(3600), Duration::from_secs(86_400), Duration::from_secs(7 * 86_400), Duration::MAX];
/// The longest that an invocation lasts: lines found this close to a window's beginning may have others before it.
const INVOCATION: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Serialize, ToSchema)]
pub struct Trace {
    /// In the order of time.
    pub logs: Vec<LogEvent>,
    pub related_resources: RelatedResources,
}

/// What the request created or changed, as it is now.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct RelatedResources {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub executions: Vec<Execution>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub users: Vec<User>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub images: Vec<Image>,
}

/// # Errors
/// [`Error::Invalid`] for what is no request id.
pub async fn request(app: &App, request_id: &str) -> Result<Trace> {
    let well_formed =
        (1..=128).contains(&request_id.len()) && request_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !well_formed {
        return Err(Error::invalid("a request id is 1 to 128 letters, digits and hyphens, as X-Request-Id shows it"));
    }
    let of_request = |created: &str, modified: &str| created == request_id || modified == request_id;
    let mut executions = Vec::new();
    for id in list::of_request(app, request_id).await? {
        executions.extend(execution::find(app, &id).await?.map(|record| record.execution));
    }
    let secrets = secret::list(app).await?;
    let users = user::list(app).await?;
    let images = image::list(app).await?;
    let related_resources = RelatedResources {
        executions,
        secrets: kept(secrets, |one| of_request(&one.created_by_request_id, &one.modified_by_request_id)),
        users: kept(users, |one| of_request(&one.created_by_request_id, &one.modified_by_request_id)),
        images: kept(images, |one| of_request(&one.created_by_request_id, &one.modified_by_request_id)),
    };
    Ok(Trace { logs: log_lines(app, request_id).await?, related_resources })
}

fn kept<T>(all: Vec<T>, keep: impl Fn(&T) -> bool) -> Vec<T> {
    all.into_iter().filter(keep).collect()
}

async fn log_lines(app: &App, request_id: &str) -> Result<Vec<LogEvent>> {
    let now = app.now();
    let mut lines = Vec::new();
    for window in WINDOWS {
        let from = now.checked_sub(window).unwrap_or(Timestamp::UNIX_EPOCH).as_millisecond().max(0);
        lines.clear();
        for group in &app.config.function_log_groups {
            lines.extend(search(app, group, request_id, from).await?);
        }
        lines.sort_by(|a: &LogEvent, b| (a.timestamp, &a.event_id).cmp(&(b.timestamp, &b.event_id)));
        if lines.first().is_some_and(|first| first.timestamp > from + INVOCATION.as_millis() as i64) {
            break;
        }
    }
    Ok(lines)
}

async fn search(app: &App, group: &str, request_id: &str, from: i64) -> Result<Vec<LogEvent>> {
    let mut token = None;
    let mut found = Vec::new();
    loop {
        let answer = app
            .aws
            .logs
            .filter_log_events()
            .log_group_name(group)
            .filter_pattern(format!("\"{request_id}\""))
            .start_time(from)
            .set_next_token(token)
            .send()
            .await;
        let page = match answer {
            Ok(page) => page,
            // The function has never been called.
            Err(error)
                if matches!(error.as_service_error(), Some(FilterLogEventsError::ResourceNotFoundException(_))) =>
            {
                return Ok(found);
            }
            Err(error) => return Err(Error::aws("CloudWatch Logs")(error)),
        };
        found.extend(page.events.unwrap_or_default().into_iter().map(line));
        token = page.next_token;
        if token.is_none() {
            return Ok(found);
        }
    }
}

fn line(event: FilteredLogEvent) -> LogEvent {
    LogEvent {
        event_id: event.event_id.unwrap_or_default(),
        timestamp: event.timestamp.unwrap_or_default(),
        message: event.message.unwrap_or_default().trim_end().to_owned(),
    }
}
