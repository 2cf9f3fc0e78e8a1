//! Handles the time of a schedule, as EventBridge Scheduler sends it.

use jiff::Timestamp;
use runvoy_core::{
    App, RequestId,
    schedule::{self, Due},
};
use serde::Deserialize;
use serde_json::Value;

use crate::error::EventError;

#[derive(Deserialize)]
struct Event {
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    schedule: String,
    timing_id: String,
    scheduled_time: Timestamp,
}

/// Starts the run of the time.
pub(crate) async fn handle(app: &App, event: Value, request_id: &RequestId) -> Result<(), EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("time of a schedule"))?;
    let Detail { schedule, timing_id, scheduled_time } = event.detail;
    let due = Due { schedule, timing_id, scheduled_at: scheduled_time };
    Ok(schedule::fire(app, &due, request_id).await?)
}
