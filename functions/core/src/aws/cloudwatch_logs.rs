//! Calls CloudWatch Logs. The names of operations and fields are those of its API reference.

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};

use super::{
    json::{JsonOperation, Service},
    operation::Failure,
};

/// Calls CloudWatch Logs as the function's own role.
#[derive(Clone, Debug)]
pub struct Client {
    filter_log_events: JsonOperation<FilterLogEvents, Page>,
}

/// What of a log group is asked for. All of it, where nothing else is said.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterLogEvents {
    pub log_group_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream_names: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_pattern: Option<String>,
    /// In milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    /// In milliseconds since 1970. An event at this time is within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Some events, perhaps none, and a token if there may be more.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    #[serde(default)]
    pub events: Vec<FilteredLogEvent>,
    pub next_token: Option<String>,
}

/// A line of a log.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilteredLogEvent {
    pub event_id: String,
    /// In milliseconds since 1970.
    pub timestamp: i64,
    #[serde(default)]
    pub message: String,
}

impl Client {
    pub fn new(sdk: &SdkConfig) -> Self {
        let logs = Service { sdk, name: "logs", target: "Logs_20140328" };
        Self { filter_log_events: logs.operation("FilterLogEvents") }
    }

    /// Some of the events that a request asks for, in the order of their times.
    ///
    /// # Errors
    /// `ResourceNotFoundException` is the code of the refusal where the group, or one of the streams, does not exist.
    pub async fn filter_log_events(&self, request: FilterLogEvents) -> Result<Page, Failure> {
        self.filter_log_events.invoke(request).await
    }
}
