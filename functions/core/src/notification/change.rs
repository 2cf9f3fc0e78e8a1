//! Turns changes of executions into messages for the notifications that want to know.

use jiff::Timestamp;
use runvoy_api_types::{DEFAULT_EVENTS, Execution, ExecutionId, Status};

use super::{
    NotificationEvent, NotificationFor, NotificationRecord, NotificationState,
    queue::{self, Message},
    record, series,
};
use crate::{
    App, Error, Result,
    auth::{Action, policy},
    boxed,
    error::Service,
    execution::{ExecutionRecord, list::is_of_image},
    playbook, user,
};

/// An execution is slow once it takes this many times as long as usual.
const SLOW_TIMES: i64 = 2;
/// The least seconds by which a slow execution takes longer than usual, so that an execution of a few seconds is not called slow for a few
/// more.
const SLOW_SECONDS: i64 = 60;

/// A change of an execution's status.
#[derive(Debug)]
pub struct StatusChange {
    /// The status before; absent for a new execution.
    pub from: Option<Status>,
    pub to: ExecutionRecord,
}

impl StatusChange {
    fn execution(&self) -> &Execution {
        &self.to.execution
    }

    /// Tells whether the status has changed. The stream also tells of changes of other attributes.
    fn is_one(&self) -> bool {
        self.from != Some(self.execution().status)
    }

    /// Tells whether the execution failed before its command ran.
    fn is_failed_start(&self) -> bool {
        let had_task = matches!(self.from, Some(Status::Starting | Status::Running | Status::Terminating));
        let has_failed = self.execution().status == Status::Failed;
        !self.to.has_run() && (self.to.failed_to_start() || has_failed && !had_task && !self.to.has_task_end())
    }
}

/// The id of a change. It is the same each time that the stream tells of the change.
fn change_id(id: &ExecutionId, what: &str) -> String {
    format!("{id}-{}", what.to_ascii_lowercase())
}

/// Queues messages about changes for the notifications that want them. Returns a result for each change, in the order of the changes.
///
/// # Errors
/// For a change, [`Error::Aws`] when DynamoDB or SQS fails.
pub async fn tell(app: &App, changes: &[StatusChange]) -> Vec<Result<()>> {
    let wanted: Vec<NotificationRecord> = match record::all(app).await {
        Ok(all) => all.into_iter().filter(|one| one.notification.state != NotificationState::Paused).collect(),
        Err(error) => {
            tracing::error!(error = %error.chain(), "the notifications could not be read");
            let failed = || Error::unavailable(Service::DynamoDb, "the notifications could not be read");
            return changes.iter().map(|_| Err(failed())).collect();
        }
    };
    let told = changes.iter().map(|change| tell_one(app, change, &wanted));
    futures_util::future::join_all(told).await
}

#[boxed]
async fn tell_one(app: &App, change: &StatusChange, all: &[NotificationRecord]) -> Result<()> {
    if !change.is_one() {
        return Ok(());
    }
    let execution = change.execution();
    let told_of = [Status::Succeeded, Status::Failed, Status::Running, Status::Waiting];
    if all.is_empty() || !told_of.contains(&execution.status) {
        return Ok(());
    }
    let interested = with_playbook(app, execution, all).await?;
    let interested: Vec<&NotificationRecord> = interested.iter().collect();
    if interested.is_empty() {
        return Ok(());
    }
    let messages = match execution.status {
        Status::Succeeded | Status::Failed => of_end(app, change, &interested).await?,
        Status::Running => of_start(app, &change.to, &interested).await?,
        Status::Waiting => of_waiting(execution, &interested),
        _ => Vec::new(),
    };
    queue::send(app, &messages).await
}

