//! Sends new lines to all viewers of an execution that have caught up: its fan-out.
//!
//! The members of the fan-out share one lease and one position, which are in the log's head. So a batch of lines costs the same writes
//! however many watch: the batch and the head, with the lease, in one transaction, and the release. A viewer that has just connected, that
//! reads slowly or that a frame did not reach is served alone ([`delivery`]) until it has caught up, and is taken into the fan-out with
//! the next lines.
//!
//! Each change of the head counts its version up: lines, the mark of the first viewer, and the wake of a new status. The lease is taken
//! and released only at the version that was read, so a change during the release is either seen by its holder or finds the lease free.
//! An invocation that finds the lease held returns after its change. Renewals count too, so a lease is taken over only if it was not
//! renewed since it was read.

use std::{
    collections::HashSet,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};
use jiff::Timestamp;

use super::{
    connection::{self, Connection, ConnectionKey, Viewer},
    delivery::{self, TURN},
    hand_over,
    pass::{self, Frames, Outcome, Plan},
    takeover::{Wake, take_or_watch},
};
use crate::{
    App, Error, Result, boxed,
    error::Service,
    execution::{self, ExecutionId, Status},
    logs::{
        Batch, LogHead,
        append::Appended,
        fan_out_lease::{self, Kept},
        head, store,
    },
};

/// Members to which one invocation sends at the same time.
const CONCURRENCY: usize = 128;
/// Members whose connections are closed in each [`CLOSING_PAUSE`] after the end of a log. Each connection that closes invokes the function
/// once more, for `$disconnect`, and a new account may have as few as 10 invocations at the same time ("Lambda quotas").
const CLOSED_AT_ONCE: usize = 100;
/// The time between the beginnings of two passes that close connections.
const CLOSING_PAUSE: Duration = Duration::from_millis(500);
/// The time after which the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(2);

/// Sends lines that the caller has just stored, if the append took the fan-out's lease for `owner`. If another invocation has the lease,
/// that one sees the lines before it releases it.
///
/// # Errors
/// [`Error::Aws`], so that the caller's event is delivered again.
pub async fn send(app: &App, id: &ExecutionId, owner: &str, appended: Appended) -> Result<()> {
    let Appended { head, batches } = appended;
    if !head.watched {
        return Ok(());
    }
    if head.fan_owner.as_deref() == Some(owner) {
        return FanOut::new(app, id, head).run(&batches).await.map(drop);
    }
    // A repeated batch adds no line, but the invocation that stored it may have died before it sent the lines.
    if batches.is_empty() || head.is_fan_out_free(app.now()) { wake(app, id).await } else { Ok(()) }
}

/// Brings all viewers of an execution up to date, or makes sure that other invocations do. For callers after which no other may come: the
/// event of a new status or of a task's end, and an event that is repeated because its first handler may have died with a lease.
///
/// # Errors
/// [`Error::Aws`], so that the caller's event is delivered again.
#[boxed]
pub async fn wake(app: &App, id: &ExecutionId) -> Result<()> {
    let served_alone = match take_or_watch(app, id).await? {
        Wake::Taken(head) => FanOut::new(app, id, *head).run(&[]).await?,
        Wake::HeldByAnother => {
            let now = app.now().as_millisecond();
            let is_served_alone = |viewer: &Viewer| !viewer.is_member && !viewer.is_idle(now);
            connection::of_execution(app, id)
                .await?
                .into_iter()
                .filter(is_served_alone)
                .map(|viewer| viewer.connection.key)
                .collect()
        }
        Wake::HeldInSilence => {
            // The event of this hand-over comes back here, until the lease has ended and can be taken.
            let viewers = connection::of_execution(app, id).await?;
            let keys: Vec<ConnectionKey> = viewers.into_iter().map(|viewer| viewer.connection.key).collect();
            return hand_over::of_fan_out(app, &keys).await;
        }
        Wake::NotWatched => return Ok(()),
    };
    if served_alone.is_empty() {
        return Ok(());
    }
    let head = &head::get(app, id).await?;
    let results: Vec<Result<()>> = stream::iter(served_alone)
        .map(|key| async move { delivery::deliver(app, &key, head).await })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    results.into_iter().collect()
}

