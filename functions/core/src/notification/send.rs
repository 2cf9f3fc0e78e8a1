//! Sends the messages that the queue hands over, and decides when a message that was not taken is tried again.

use std::time::Duration;

use jiff::Timestamp;
use runvoy_api_types::{Execution, Status};

use super::{
    Channel, NotificationEvent, NotificationRecord, NotificationState, backoff,
    delivery::{self, Claim, DeliveryRecord, Outcome},
    email,
    key::{self, Kept},
    message::Told,
    queue::{self, Message},
    record,
    share::{self, Turn},
    webhook::{self, ReceiverAnswer, Signed},
};
use crate::{
    App, Result,
    auth::{Action, Principal, Resource, policy},
    execution::{self, ExecutionRecord},
    logs::store,
    notification::DeliveryState,
    user,
};

/// Lines of the log in a message.
const LINES: usize = 10;
/// Batches of the log that are read for them: a slow command has a line in each, and runvoy's own lines are left out.
const BATCHES: usize = LINES + 5;
/// Characters of a line in a message.
const LINE_CHARS: usize = 300;
/// The beginning of the lines that runvoy itself writes to the log. Messages leave them out.
const OWN_LINE: &str = "### runvoy ";
/// The number of reads of the log while its last line is missing, which may be stored after the status has changed.
const LOOKS: u32 = 6;
/// The pause between two reads. All pauses take 2.5 seconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The result of handling a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Handled {
    /// The queue may delete it.
    Done,
    /// The queue is to hand it over again after this time.
    Later(Duration),
}

/// Handles a message that the queue hands over. `receives` is the number of times that it has done so.
///
/// # Errors
/// [`crate::Error::Aws`] when AWS fails, and [`crate::Error::Invalid`] for a message that cannot be read: the queue hands it over again.
pub async fn handle(app: &App, body: &str, receives: u32) -> Result<Handled> {
    let message = Message::parse(body)?;
    if let Some(due) = message.due.filter(|due| *due > app.now()) {
        return Ok(Handled::Later(queue::until(app, due)));
    }
    let Some(record) = record::find_same(app, &message.name, &message.notification_id).await? else {
        tracing::info!(notification = message.name, "not sent: the notification has been deleted");
        return Ok(Handled::Done);
    };
    let execution = match &message.execution_id {
        None => None,
        Some(id) => match execution::find(app, id).await? {
            Some(found) => Some(found),
            None => return Ok(Handled::Done),
        },
    };
    let has_ended = execution.as_ref().is_some_and(|record| record.execution.status.is_terminal());
    if message.event == NotificationEvent::Slow && has_ended {
        return Ok(Handled::Done);
    }
    let turn = match share::turn(app, &record, &message, receives).await? {
        Turn::Now(turn) => turn,
        Turn::Later(time) => return Ok(Handled::Later(time)),
    };
    let claim = delivery::claim(app, &message).await?;
    if !matches!(claim, Claim::Taken(_)) {
        share::give_back(app, &record, turn.as_ref()).await?;
    }
    let claimed = match claim {
        Claim::Taken(claimed) => claimed,
        Claim::Finished => return Ok(Handled::Done),
        Claim::Until(next) => return Ok(Handled::Later(queue::until(app, next))),
    };
    let attempts = claimed.delivery.attempts;
    let outcome = match refusal(app, &message, &record).await? {
        Some(why) => Outcome { state: DeliveryState::Skipped, status_code: None, answer: Some(why), next_try_at: None },
        None => {
            let answer = send(app, &message, &record, execution.as_ref()).await?;
            let slow = share::answered(app, &record, turn.as_ref(), &answer).await?;
            judge(app, &message, &claimed, answer, slow.and_then(|slow| slow.since))
        }
    };
    delivery::finish(app, &message, attempts, &outcome).await?;
    let state = outcome.state;
    tracing::info!(
        notification = message.name, change = message.change, event = %message.event, %state, attempts,
        status_code = outcome.status_code, "notification"
    );
    if state == DeliveryState::Failed && message.event != NotificationEvent::Test {
        let answer = outcome.answer.as_deref().unwrap_or("no answer");
        let reason = format!("the receiver has taken nothing for a day: {answer}");
        record::set_state(app, &record, NotificationState::Active, NotificationState::Paused, Some(&reason)).await?;
    }
    Ok(match outcome.next_try_at {
        Some(next) => Handled::Later(queue::until(app, next)),
        None => Handled::Done,
    })
}

