//! Sending viewers what they have not seen.
//!
//! A viewer is served by one server at a time, under a lease on its record, from the store and in the store's order. Whoever
//! finds the lease taken goes away, because whoever lets go of it looks once more for what has come meanwhile: no batch is
//! missed between the two.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::{
    error::SdkError, operation::post_to_connection::PostToConnectionError, primitives::Blob,
};
use futures_util::{StreamExt, stream};

use super::{
    connection::{self, Connection, ConnectionKey, LEASE, Lease, Leased},
    frame,
};
use crate::{
    App, Error, Result,
    execution::{self, ExecutionRecord, Status, task::Stop},
    logs::{LogEvent, batch::Batch, cloudwatch, store},
};

/// Viewers served at the same time by one invocation: a slow one does not hold up the others.
const CONCURRENCY: usize = 32;
/// API Gateway knows a connection only when its handshake is over, and a new viewer may be served a moment before that.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// Sends every viewer of an execution what it lacks. `fresh` is what the caller has just stored, so that it need not be read
/// again.
///
/// # Errors
/// The first error, after all viewers have been tried.
pub async fn execution(app: &App, record: &ExecutionRecord, fresh: &[Batch]) -> Result<()> {
    let viewers = connection::of_execution(app, &record.execution.execution_id).await?;
    let served: Vec<Result<Served>> = stream::iter(viewers)
        .map(|key| async move { viewer(app, &key, record.clone(), fresh).await })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    served.into_iter().try_for_each(|served| served.map(drop))
}

/// Sends every viewer the rest and sends it off.
///
/// # Errors
/// As [`execution`]; also when a viewer is still being served by somebody else after a lease's time.
async fn farewell(app: &App, record: &ExecutionRecord) -> Result<()> {
    let id = &record.execution.execution_id;
    let deadline = app.now() + LEASE + Duration::from_secs(5);
    let mut pause = Duration::from_millis(20);
    loop {
        execution(app, record, &[]).await?;
        if connection::of_execution(app, id).await?.is_empty() {
            return Ok(());
        }
        if app.now() > deadline {
            return Err(Error::Database(format!("viewers of {id} are still being served by others")));
        }
        app.sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Tells viewers of a change that no event of the task will tell them of. What fails here goes out with the next lines.
pub async fn announce(app: &App, record: &ExecutionRecord) {
    if record.log.viewers > 0
        && let Err(error) = execution(app, record, &[]).await
    {
        tracing::warn!(%error, "not all viewers were told of a change");
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
    if record.log.viewers > 0 { farewell(app, record).await } else { Ok(()) }
}

/// What came of serving a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It has all there is, or has left.
    Done,
    /// Somebody else is serving it, and looks once more afterwards; unless they died.
    Busy,
}

/// Sends one viewer what it lacks.
pub async fn viewer(app: &App, key: &ConnectionKey, mut record: ExecutionRecord, fresh: &[Batch]) -> Result<Served> {
    loop {
        let lease = match Lease::take(app, key).await? {
            Leased::Yes(lease) => lease,
            Leased::Busy => return Ok(Served::Busy),
            Leased::Gone => return Ok(Served::Done),
        };
        let (served, told) = match deliver(app, *lease, &record, fresh).await? {
            Delivered::All { served, told } => (served, told),
            Delivered::Over => return Ok(Served::Done),
        };
        record = execution::get(app, &key.execution_id).await?;
        let has_news = told.is_some_and(|told| told.can_become(record.execution.status));
        if record.log.log_sequence <= served && !record.log.log_complete && !has_news {
            return Ok(Served::Done);
        }
    }
}

enum Delivered {
    /// All that was stored has been sent, and the lease given back.
    All {
        served: u64,
        /// The status that it was told, if it wants to know.
        told: Option<Status>,
    },
    /// The viewer was sent off, has left, or belongs to another server now.
    Over,
}

async fn deliver(app: &App, mut lease: Lease, record: &ExecutionRecord, fresh: &[Batch]) -> Result<Delivered> {
    let head = &record.log;
    let id = lease.connection.key.execution_id.clone();
    let mut place = match Place::of(app, &lease.connection).await {
        Ok(place) => place,
        Err(error) => return give_back(app, lease, error, None).await,
    };
    while place.served < head.log_sequence {
        let read;
        let batches = match fresh.iter().position(|batch| batch.sequence == place.served + 1) {
            Some(at) => &fresh[at..],
            None => match store::after(app, &id, place.served).await {
                Ok(batches) => {
                    read = batches;
                    &read
                }
                Err(error) => return give_back(app, lease, error, Some(place.served)).await,
            },
        };
        if batches.is_empty() {
            // Expired: there is nothing left to send.
            place.served = head.log_sequence;
        }
        for batch in batches {
            match send(app, &mut lease, place.of_batch(batch), place.served).await {
                Ok(true) => place.served = batch.sequence,
                Ok(false) => return Ok(Delivered::Over),
                Err(error) => return give_back(app, lease, error, Some(place.served)).await,
            }
        }
    }
    match tell_status(app, &mut lease, record).await {
        Ok(true) => {}
        Ok(false) => return Ok(Delivered::Over),
        Err(error) => return give_back(app, lease, error, Some(place.served)).await,
    }
    if head.log_complete {
        return send_off(app, lease, place.served).await;
    }
    let (served, told) = (place.served, lease.connection.told);
    Ok(if lease.release(app, Some(served)).await? { Delivered::All { served, told } } else { Delivered::Over })
}

/// Lets go of a viewer that could not be served to the end, so that the next attempt need not wait for the lease.
async fn give_back(app: &App, lease: Lease, error: Error, served: Option<u64>) -> Result<Delivered> {
    lease.release(app, served).await?;
    Err(error)
}

/// Where a viewer stands in the store's order.
struct Place {
    /// The last batch it has whole.
    served: u64,
    /// The last line it has of the batch after that.
    skip_through: Option<String>,
}

impl Place {
    async fn of(app: &App, connection: &Connection) -> Result<Self> {
        let skip_through = connection.last_event_id.clone();
        let served = match (connection.served, &skip_through) {
            (Some(served), _) => served,
            (None, None) => 0,
            (None, Some(last)) => {
                store::holding(app, &connection.key.execution_id, last).await?.map_or(0, |batch| batch.sequence - 1)
            }
        };
        Ok(Self { served, skip_through })
    }

    fn of_batch<'a>(&self, batch: &'a Batch) -> &'a [LogEvent] {
        let seen = self
            .skip_through
            .as_ref()
            .and_then(|last| batch.events.iter().position(|event| event.event_id == *last))
            .map_or(0, |at| at + 1);
        &batch.events[seen..]
    }
}