/// Asks for an event that tells the viewers of an execution of a change that no event of the task tells. A caller that answers a request
/// does not wait for it. A failure is logged: the viewers then see the change with the next lines.
#[boxed]
pub async fn notify(app: &App, id: &ExecutionId) {
    let notified = async {
        if head::get(app, id).await?.watched {
            let viewers = connection::of_execution(app, id).await?;
            let keys: Vec<ConnectionKey> = viewers.into_iter().map(|viewer| viewer.connection.key).collect();
            hand_over::of_fan_out(app, &keys).await?;
        }
        Ok::<(), Error>(())
    };
    if let Err(error) = notified.await {
        tracing::warn!(error = %error.chain(), "the viewers are told of a change with the next lines only");
    }
}

/// The fan-out of an execution, whose lease this invocation has.
struct FanOut<'a> {
    app: &'a App,
    id: &'a ExecutionId,
    ends: Timestamp,
    /// The head as this invocation knows it. Its position and status are those of the members after the last whole pass.
    head: Mutex<LogHead>,
    /// The end of the lease, in milliseconds since 1970. In the past when the lease is lost.
    until: Arc<AtomicI64>,
    /// Viewers that were taken out of the fan-out, whose last post is in flight.
    apart: Mutex<FuturesUnordered<BoxFuture<'static, Result<()>>>>,
}

/// The end of a pass: all members have everything up to the head's position.
struct Passed {
    viewers: Vec<ConnectionKey>,
    /// Tells whether members are left whose connections are to be closed.
    is_closing: bool,
    /// The viewers that other invocations serve.
    served_alone: Vec<ConnectionKey>,
}

impl<'a> FanOut<'a> {
    fn new(app: &'a App, id: &'a ExecutionId, head: LogHead) -> Self {
        let until = Arc::new(AtomicI64::new(head.fan_until.unwrap_or_default()));
        Self { app, id, ends: app.now() + TURN, head: Mutex::new(head), until, apart: Mutex::default() }
    }

    /// Sends until nothing is left, or the turn is over. Returns the viewers that other invocations serve alone.
    async fn run(self, fresh: &[Batch]) -> Result<Vec<ConnectionKey>> {
        let result = {
            let mut work = pin!(self.send_all(fresh));
            let mut renewing = pin!(self.keep_renewed());
            poll_fn(|context| {
                if let Poll::Ready(result) = work.as_mut().poll(context) {
                    return Poll::Ready(result);
                }
                while let Poll::Ready(Some(())) = self.poll_apart(context) {}
                let _endless: Poll<()> = renewing.as_mut().poll(context);
                Poll::Pending
            })
            .await
        };
        while poll_fn(|context| self.poll_apart(context)).await.is_some() {}
        if result.is_err() {
            // The next attempt need not wait for the lease to end.
            let head = self.head().clone();
            fan_out_lease::give_up(self.app, self.id, &head).await?;
        }
        result
    }

    async fn send_all(&self, fresh: &[Batch]) -> Result<Vec<ConnectionKey>> {
        loop {
            let begun = self.app.now();
            let Passed { viewers, is_closing, served_alone } = self.pass(fresh).await?;
            let head = self.head().clone();
            if is_closing {
                let taken = self.app.now().duration_since(begun).unsigned_abs();
                self.app.sleep(CLOSING_PAUSE.saturating_sub(taken)).await;
            } else if head.fan_position >= Some(head.sequence) {
                match fan_out_lease::release(self.app, self.id, &head).await? {
                    Kept::Done | Kept::Lost => return Ok(served_alone),
                    Kept::Changed(newer) => {
                        let LogHead { fan_position, fan_status, fan_ending, .. } = head;
                        *self.head() = LogHead { fan_position, fan_status, fan_ending, ..*newer };
                    }
                }
            }
            if self.app.now() >= self.ends {
                let head = self.head().clone();
                fan_out_lease::give_up(self.app, self.id, &head).await?;
                hand_over::of_fan_out(self.app, &viewers).await?;
                return Ok(Vec::new());
            }
        }
    }