/// Decides what becomes of a message by the answer of its receiver. A receiver that has not answered any message since `silent_since` has
/// used up a part of the message's day already.
fn judge(
    app: &App,
    message: &Message,
    claimed: &DeliveryRecord,
    answer: ReceiverAnswer,
    silent_since: Option<Timestamp>,
) -> Outcome {
    let outcome = |state, next_try_at| Outcome {
        state,
        status_code: answer.status_code,
        answer: Some(answer.text.clone()).filter(|text| !text.is_empty()),
        next_try_at,
    };
    if answer.is_taken() {
        return outcome(DeliveryState::Delivered, None);
    }
    let now = app.now();
    let next = now.checked_add(backoff::pause(claimed.delivery.attempts)).unwrap_or(now);
    let first = silent_since.map_or(claimed.first_tried_at, |since| since.min(claimed.first_tried_at));
    let tried_for = next.duration_since(first).unsigned_abs();
    if message.event == NotificationEvent::Test || tried_for > backoff::GIVE_UP_AFTER {
        return outcome(DeliveryState::Failed, None);
    }
    outcome(DeliveryState::Retrying, Some(next))
}

/// The reason for which a message is not sent. `None` if it is sent.
async fn refusal(app: &App, message: &Message, record: &NotificationRecord) -> Result<Option<String>> {
    let notification = &record.notification;
    match notification.state {
        NotificationState::Pending => return Ok(Some("the recipient has not confirmed the address".to_owned())),
        NotificationState::Paused if message.event != NotificationEvent::Test => {
            return Ok(Some("the notification is paused".to_owned()));
        }
        NotificationState::Paused | NotificationState::Active => {}
    }
    let may_see =
        |principal: &Principal| policy::authorize(principal, Action::ListExecutions, Resource::Account).is_ok();
    let has_owner = owners(app, record).await?.iter().any(may_see);
    Ok((!has_owner).then(|| "no owner of the notification may see executions any more".to_owned()))
}

/// The owners of a notification who are still users.
async fn owners(app: &App, record: &NotificationRecord) -> Result<Vec<Principal>> {
    let owners = record.notification.owned_by.iter().map(|owner| user::principal(app, owner));
    let owners = futures_util::future::try_join_all(owners).await?;
    Ok(owners.into_iter().flatten().collect())
}

async fn send(
    app: &App,
    message: &Message,
    record: &NotificationRecord,
    execution: Option<&ExecutionRecord>,
) -> Result<ReceiverAnswer> {
    let lines = match execution {
        Some(execution) if record.notification.channel.kind() != "webhook" => lines(app, record, execution).await?,
        _ => Vec::new(),
    };
    let execution = execution.map(|record| &record.execution);
    let told = Told { message, record, execution, lines: &lines };
    let gone = || ReceiverAnswer::none("the key of the notification is gone; delete the notification and make another");
    match &record.notification.channel {
        Channel::Webhook { url } => {
            let Some(kept) = key::read(app, &record.id).await? else { return Ok(gone()) };
            let signed = Signed { id: &message.change, keys: &kept.signing(app.now()) };
            Ok(webhook::post(app, url, told.body(app)?, Some(signed)).await)
        }
        Channel::Slack { .. } => {
            let Some(Kept::Slack { url }) = key::read(app, &record.id).await? else { return Ok(gone()) };
            Ok(webhook::post(app, &url, told.slack(app).to_string().into_bytes(), None).await)
        }
        Channel::Email { .. } => {
            let (subject, text) = told.mail(app);
            Ok(email::publish(app, &record.id, &subject, text).await)
        }
    }
}

/// The last lines of an execution that has failed, if an owner of the notification may read its log.
async fn lines(app: &App, record: &NotificationRecord, execution: &ExecutionRecord) -> Result<Vec<String>> {
    let Execution { execution_id: id, owned_by, status, .. } = &execution.execution;
    let log = Resource::Execution { id: id.as_str(), owners: owned_by };
    let may_read = |owner: &Principal| policy::authorize(owner, Action::ReadLogs, log).is_ok();
    if *status != Status::Failed || execution.failed_to_start() || !owners(app, record).await?.iter().any(may_read) {
        return Ok(Vec::new());
    }
    let mut events = store::tail(app, id, BATCHES).await?;
    for _ in 1..LOOKS {
        if events.iter().any(|event| event.exit_code.is_some()) {
            break;
        }
        app.sleep(LOOK_EVERY).await;
        events = store::tail(app, id, BATCHES).await?;
    }
    let printed = events.iter().map(|event| event.message.trim_end()).filter(|line| !line.starts_with(OWN_LINE));
    let mut lines: Vec<String> =
        printed.rev().take(LINES).map(|line| line.chars().take(LINE_CHARS).collect()).collect();
    lines.reverse();
    Ok(lines)
}
