//! Traces one request: the functions' log lines with its id, and what it created or changed.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::{operation::filter_log_events::FilterLogEventsError, types::FilteredLogEvent};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App, Error, RequestId, Result,
    error::Service,
    execution::{self, Execution, list},
    image::{self, Image},
    logs::LogEvent,
    secret::{self, Secret},
    user::{self, User},
};

/// The spans of time that are searched, the latest first. Most requests that are traced are recent, and a search takes longer the more it covers.
/// The last step is the longest retention that the template allows.
const WINDOWS: [Duration; 3] =
    [Duration::from_secs(3600), Duration::from_secs(7 * 86_400), Duration::from_secs(365 * 86_400)];
/// The longest time that an invocation may last ("Lambda quotas"). If the first line found is this close to the beginning of the
/// window, the request may have begun before the window.
const INVOCATION: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Serialize, ToSchema)]
pub struct Trace {
    /// Sorted by time.
    pub logs: Vec<LogEvent>,
    pub related_resources: RelatedResources,
}

/// The resources that the request created or changed, in their present state.
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

/// Finds what is known of a request. The result is empty for an unknown one.
///
/// # Errors
/// [`Error::Aws`] when a table or CloudWatch Logs cannot be read.
pub async fn request(app: &App, request_id: &RequestId) -> Result<Trace> {
    let of_request = |created: &RequestId, modified: &RequestId| created == request_id || modified == request_id;
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

async fn log_lines(app: &App, request_id: &RequestId) -> Result<Vec<LogEvent>> {
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

async fn search(app: &App, group: &str, request_id: &RequestId, from: i64) -> Result<Vec<LogEvent>> {
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
            // The log group does not exist before the function's first invocation.
            Err(error)
                if matches!(error.as_service_error(), Some(FilterLogEventsError::ResourceNotFoundException(_))) =>
            {
                return Ok(found);
            }
            Err(error) => return Err(Error::aws(Service::CloudWatchLogs)(error)),
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
        exit_code: None,
    }
}