    /// Sends all members one range of lines: what the caller has just stored, or what one answer of DynamoDB carries.
    async fn pass(&self, fresh: &[Batch]) -> Result<Passed> {
        let (app, id) = (self.app, self.id);
        let head = self.head().clone();
        let viewers = connection::of_execution(app, id).await?;
        let mut keys: Vec<ConnectionKey> = viewers.iter().map(|viewer| viewer.connection.key.clone()).collect();
        // The head has been read before the record, so a log that is complete is one of an execution with its end status.
        let record = if viewers.iter().any(|viewer| viewer.connection.status) {
            Some(execution::get(app, id).await?)
        } else {
            None
        };
        let execution = record.as_ref().map(|record| &record.execution);
        let (members, served_alone) = self.members(&head, execution.map(|execution| execution.status), viewers).await?;
        let from = members.iter().filter_map(|member| member.served).min().unwrap_or(head.sequence);
        let read;
        let batches: &[Batch] = match fresh.iter().position(|batch| batch.sequence == from + 1) {
            _ if from >= head.sequence => &[],
            Some(at) => &fresh[at..],
            None => {
                read = store::after(app, id, from).await?;
                &read
            }
        };
        // Without batches, the stored lines have expired, or there are none.
        let to = batches.last().map_or(head.sequence, |batch| batch.sequence);
        let is_to_end = to >= head.sequence;
        let ending = head.ended_with.filter(|_| is_to_end);
        let is_over = head.complete && is_to_end;
        let is_closing = is_over && members.len() > CLOSED_AT_ONCE;
        let mut frames = Frames::new(batches);
        let mut posts = Vec::with_capacity(members.len());
        for (number, member) in members.into_iter().enumerate() {
            let frames = frames.of(&member)?;
            let plan = Plan::new(&member, frames, execution, ending, is_over && number < CLOSED_AT_ONCE);
            posts.push(pass::serve(app.clone(), member, plan, self.until.clone()));
        }
        let mut posts = stream::iter(posts).buffer_unordered(CONCURRENCY);
        let (mut over, mut failed, mut is_lost) = (Vec::new(), None, false);
        // Each post is awaited, after a failure too.
        while let Some(outcome) = posts.next().await {
            match outcome {
                Ok(Outcome::Done) => {}
                Ok(Outcome::Over(key)) => over.push(key),
                Ok(Outcome::Apart(rest)) => lock(&self.apart).push(rest),
                Ok(Outcome::Lost) => is_lost = true,
                Err(error) => failed = Some(error),
            }
        }
        connection::remove_all(app, &over).await?;
        if !over.is_empty() {
            let over: HashSet<&str> = over.iter().map(|key| key.connection_id.as_str()).collect();
            keys.retain(|key| !over.contains(key.connection_id.as_str()));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if is_lost {
            // The event is delivered again, and then finds another holder or what this one left.
            return Err(Error::unavailable(Service::DynamoDb, "the lease of a fan-out was not renewed in time"));
        }
        let mut known = self.head();
        known.fan_position = Some(to);
        known.fan_status = match execution.map(|execution| execution.status) {
            Some(status) if is_over && !is_closing || !status.is_terminal() => Some(status),
            _ => known.fan_status,
        };
        known.fan_ending |= execution.is_some() && ending.is_some();
        Ok(Passed { viewers: keys, is_closing, served_alone })
    }

    /// The members at their positions, with the idle viewers that are taken in, and the viewers that other invocations serve. A viewer that
    /// lags behind the fan-out's position or lacks a status, and that no invocation serves, is handed over.
    async fn members(
        &self,
        head: &LogHead,
        status: Option<Status>,
        viewers: Vec<Viewer>,
    ) -> Result<(Vec<Connection>, Vec<ConnectionKey>)> {
        let app = self.app;
        let now = app.now().as_millisecond();
        let position = head.fan_position.unwrap_or(head.sequence);
        let (mut members, mut idle, mut lagging, mut served_alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (expired, viewers): (Vec<_>, Vec<_>) =
            viewers.into_iter().partition(|viewer| viewer.connection.has_expired_key(now));
        hand_over::end_each(app, expired.into_iter().map(|viewer| viewer.connection.key).collect()).await?;
        for viewer in viewers {
            let (is_idle, is_awaited) = (viewer.is_idle(now), viewer.is_awaited(now));
            let Viewer { connection, is_member, .. } = viewer;
            let is_in_reach = connection.served.is_some_and(|served| (position..=head.sequence).contains(&served));
            let lacks_status = connection.status && !has_status(&connection, status, head);
            if is_member {
                members.push(at_position(connection, position, head));
            } else if !is_idle {
                served_alone.push(connection.key);
            } else if is_in_reach && !lacks_status {
                idle.push(connection);
            } else if !is_awaited {
                lagging.push(connection.key);
            }
        }
        let adopted: Vec<_> = stream::iter(idle)
            .map(|connection| async move { connection::adopt(app, &connection).await })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        for connection in adopted {
            members.extend(connection?);
        }
        hand_over::of_each(app, lagging).await?;
        Ok((members, served_alone))
    }

    /// Renews the lease for as long as it is polled.
    async fn keep_renewed(&self) {
        loop {
            self.app.sleep(RENEWAL).await;
            let held = self.head().clone();
            match fan_out_lease::renew(self.app, self.id, &held).await {
                Ok(Kept::Changed(newer)) => {
                    self.until.store(newer.fan_until.unwrap_or_default(), Ordering::Relaxed);
                    let mut known = self.head();
                    // If the head has changed otherwise too, the release must be refused.
                    if known.version + 1 == newer.version {
                        known.version = newer.version;
                    }
                }
                Ok(_) => {
                    self.until.store(0, Ordering::Relaxed);
                    return std::future::pending().await;
                }
                Err(error) => tracing::warn!(error = %error.chain(), "the lease of a fan-out was not renewed"),
            }
        }
    }

    /// Goes on with the posts to viewers that were taken out of the fan-out.
    fn poll_apart(&self, context: &mut Context<'_>) -> Poll<Option<()>> {
        lock(&self.apart).poll_next_unpin(context).map(|ended| {
            ended.map(|ended| {
                if let Err(error) = ended {
                    // The viewer's lease ends, and the next lines or the end of the task find the viewer.
                    tracing::warn!(error = %error.chain(), "a viewer was not handed over");
                }
            })
        })
    }

    fn head(&self) -> MutexGuard<'_, LogHead> {
        lock(&self.head)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A member as the fan-out's position has it. It may have been taken in further on.
fn at_position(mut member: Connection, position: u64, head: &LogHead) -> Connection {
    if member.served.is_none_or(|served| served < position) {
        (member.served, member.last_event_id) = (Some(position), None);
    }
    member.sent_status = head.fan_status.or(member.sent_status);
    member.sent_ending |= head.fan_ending;
    member
}

/// Tells whether a viewer may be taken into the fan-out for its statuses: those that it lacks must still be known after a crash, when only the
/// fan-out's own status is.
fn has_status(viewer: &Connection, status: Option<Status>, head: &LogHead) -> bool {
    let is_end_to_be_sent =
        status.is_some_and(Status::is_terminal) && head.fan_status.is_some_and(|sent| !sent.is_terminal());
    let is_known = head.fan_status.is_none() || viewer.sent_status == status || viewer.sent_status == head.fan_status;
    (is_known || is_end_to_be_sent) && (viewer.sent_ending || !head.fan_ending)
}