/// Sends lines under a lease. `false` when the viewer has left or the lease was lost.
async fn send(app: &App, lease: &mut Lease, events: &[LogEvent], served: u64) -> Result<bool> {
    for frame in frame::lines(events, lease.connection.batch)? {
        if lease.is_aging(app) && !lease.renew(app, served).await? {
            return Ok(false);
        }
        if !post(app, &lease.connection, frame).await? {
            return Ok(false);
        }
    }
    Ok(true)
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
async fn send_off(app: &App, lease: Lease, served: u64) -> Result<Delivered> {
    let connection = &lease.connection;
    match post(app, connection, frame::disconnect()?).await {
        Ok(true) => {}
        Ok(false) => return Ok(Delivered::Over),
        Err(error) => return give_back(app, lease, error, Some(served)).await,
    }
    // Closed first: whoever dies in between leaves a record, and whoever finds that finds the viewer gone.
    let closed = app.aws.websocket.delete_connection().connection_id(&connection.key.connection_id).send().await;
    if let Err(error) = closed {
        tracing::debug!(error = %Error::aws("API Gateway")(error), "the viewer had closed its connection already");
    }
    connection::remove(app, &connection.key).await?;
    Ok(Delivered::Over)
}

/// Sends one frame. `false` when the viewer has left; its record is then gone too.
async fn post(app: &App, connection: &Connection, frame: String) -> Result<bool> {
    let frame = Blob::new(frame);
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
                let age = app.now().as_millisecond() - connection.connected_at;
                if age < HANDSHAKE.as_millis() as i64 {
                    app.sleep(Duration::from_millis(10)).await;
                    continue;
                }
                connection::remove(app, &connection.key).await?;
                return Ok(false);
            }
            Err(error) => return Err(Error::aws("API Gateway")(error)),
        }
    }
}

fn is_gone(error: &SdkError<PostToConnectionError>) -> bool {
    matches!(error.as_service_error(), Some(PostToConnectionError::GoneException(_)))
}
