//! Sends a viewer that is not a member of the fan-out the lines that it lacks: one that has just connected, that reads slowly, or to
//! which a frame could not be sent.
//!
//! One invocation at a time sends to such a viewer, under a lease on the viewer's record, from the store and in the store's order. One
//! that finds the lease held leaves the viewer to its holder. The holder reads the log's head again after it releases the lease, and delivers
//! whatever was stored in between. A viewer that has caught up is then taken into the fan-out with the next lines: see
//! [`fan_out`](super::fan_out).
//!
//! A viewer that takes longer than [`TURN_OF_ONE`] is handed over to an event of its own, so that no invocation reaches its time limit in the
//! middle of a long log, and the lines of other viewers do not wait.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::{
    operation::{delete_connection::DeleteConnectionError, post_to_connection::PostToConnectionError},
    primitives::Blob,
};
use jiff::{SignedDuration, Timestamp};

use super::{
    connection::{self, Connection, ConnectionKey, HANDSHAKE},
    frame, hand_over,
    lease::{Lease, LeaseAttempt, LeaseHolder},
};
use crate::{
    App, Error, Result,
    backoff::Backoff,
    error::Service,
    execution::{self, ExecutionRecord},
    logs::{Batch, LogHead, head, store},
};

/// The time that an invocation serves the fan-out before it hands it over. The rest of the invocation's 120 seconds is for
/// waiting: for the end of a log, or for the lease of an invocation that died.
pub(super) const TURN: Duration = Duration::from_secs(10);
/// The time that an invocation serves a viewer alone before it hands the viewer over. The stream of the connections table brings the next
/// viewers of the execution, and those of others that share its lane, after this one's turn.
const TURN_OF_ONE: Duration = Duration::from_secs(2);
/// The time after which a viewer that takes no frame is closed.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);
/// The time that an invocation watches a lease that another one holds. It is longer than the 2 seconds after which a holder renews it, and
/// short, because other events of the lane wait meanwhile.
pub(super) const WATCH: Duration = Duration::from_millis(2500);
/// The first and the longest pause between two looks at such a lease.
pub(super) const LEASE_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The first and the longest pause while the handshake of a new viewer may not be over.
const HANDSHAKE_PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));
/// The first and the longest pause while the buffer of a viewer is full.
const FULL_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The number of times that a frame is sent that API Gateway fails to take for another reason.
const POST_ATTEMPTS: u32 = 3;
/// The first and the longest pause between them.
const POST_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(200));

/// Sends a viewer the lines that it lacks, or makes sure that another invocation does. The holder of a lease renews it every 2
/// seconds and looks for new lines after it releases it, so a lease that changes has a live holder, and nothing is left to do. A
/// lease that stays the same may belong to an invocation that died. Then the viewer is handed over, and an event of its own comes back
/// until the lease has ended and can be taken.
///
/// # Errors
/// [`Error::Aws`], so that the viewer's event is delivered again.
pub async fn deliver(app: &App, key: &ConnectionKey, head: &LogHead) -> Result<()> {
    let mut first_seen = None;
    let mut pauses = Backoff::new(LEASE_PAUSES);
    let gives_up = app.now() + WATCH;
    loop {
        match deliver_once(app, key, head).await? {
            Delivery::Done => return Ok(()),
            Delivery::HeldBy(holder) => {
                if *first_seen.get_or_insert_with(|| holder.clone()) != holder {
                    return Ok(());
                }
                if app.now() >= gives_up {
                    return hand_over::of_viewer(app, key).await.map(drop);
                }
            }
        }
        let left = gives_up.duration_since(app.now()).max(SignedDuration::ZERO).unsigned_abs();
        app.sleep(pauses.take(app).min(left)).await;
    }
}

/// The outcome of an attempt to serve a viewer.
enum Delivery {
    /// The viewer has every line, has left, is handed over, or is a member of the fan-out.
    Done,
    /// Another invocation serves the viewer, if it is alive.
    HeldBy(LeaseHolder),
}

