//! Keeps the schedules of EventBridge Scheduler as the records say.

use aws_sdk_scheduler::{
    operation::{
        create_schedule::CreateScheduleError, delete_schedule::DeleteScheduleError,
        update_schedule::UpdateScheduleError,
    },
    types::{
        ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy,
        ScheduleState, Target,
    },
};
use runvoy_api_types::ScheduleName;
use serde_json::json;

use super::record::Record;
use crate::{App, Error, Result, boxed, error::Service};

/// Seconds for which the Scheduler tries to hand a time over: a day, the most that it takes ("RetryPolicy", EventBridge Scheduler API
/// Reference). A time that is handed over late is not lost: `on_missed` of the schedule says what becomes of it.
const MAX_EVENT_AGE: i32 = 86_400;
/// The number of times that the Scheduler tries again to hand a time over: the most that it takes ("RetryPolicy").
const MAX_RETRIES: i32 = 185;
/// The text that the Scheduler replaces by the time of an event ("Adding context attributes", EventBridge Scheduler User Guide).
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";
/// The `detail-type` by which the event processor recognizes the event of a schedule's time.
pub const DETAIL_TYPE: &str = "Scheduled Time";

/// Makes AWS have the timing and the state of a record. A schedule whose last time is over has none in AWS.
#[boxed]
pub(super) async fn bring(app: &App, record: &Record) -> Result<()> {
    let name = &record.schedule.name;
    let timing = record.timing()?;
    let is_over = timing.after(app.now(), record.timing_since).is_none();
    if is_over || record.schedule.paused_reason.is_some() && timing.is_once() {
        return delete(app, name).await;
    }
    if create(app, record, &timing.aws_expression()).await? {
        return Ok(());
    }
    match update(app, record, &timing.aws_expression()).await? {
        true => Ok(()),
        // A schedule that has run once has left AWS between the two calls.
        false => create(app, record, &timing.aws_expression()).await.map(drop),
    }
}

/// Creates the schedule. `false` when there is one of this name.
#[boxed]
async fn create(app: &App, record: &Record, expression: &str) -> Result<bool> {
    let call = app
        .aws
        .scheduler
        .create_schedule()
        .name(record.schedule.name.as_str())
        .group_name(&app.config.scheduler.group)
        // A repeated call of the SDK makes no second schedule, and is not refused because of the first.
        .client_token(&record.timing_id)
        .schedule_expression(expression)
        .schedule_expression_timezone(&record.schedule.timezone)
        .state(state(record))
        .flexible_time_window(window()?)
        .action_after_completion(ActionAfterCompletion::Delete)
        .target(target(app, record)?);
    match call.send().await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.as_service_error(), Some(CreateScheduleError::ConflictException(_))) => Ok(false),
        Err(error) => match error.as_service_error() {
            Some(CreateScheduleError::ValidationException(refused)) => Err(refusal(refused.message())),
            Some(CreateScheduleError::ServiceQuotaExceededException(_)) => {
                Err(Error::conflict("the account has as many schedules as EventBridge Scheduler allows")
                    .with_hint("delete some, or have the quota \"Number of schedules\" raised"))
            }
            _ => Err(Error::aws(Service::Scheduler)(error)),
        },
    }
}

/// Replaces the schedule. `false` when there is none of this name.
async fn update(app: &App, record: &Record, expression: &str) -> Result<bool> {
    let call = app
        .aws
        .scheduler
        .update_schedule()
        .name(record.schedule.name.as_str())
        .group_name(&app.config.scheduler.group)
        .client_token(&record.timing_id)
        .schedule_expression(expression)
        .schedule_expression_timezone(&record.schedule.timezone)
        .state(state(record))
        .flexible_time_window(window()?)
        .action_after_completion(ActionAfterCompletion::Delete)
        .target(target(app, record)?);
    match call.send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(UpdateScheduleError::ResourceNotFoundException(_)) => Ok(false),
            Some(UpdateScheduleError::ValidationException(refused)) => Err(refusal(refused.message())),
            _ => Err(Error::aws(Service::Scheduler)(error)),
        },
    }
}

/// Deletes the schedule, if there is one.
#[boxed]
pub(super) async fn delete(app: &App, name: &ScheduleName) -> Result<()> {
    let call = app.aws.scheduler.delete_schedule().name(name.as_str()).group_name(&app.config.scheduler.group);
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.as_service_error(), Some(DeleteScheduleError::ResourceNotFoundException(_))) => {
            Ok(())
        }
        Err(error) => Err(Error::aws(Service::Scheduler)(error)),
    }
}

/// The names of the schedules in the stack's group.
pub(crate) async fn names(app: &App) -> Result<Vec<String>> {
    let mut pages = app.aws.scheduler.list_schedules().group_name(&app.config.scheduler.group).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(Error::aws(Service::Scheduler))?;
        names.extend(page.schedules.into_iter().filter_map(|schedule| schedule.name));
    }
    Ok(names)
}

fn state(record: &Record) -> ScheduleState {
    if record.schedule.enabled { ScheduleState::Enabled } else { ScheduleState::Disabled }
}

fn window() -> Result<FlexibleTimeWindow> {
    Ok(FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build()?)
}

fn target(app: &App, record: &Record) -> Result<Target> {
    let scheduler = &app.config.scheduler;
    let event = json!({
        "source": "runvoy",
        "detail-type": DETAIL_TYPE,
        "detail": {
            "schedule": record.schedule.name,
            "timing_id": record.timing_id,
            "scheduled_time": SCHEDULED_TIME,
        },
    });
    let retry =
        RetryPolicy::builder().maximum_event_age_in_seconds(MAX_EVENT_AGE).maximum_retry_attempts(MAX_RETRIES).build();
    let dead_letters = DeadLetterConfig::builder().arn(&scheduler.dead_letters_arn).build();
    Ok(Target::builder()
        .arn(&scheduler.target_arn)
        .role_arn(&scheduler.role_arn)
        .retry_policy(retry)
        .dead_letter_config(dead_letters)
        .input(event.to_string())
        .build()?)
}

/// AWS's refusal of a schedule that passed the checks here.
fn refusal(message: &str) -> Error {
    Error::invalid(format!("EventBridge Scheduler refuses the schedule: {message}"))
}
