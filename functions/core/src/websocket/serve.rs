//! Sending viewers what they have not seen.
//!
//! A viewer is served by one server at a time, under a lease on its record, from the store and in the store's order. Whoever
//! finds the lease taken goes away, because whoever lets go of it looks once more for what has come meanwhile: no batch is
//! missed between the two.
//!
//! A viewer that takes longer than a turn is handed over to an event of its own, so that no invocation is at its end before
//! a long log is, and other viewers' lines do not wait.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::{
    error::SdkError, operation::post_to_connection::PostToConnectionError, primitives::Blob,
};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    connection::{self, Connection, ConnectionKey, HANDSHAKE, Held, Lease, Leased},
    frame,
};
use crate::{
    App, Error, Result,
    execution::{self, ExecutionRecord, task::Stop},
    logs::{batch::Batch, cloudwatch, store},
};

/// Viewers served at the same time by one invocation: a slow one does not hold up the others.
const CONCURRENCY: usize = 32;
/// How long an invocation serves a viewer before it hands it over. Short beside the 120 seconds that it has in all, of which
/// it may have waited for the end of the log and for a dead server's lease.
const TURN: Duration = Duration::from_secs(10);

/// Sees to it that every viewer of an execution is sent what it lacks. `fresh` is what the caller has just stored, so that it
/// need not be read again. Without it, this may be the repeat of an event whose handler died with the lease.
///
/// # Errors
/// The first error, after all viewers have been tried.
pub async fn execution(app: &App, record: &ExecutionRecord, fresh: &[Batch]) -> Result<()> {
    let record = &record;
    each(app, record, |key| async move {
        if fresh.is_empty() {
            attend(app, &key, record).await
        } else {
            viewer(app, &key, record, fresh).await.map(drop)
        }
    })
    .await
}

async fn each<F>(app: &App, record: &ExecutionRecord, serve: impl FnMut(ConnectionKey) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let viewers = connection::of_execution(app, &record.execution.execution_id).await?;
    let served: Vec<Result<()>> = stream::iter(viewers).map(serve).buffer_unordered(CONCURRENCY).collect().await;
    served.into_iter().collect()
}

/// Has viewers served by events of their own after a change that no event of the task will tell them of. A caller that answers
/// a request does not wait for them.
pub async fn announce(app: &App, record: &ExecutionRecord) {
    if record.log.viewers > 0
        && let Err(error) = each(app, record, |key| async move { connection::hand_over(app, &key).await }).await
    {
        tracing::warn!(%error, "not all viewers are told of a change before the next lines");
    }
}

/// After a task's end: brings the log to its end, sends viewers the rest, and sends them off.
pub async fn conclude(app: &App, record: &ExecutionRecord, stop: &Stop) -> Result<()> {
    let completed;
    let record = if record.log.log_complete {
        record
    } else {
        completed = cloudwatch::complete(app, &record.execution.execution_id, stop).await?;
        &completed
    };
    if record.log.viewers == 0 { Ok(()) } else { execution(app, record, &[]).await }
}