/// Sends a viewer the lines that it lacks, unless another invocation holds the lease.
async fn deliver_once(app: &App, key: &ConnectionKey, head: &LogHead) -> Result<Delivery> {
    let mut turn = Turn::new(app);
    let mut newer: Option<LogHead> = None;
    loop {
        let head = newer.as_ref().unwrap_or(head);
        let mut lease = match Lease::take(app, key).await? {
            LeaseAttempt::Taken(lease) => lease,
            LeaseAttempt::HeldBy(holder) => return Ok(Delivery::HeldBy(holder)),
            LeaseAttempt::Member | LeaseAttempt::ViewerGone => return Ok(Delivery::Done),
        };
        if lease.connection.has_expired_key(app.now().as_millisecond()) {
            hand_over::end_each(app, vec![key.clone()]).await?;
            return Ok(Delivery::Done);
        }
        let sent = send_all(app, &mut lease, head, &mut turn).await;
        if turn.has_taken {
            lease.connection.full_since = None;
        }
        match sent {
            Ok(Progress::All) => {}
            Ok(Progress::Part) => {
                lease.hand_over(app).await?;
                return Ok(Delivery::Done);
            }
            Ok(Progress::Over) => return Ok(Delivery::Done),
            Ok(Progress::Stuck) if lease.connection.is_full_for_less_than(STUCK_TIMEOUT, &turn, app) => {
                lease.connection.full_since.get_or_insert(turn.begun.as_millisecond());
                lease.hand_over(app).await?;
                return Ok(Delivery::Done);
            }
            Ok(Progress::Stuck) => {
                tracing::info!(connection_id = key.connection_id, "closed: the viewer reads nothing");
                end(app, &lease.connection).await?;
                return Ok(Delivery::Done);
            }
            Err(error) => {
                // The next attempt need not wait for the lease to end.
                lease.release(app).await?;
                return Err(error);
            }
        }
        let (served, sent_status) = (lease.connection.served, lease.connection.sent_status);
        let (wants_status, sent_ending) = (lease.connection.status, lease.connection.sent_ending);
        lease.release(app).await?;
        // Another invocation may have stored lines while this one held the lease, and left them to it.
        let head = newer.insert(head::get(app, &key.execution_id).await?);
        let has_new_status = wants_status && {
            let record = execution::get(app, &key.execution_id).await?;
            let status = record.execution.status;
            // An end status is sent with the end of the log.
            sent_status.is_some_and(|sent| !sent.is_terminal() && sent != status) && !status.is_terminal()
        };
        let has_new_ending = wants_status && head.ended_with.is_some() && !sent_ending;
        if Some(head.sequence) <= served && !head.complete && !has_new_status && !has_new_ending {
            return Ok(Delivery::Done);
        }
    }
}

/// The result of one turn of sending to a viewer.
enum Progress {
    /// All of it.
    All,
    /// A part: the turn is over.
    Part,
    /// The viewer's buffer was full for the whole turn.
    Stuck,
    /// The connection is closed, the viewer has left, or the lease was lost.
    Over,
}