/// The notifications that are about an execution, and those that its playbook names. The latter also tell of the events that the playbook
/// lists for them.
async fn with_playbook(
    app: &App,
    execution: &Execution,
    all: &[NotificationRecord],
) -> Result<Vec<NotificationRecord>> {
    let mut interested: Vec<NotificationRecord> =
        all.iter().filter(|record| concerns(&record.notification.r#for, execution)).cloned().collect();
    let Some((name, version)) = execution.asked.playbook_at_version() else { return Ok(interested) };
    let Some((named, publisher)) = playbook::notifications_of(app, name, version).await? else { return Ok(interested) };
    if named.is_empty() {
        return Ok(interested);
    }
    // A playbook uses no notification that its publisher may not change any more.
    let Some(publisher) = user::principal(app, &publisher).await? else { return Ok(interested) };
    for told in named {
        let is_its = |record: &&NotificationRecord| record.notification.name.as_str() == told.name;
        let Some(record) = all.iter().find(is_its) else { continue };
        let resource = record::resource(&record.notification);
        if policy::authorize(&publisher, Action::UpdateNotification, resource).is_err() {
            continue;
        }
        let on = if told.on.is_empty() { DEFAULT_EVENTS.to_vec() } else { told.on };
        match interested.iter_mut().find(|one| one.id == record.id) {
            Some(one) => one.notification.on.extend(on),
            None => {
                let mut one = record.clone();
                one.notification.on = on;
                interested.push(one);
            }
        }
    }
    Ok(interested)
}

fn wants(record: &NotificationRecord, event: NotificationEvent) -> bool {
    record.notification.on.contains(&event)
}

fn message(
    record: &NotificationRecord,
    event: NotificationEvent,
    execution_id: &ExecutionId,
    what: &str,
    time: Timestamp,
) -> Message {
    Message {
        name: record.notification.name.to_string(),
        notification_id: record.id.clone(),
        event,
        change: change_id(execution_id, what),
        time,
        execution_id: Some(execution_id.clone()),
        due: None,
    }
}

/// The messages about the end of an execution: one for each notification, of the event that says most.
async fn of_end(app: &App, change: &StatusChange, interested: &[&NotificationRecord]) -> Result<Vec<Message>> {
    use NotificationEvent::{Failed, NotStarted, Recovered, Slow, Succeeded};
    let execution = change.execution();
    let at = execution.completed_at.unwrap_or(execution.started_at);
    let needs_series = interested.iter().any(|record| wants(record, Recovered) || wants(record, Slow));
    let decision = if needs_series { series::decide(app, execution, at).await? } else { series::Decision::default() };
    let candidates: &[NotificationEvent] = match execution.status {
        Status::Succeeded if decision.recovered => &[Recovered, Succeeded],
        Status::Succeeded => &[Succeeded],
        _ if change.is_failed_start() => &[NotStarted, Failed],
        _ => &[Failed],
    };
    let what = execution.status.to_string();
    let mut messages: Vec<Message> = interested
        .iter()
        .filter_map(|record| {
            let event = candidates.iter().find(|event| wants(record, **event))?;
            Some(message(record, *event, &execution.execution_id, &what, at))
        })
        .collect();
    if let Some(later) = &decision.recovers {
        let succeeded = Status::Succeeded.to_string();
        let told = interested.iter().filter(|record| wants(record, Recovered));
        messages.extend(told.map(|record| message(record, Recovered, &later.execution_id, &succeeded, later.at)));
    }
    Ok(messages)
}

/// The messages about an execution that waits for approvals. Its start is the time of the request.
fn of_waiting(execution: &Execution, interested: &[&NotificationRecord]) -> Vec<Message> {
    let wanted = interested.iter().filter(|record| wants(record, NotificationEvent::Waiting));
    let what = Status::Waiting.to_string();
    let id = &execution.execution_id;
    wanted.map(|record| message(record, NotificationEvent::Waiting, id, &what, execution.started_at)).collect()
}

/// The messages about an execution that runs: each is held back until the execution would be slow.
async fn of_start(app: &App, record: &ExecutionRecord, interested: &[&NotificationRecord]) -> Result<Vec<Message>> {
    // The time for which it waited before is no part of its duration.
    let (execution, begun_at) = (&record.execution, record.begun_at());
    let interested: Vec<_> =
        interested.iter().filter(|record| wants(record, NotificationEvent::Slow)).copied().collect();
    let usual = match interested.iter().any(|record| record.notification.slow_after.is_none()) {
        true => series::usual(app, execution).await?,
        false => None,
    };
    let messages = interested.into_iter().filter_map(|record| {
        let own = record.notification.slow_after.and_then(|seconds| i64::try_from(seconds).ok());
        let seconds = own.or_else(|| usual.map(|usual| (usual * SLOW_TIMES).max(usual + SLOW_SECONDS)))?;
        let due = begun_at.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?;
        // The delivery's sort key is made of the message's time. It is the start and not `due`, which may differ when the same change is
        // told again.
        let slow = message(record, NotificationEvent::Slow, &execution.execution_id, "slow", begun_at);
        Some(Message { due: Some(due), ..slow })
    });
    Ok(messages.collect())
}

/// Tells whether a notification is about this execution.
fn concerns(target: &NotificationFor, execution: &Execution) -> bool {
    let source = execution.asked.source.split_once(':');
    let is_from =
        |kind: &str, name: &str| source.is_some_and(|(found, of)| found == kind && of.split('@').next() == Some(name));
    target.playbook.as_deref().is_none_or(|name| execution.asked.playbook() == Some(name))
        && target.schedule.as_deref().is_none_or(|name| is_from("schedule", name))
        && target.user.as_deref().is_none_or(|user| execution.created_by.as_str() == user)
        && target.image.as_deref().is_none_or(|image| is_of_image(execution.image_id.as_str(), image))
}