/// Sees to it that a viewer is served: by this server, or by one that is seen to be alive. Whoever has the viewer renews the
/// lease or lets go of it, and looks once more after that; a lease that stays as it is for its whole time is a dead server's,
/// and is taken over.
pub async fn attend(app: &App, key: &ConnectionKey, record: &ExecutionRecord) -> Result<()> {
    let mut seen = None;
    let mut pause = Duration::from_millis(20);
    loop {
        match viewer(app, key, record, &[]).await? {
            Served::Done => return Ok(()),
            Served::Busy(held) => {
                if *seen.get_or_insert_with(|| held.clone()) != held {
                    return Ok(());
                }
            }
        }
        app.sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// What came of serving a viewer.
enum Served {
    /// It has all there is, has left, or is handed over.
    Done,
    /// Somebody else is serving it, and looks once more afterwards; unless they died.
    Busy(Held),
}

/// Sends one viewer what it lacks.
async fn viewer(app: &App, key: &ConnectionKey, record: &ExecutionRecord, fresh: &[Batch]) -> Result<Served> {
    let turn_ends = app.now() + TURN;
    let mut newer: Option<ExecutionRecord> = None;
    loop {
        let record = newer.as_ref().unwrap_or(record);
        let mut lease = match Lease::take(app, key).await? {
            Leased::Yes(lease) => lease,
            Leased::Busy(held) => return Ok(Served::Busy(held)),
            Leased::Gone => return Ok(Served::Done),
        };
        match send_all(app, &mut lease, record, fresh, turn_ends).await {
            Ok(Sent::All) => {}
            Ok(Sent::Part) => {
                lease.hand_over(app).await?;
                return Ok(Served::Done);
            }
            Ok(Sent::Ended) => return Ok(Served::Done),
            Err(error) => {
                // So that the next attempt need not wait for the lease.
                lease.release(app).await?;
                return Err(error);
            }
        }
        let (served, told) = (lease.connection.served, lease.connection.told);
        lease.release(app).await?;
        let record = newer.insert(execution::get(app, &key.execution_id).await?);
        let has_news = told.is_some_and(|told| told.can_become(record.execution.status));
        if Some(record.log.log_sequence) <= served && !record.log.log_complete && !has_news {
            return Ok(Served::Done);
        }
    }
}

/// How far a server has come with a viewer.
enum Sent {
    /// It has all there is.
    All,
    /// The turn is over, and it lacks something still.
    Part,
    /// It was sent off, has left, or belongs to another server now.
    Ended,
}

/// Sends a viewer, under a lease, all that was stored up to `record`, and sends it off if that is all there will be.
async fn send_all(
    app: &App,
    lease: &mut Lease,
    record: &ExecutionRecord,
    fresh: &[Batch],
    turn_ends: Timestamp,
) -> Result<Sent> {
    let head = &record.log;
    let id = &record.execution.execution_id;
    let mut served = match (lease.connection.served, &lease.connection.last_event_id) {
        (Some(served), _) => served,
        (None, None) => 0,
        (None, Some(last)) => store::holding(app, id, last).await?.map_or(0, |batch| batch.sequence - 1),
    };
    lease.connection.served = Some(served);
    // An end comes after the last line. What comes before it must not wait for a long log.
    if !record.execution.status.is_terminal() && !tell_status(app, lease, record).await? {
        return Ok(Sent::Ended);
    }
    while served < head.log_sequence {
        let read;
        let batches = match fresh.iter().position(|batch| batch.sequence == served + 1) {
            Some(at) => &fresh[at..],
            None => {
                read = store::after(app, id, served).await?;
                &read
            }
        };
        for batch in batches {
            match send(app, lease, batch, turn_ends).await? {
                Sent::All => served = batch.sequence,
                other => return Ok(other),
            }
        }
        if batches.is_empty() {
            // Expired: there is nothing left to send.
            served = head.log_sequence;
        }
        lease.connection.served = Some(served);
    }
    if !tell_status(app, lease, record).await? {
        return Ok(Sent::Ended);
    }
    if head.log_complete {
        send_off(app, &lease.connection).await?;
        return Ok(Sent::Ended);
    }
    Ok(Sent::All)
}

/// Sends what a viewer lacks of a batch.
async fn send(app: &App, lease: &mut Lease, batch: &Batch, turn_ends: Timestamp) -> Result<Sent> {
    let seen = lease.connection.last_event_id.as_ref();
    let mut sent =
        seen.and_then(|last| batch.events.iter().position(|event| event.event_id == *last)).map_or(0, |at| at + 1);
    for frame in frame::lines(&batch.events[sent..], lease.connection.batch)? {
        if lease.is_aging(app) && !lease.renew(app).await? {
            return Ok(Sent::Ended);
        }
        if !post(app, &lease.connection, frame.text).await? {
            return Ok(Sent::Ended);
        }
        sent += frame.count;
        lease.connection.last_event_id = Some(batch.events[sent - 1].event_id.clone());
        if app.now() >= turn_ends {
            return Ok(Sent::Part);
        }
    }
    lease.connection.served = Some(batch.sequence);
    lease.connection.last_event_id = None;
    Ok(Sent::All)
}

/// Tells the status to a viewer that wants to know and does not. What is older than what it has been told is no news.
/// `false` when the viewer has left.
async fn tell_status(app: &App, lease: &mut Lease, record: &ExecutionRecord) -> Result<bool> {
    let execution = &record.execution;
    let is_news = lease.connection.told.is_none_or(|told| told.can_become(execution.status));
    if !lease.connection.status || !is_news {
        return Ok(true);
    }
    let there = post(app, &lease.connection, frame::status(execution.status, execution.exit_code)?).await?;
    lease.connection.told = Some(execution.status);
    Ok(there)
}

/// The last frame, then the end of the connection.
async fn send_off(app: &App, connection: &Connection) -> Result<()> {
    if !post(app, connection, frame::disconnect()?).await? {
        return Ok(());
    }
    // Closed first: whoever dies in between leaves a record, and whoever finds that finds the viewer gone.
    let closed = app.aws.websocket.delete_connection().connection_id(&connection.key.connection_id).send().await;
    if let Err(error) = closed {
        tracing::debug!(error = %Error::aws("API Gateway")(error), "the viewer had closed its connection already");
    }
    connection::remove(app, &connection.key).await
}

/// Sends one frame. `false` when the viewer has left; its record is then gone too.
async fn post(app: &App, connection: &Connection, frame: String) -> Result<bool> {
    let frame = Blob::new(frame);
    let mut pause = Duration::from_millis(10);
    loop {
        let answer = app
            .aws
            .websocket
            .post_to_connection()
            .connection_id(&connection.key.connection_id)
            .data(frame.clone())
            .send()
            .await;
        match answer {
            Ok(_) => return Ok(true),
            Err(error) if is_gone(&error) => {
                // Its handshake may not be over: the stream tells of a viewer a moment before that.
                let age = app.now().as_millisecond() - connection.connected_at;
                if age > HANDSHAKE.as_millis() as i64 {
                    connection::remove(app, &connection.key).await?;
                    return Ok(false);
                }
                app.sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(200));
            }
            Err(error) => return Err(Error::aws("API Gateway")(error)),
        }
    }
}

fn is_gone(error: &SdkError<PostToConnectionError>) -> bool {
    matches!(error.as_service_error(), Some(PostToConnectionError::GoneException(_)))
}