/// Sends a viewer everything that was stored up to `head`, and closes the connection if the log is complete.
async fn send_all(app: &App, lease: &mut Lease, head: &LogHead, turn: &mut Turn) -> Result<Progress> {
    let id = &lease.connection.key.execution_id.clone();
    let mut served = match (lease.connection.served, &lease.connection.last_event_id) {
        (Some(served), _) => served,
        (None, None) => 0,
        (None, Some(last)) => store::holding(app, id, last).await?.map_or(0, |batch| batch.sequence - 1),
    };
    lease.connection.served = Some(served);
    // A status before the end is sent before the lines, which may take long. An end status is sent after the last line.
    // The head has been read before the record, so a log that is complete is one of an execution with its end status.
    let record = if lease.connection.status { Some(execution::get(app, id).await?) } else { None };
    if let Some(record) = record.as_ref().filter(|record| !record.execution.status.is_terminal())
        && let Some(progress) = send_status(app, lease, record, turn).await?
    {
        return Ok(progress);
    }
    while served < head.sequence {
        let batches = store::after(app, id, served).await?;
        for batch in &batches {
            match send_batch(app, lease, batch, turn).await? {
                Progress::All => served = batch.sequence,
                other => return Ok(other),
            }
        }
        if batches.is_empty() {
            // The stored lines have expired, so there is nothing to send.
            served = head.sequence;
        }
        lease.connection.served = Some(served);
    }
    if let Some(record) = &record {
        if (head.complete || !record.execution.status.is_terminal())
            && let Some(progress) = send_status(app, lease, record, turn).await?
        {
            return Ok(progress);
        }
        if let Some(exit_code) = head.ended_with.filter(|_| !lease.connection.sent_ending) {
            let status = record.execution.status;
            if !status.is_terminal()
                && let Some(progress) = send_control(app, lease, frame::ending(status, exit_code)?, turn).await?
            {
                return Ok(progress);
            }
            lease.connection.sent_ending = true;
        }
    }
    if head.complete {
        return close(app, &lease.connection, turn).await;
    }
    Ok(Progress::All)
}

/// Sends the lines of a batch that a viewer lacks.
async fn send_batch(app: &App, lease: &mut Lease, batch: &Batch, turn: &mut Turn) -> Result<Progress> {
    let last = lease.connection.last_event_id.as_ref();
    let mut sent =
        last.and_then(|last| batch.events.iter().position(|event| event.event_id == *last)).map_or(0, |at| at + 1);
    for frame in frame::lines(&batch.events[sent..], lease.connection.batch)? {
        if lease.is_aging(app) && !lease.renew(app).await? {
            return Ok(Progress::Over);
        }
        match post(app, &lease.connection, frame.text, turn).await? {
            Sent::Yes => {}
            Sent::Left => return Ok(Progress::Over),
            Sent::Full => return Ok(turn.when_full()),
        }
        sent += frame.count;
        lease.connection.last_event_id = Some(batch.events[sent - 1].event_id.clone());
        if app.now() >= turn.ends {
            return Ok(Progress::Part);
        }
    }
    lease.connection.served = Some(batch.sequence);
    lease.connection.last_event_id = None;
    Ok(Progress::All)
}

/// Sends the execution's status to a viewer that asked for it, unless the viewer has this status or a later one. Returns why the
/// viewer cannot be sent more now.
async fn send_status(
    app: &App,
    lease: &mut Lease,
    record: &ExecutionRecord,
    turn: &mut Turn,
) -> Result<Option<Progress>> {
    let execution = &record.execution;
    let is_new = lease.connection.sent_status.is_none_or(|sent| !sent.is_terminal() && sent != execution.status);
    if !lease.connection.status || !is_new {
        return Ok(None);
    }
    let frame = frame::status(execution.status, execution.exit_code)?;
    if let Some(progress) = send_control(app, lease, frame, turn).await? {
        return Ok(Some(progress));
    }
    lease.connection.sent_status = Some(execution.status);
    Ok(None)
}

/// Sends a frame that is no line. Returns why the viewer cannot be sent more now.
async fn send_control(app: &App, lease: &Lease, frame: String, turn: &mut Turn) -> Result<Option<Progress>> {
    Ok(match post(app, &lease.connection, frame, turn).await? {
        Sent::Yes => None,
        Sent::Left => Some(Progress::Over),
        Sent::Full => Some(turn.when_full()),
    })
}

/// Sends the disconnect frame, closes the connection and removes its record, in this order. If the invocation dies before the last
/// step, the next one finds the connection gone and removes the record.
async fn close(app: &App, connection: &Connection, turn: &mut Turn) -> Result<Progress> {
    match post(app, connection, frame::disconnect()?, turn).await? {
        Sent::Yes => end(app, connection).await.map(|()| Progress::Over),
        Sent::Left => Ok(Progress::Over),
        Sent::Full => Ok(turn.when_full()),
    }
}

