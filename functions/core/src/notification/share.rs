//! Keeps slow receivers from holding up the messages to others. A receiver that is slow to answer is sent one message at a time, and none
//! for a while after one that it did not answer, so that its messages do not occupy all invocations that send.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::{
    NotificationEvent, NotificationRecord, backoff,
    queue::{self, Message},
    record::Slow,
    webhook::ReceiverAnswer,
};
use crate::{
    App, Result,
    table::{self, WriteError as _, string},
    time,
};

/// The time for which a message keeps others from a slow receiver: the longest time of an answer, and some for reads and writes. If its
/// invocation dies, the next message is sent after this time.
const TURN: Duration = Duration::from_secs(15);

/// The result of asking whether a message may go.
pub(super) enum Turn {
    /// The message may be sent. Holds the state of the receiver that the record has meanwhile.
    Now(Option<Slow>),
    /// The message is put off for this time, without a try.
    Later(Duration),
}

/// Tells whether a message may be sent to its receiver. Of a slow receiver's messages, one at a time may. A test is always sent, because a
/// person waits for it.
pub(super) async fn turn(app: &App, record: &NotificationRecord, message: &Message, receives: u32) -> Result<Turn> {
    let Some(slow) = record.slow.clone().filter(|_| message.event != NotificationEvent::Test) else {
        return Ok(Turn::Now(record.slow.clone()));
    };
    let now = app.now();
    if slow.until > now {
        return Ok(Turn::Later(put_off(app, slow.until, message, receives)));
    }
    let turn = Slow { until: now.checked_add(TURN).unwrap_or(now), ..slow.clone() };
    if write(app, record, Some(&slow), Some(&turn)).await? {
        Ok(Turn::Now(Some(turn)))
    } else {
        Ok(Turn::Later(put_off(app, turn.until, message, receives)))
    }
}

/// The time for which a message is put off. It grows with the number of times that the queue has handed the message over, so that the queue
/// does not give the message up. Up to a quarter more depends on the message, so that those for one receiver do not come all at once.
fn put_off(app: &App, until: Timestamp, message: &Message, receives: u32) -> Duration {
    let pause = queue::until(app, until).max(backoff::pause(receives));
    let part = message.change.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    pause + Duration::from_secs(pause.as_secs() * u64::from(part) / (4 * 256))
}

/// Ends the turn of a message that was not sent, so that the next one may be.
pub(super) async fn give_back(app: &App, record: &NotificationRecord, turn: Option<&Slow>) -> Result<()> {
    let Some(turn) = turn else { return Ok(()) };
    write(app, record, Some(turn), Some(&Slow { until: app.now(), ..turn.clone() })).await.map(drop)
}

/// Writes down how a receiver has answered, unless the answer to another message was written down since this one was sent. Returns the
/// receiver's state, if it is slow.
pub(super) async fn answered(
    app: &App,
    record: &NotificationRecord,
    before: Option<&Slow>,
    answer: &ReceiverAnswer,
) -> Result<Option<Slow>> {
    let now = app.now();
    let after = match (answer.is_slow, answer.status_code) {
        (false, _) => None,
        (true, Some(_)) => Some(Slow { until: now, since: None, unanswered: 0 }),
        (true, None) => {
            let unanswered = before.map_or(0, |slow| slow.unanswered).saturating_add(1);
            let until = now.checked_add(backoff::pause(unanswered)).unwrap_or(now);
            Some(Slow { until, since: before.and_then(|slow| slow.since).or(Some(now)), unanswered })
        }
    };
    if before.is_some() || after.is_some() {
        write(app, record, before, after.as_ref()).await?;
    }
    Ok(after)
}

/// Changes the receiver's state in the record, if it still is the one that was read. Returns whether it was.
async fn write(app: &App, record: &NotificationRecord, from: Option<&Slow>, to: Option<&Slow>) -> Result<bool> {
    let mut update = app
        .aws
        .dynamodb
        .update_item()
        .table_name(&app.config.tables.notifications)
        .key("name", string(record.notification.name.as_str()))
        .expression_attribute_names("#slow", "slow")
        .expression_attribute_values(":id", string(&record.id));
    update = match to {
        None => update.update_expression("REMOVE #slow"),
        Some(slow) => update
            .update_expression("SET #slow = :slow")
            .expression_attribute_values(":slow", AttributeValue::M(table::to_item(slow)?)),
    };
    update = match from {
        None => update.condition_expression("id = :id AND attribute_not_exists(#slow)"),
        Some(slow) => update
            .condition_expression("id = :id AND #slow.#until = :until")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":until", string(time::rfc3339(slow.until))),
    };
    match table::write(app, || update.clone().send()).await {
        Ok(_) => Ok(true),
        Err(error) if error.condition_failed() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