/// Closes a connection and removes its record.
pub(super) async fn end(app: &App, connection: &Connection) -> Result<()> {
    close_connection(app, &connection.key.connection_id).await?;
    connection::remove(app, &connection.key).await
}

/// Closes a connection, whose record is then to be removed.
pub(super) async fn close_connection(app: &App, connection_id: &str) -> Result<()> {
    let (mut attempt, mut pauses) = (1, Backoff::new(POST_PAUSES));
    loop {
        let close = app.aws.websocket.delete_connection().connection_id(connection_id);
        match close.send().await {
            Ok(_) => return Ok(()),
            // The viewer has closed it.
            Err(error) if matches!(error.as_service_error(), Some(DeleteConnectionError::GoneException(_))) => {
                return Ok(());
            }
            Err(_) if attempt < POST_ATTEMPTS => pauses.wait(app).await,
            // Without its record, no invocation would try again, and the viewer would wait for the end until API Gateway's own limit.
            Err(error) => return Err(Error::aws(Service::ApiGateway)(error)),
        }
        attempt += 1;
    }
}

impl Connection {
    fn is_full_for_less_than(&self, timeout: Duration, turn: &Turn, app: &App) -> bool {
        let since = self.full_since.unwrap_or_else(|| turn.begun.as_millisecond());
        app.now().as_millisecond() - since < timeout.as_millis() as i64
    }
}

/// The time that an invocation has for one viewer.
struct Turn {
    begun: Timestamp,
    ends: Timestamp,
    /// Tells whether the viewer has taken a frame.
    has_taken: bool,
}

impl Turn {
    fn new(app: &App) -> Self {
        let begun = app.now();
        Self { begun, ends: begun + TURN_OF_ONE, has_taken: false }
    }

    /// A viewer whose buffer is full gets another turn if it took a frame in this one. After turns in which it took none, its connection is
    /// closed, and it resumes by its `last_event_id` when it connects again.
    fn when_full(&self) -> Progress {
        if self.has_taken { Progress::Part } else { Progress::Stuck }
    }
}

/// The result of sending a frame.
enum Sent {
    Yes,
    /// The viewer has left, and its record is removed.
    Left,
    /// The viewer's buffer was full until the turn ended.
    Full,
}

/// Sends one frame.
async fn post(app: &App, connection: &Connection, frame: String, turn: &mut Turn) -> Result<Sent> {
    let frame = Blob::new(frame);
    let (mut handshake, mut full) = (Backoff::new(HANDSHAKE_PAUSES), Backoff::new(FULL_PAUSES));
    let (mut attempt, mut failed) = (1, Backoff::new(POST_PAUSES));
    loop {
        let call = app.aws.websocket.post_to_connection().connection_id(&connection.key.connection_id);
        let Err(error) = call.data(frame.clone()).send().await else {
            turn.has_taken = true;
            return Ok(Sent::Yes);
        };
        match error.as_service_error() {
            Some(PostToConnectionError::GoneException(_)) => {
                // The stream may tell of a viewer a moment before its handshake is over and API Gateway knows the connection.
                let age = app.now().as_millisecond() - connection.connected_at;
                if age > HANDSHAKE.as_millis() as i64 {
                    connection::remove(app, &connection.key).await?;
                    return Ok(Sent::Left);
                }
                handshake.wait(app).await;
            }
            // "The client is sending more than the allowed number of requests per unit of time or the WebSocket client side buffer is
            // full" (API Gateway Management API Reference).
            Some(PostToConnectionError::LimitExceededException(_)) => {
                if app.now() >= turn.ends {
                    return Ok(Sent::Full);
                }
                full.wait(app).await;
            }
            _ if attempt < POST_ATTEMPTS => {
                failed.wait(app).await;
                attempt += 1;
            }
            _ => return Err(Error::aws(Service::ApiGateway)(error)),
        }
    }
}
