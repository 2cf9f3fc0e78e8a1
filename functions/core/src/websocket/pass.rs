//! Sends a member of the fan-out what it lacks of one range of lines, or takes it out of the fan-out so that the others need not wait.
//!
//! A member to which a frame is not sent in [`FRAME_TIMEOUT`] is written as a viewer of its own, leased by this invocation, at its last
//! acknowledged frame. Then the fan-out's position may move. The post that is in flight is awaited, because a frame that arrived after
//! another invocation's would be a line twice, or out of order.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_sdk_apigatewaymanagement::{operation::post_to_connection::PostToConnectionError, primitives::Blob};
use futures_util::future::{BoxFuture, Either, select};

use super::{
    connection::{Connection, ConnectionKey, HANDSHAKE},
    delivery, frame,
    lease::Lease,
};
use crate::{
    App, Error, Result,
    execution::{Execution, Status},
    logs::{Batch, LogEvent},
};

/// The time that the fan-out waits for one frame to one member.
const FRAME_TIMEOUT: Duration = Duration::from_millis(300);
/// The time that the fan-out waits for all frames of one range of lines to one member. A member without `batch` gets a frame for each line.
const RANGE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that a post takes: the timeout of one try of a call (`aws/mod.rs`). No post begins later than this before the lease's end.
const POST_TIMEOUT: Duration = Duration::from_secs(5);

/// Lines as one message, and how far a viewer is that has it.
#[derive(Debug)]
pub(super) struct Frame {
    text: String,
    /// The last batch that the viewer has whole.
    served: u64,
    /// The last line of the batch after that one, if the viewer has a part of it.
    last_event_id: Option<String>,
}

/// The frames of a range of lines, encoded once for all members that are equally far and want the same format.
pub(super) struct Frames<'a> {
    batches: &'a [Batch],
    encoded: HashMap<(u64, bool), Arc<[Frame]>>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(batches: &'a [Batch]) -> Self {
        Self { batches, encoded: HashMap::new() }
    }

    /// The frames that a member lacks.
    pub(super) fn of(&mut self, connection: &Connection) -> Result<Arc<[Frame]>> {
        let served = connection.served.unwrap_or_default();
        if connection.last_event_id.is_some() {
            return self.encode(served, connection.last_event_id.as_deref(), connection.batch);
        }
        if let Some(frames) = self.encoded.get(&(served, connection.batch)) {
            return Ok(frames.clone());
        }
        let frames = self.encode(served, None, connection.batch)?;
        self.encoded.insert((served, connection.batch), frames.clone());
        Ok(frames)
    }

    fn encode(&self, served: u64, last: Option<&str>, batch: bool) -> Result<Arc<[Frame]>> {
        let mut events: Vec<(&LogEvent, u64, bool)> = Vec::new();
        for lines in self.batches.iter().filter(|lines| lines.sequence > served) {
            // Only the first of these batches may have been sent in part.
            let sent = last.filter(|_| lines.sequence == served + 1);
            let sent = sent.and_then(|last| lines.events.iter().position(|event| event.event_id == last));
            let count = lines.events.len();
            let rest = lines.events.iter().enumerate().skip(sent.map_or(0, |at| at + 1));
            events.extend(rest.map(|(at, event)| (event, lines.sequence, at + 1 == count)));
        }
        let mut end = 0;
        let frames = frame::lines(events.iter().map(|(event, ..)| *event), batch)?.into_iter().map(|lines| {
            end += lines.count;
            let (event, sequence, is_last) = events[end - 1];
            let (served, last) = if is_last { (sequence, None) } else { (sequence - 1, Some(event.event_id.clone())) };
            Frame { text: lines.text, served, last_event_id: last }
        });
        Ok(frames.collect())
    }
}

/// The messages of one pass to one member.
pub(super) struct Plan {
    pub(super) frames: Arc<[Frame]>,
    /// The status before the lines.
    pub(super) status_before: Option<(Status, Option<i32>)>,
    /// The status after the lines.
    pub(super) status_after: Option<(Status, Option<i32>)>,
    /// The command's end, after which the task goes on for a moment.
    pub(super) ending: Option<(Status, i32)>,
    /// The last frame, after which the connection is closed.
    pub(super) disconnect: bool,
}

impl Plan {
    /// The statuses that a member lacks. An end status comes after the last line, so it waits for a log that is complete, as the end of the
    /// connection does.
    pub(super) fn new(
        connection: &Connection,
        frames: Arc<[Frame]>,
        execution: Option<&Execution>,
        ending: Option<i32>,
        disconnect: bool,
    ) -> Self {
        let execution = execution.filter(|_| connection.status);
        let lacks = |status: Status| connection.sent_status.is_none_or(|sent| !sent.is_terminal() && sent != status);
        let ending = execution
            .filter(|execution| !execution.status.is_terminal() && !connection.sent_ending)
            .and_then(|execution| Some((execution.status, ending?)));
        let lacking = execution
            .filter(|execution| lacks(execution.status))
            .map(|execution| (execution.status, execution.exit_code));
        let is_end = lacking.is_some_and(|(status, _)| status.is_terminal());
        Self {
            frames,
            status_before: lacking.filter(|_| !is_end),
            status_after: lacking.filter(|_| is_end && disconnect),
            ending,
            disconnect,
        }
    }

    fn steps(&self) -> Result<Vec<Step<'_>>> {
        let status = |status: Option<(Status, Option<i32>)>| {
            let step = |(status, exit_code)| Ok::<_, Error>(Step::Status(status, frame::status(status, exit_code)?));
            status.map(step).transpose()
        };
        let mut steps = Vec::with_capacity(self.frames.len() + 3);
        steps.extend(status(self.status_before)?);
        steps.extend(self.frames.iter().map(Step::Lines));
        steps.extend(status(self.status_after)?);
        if let Some((status, exit_code)) = self.ending {
            steps.push(Step::Ending(frame::ending(status, exit_code)?));
        }
        if self.disconnect {
            steps.push(Step::Disconnect(frame::disconnect()?));
        }
        Ok(steps)
    }
}

enum Step<'a> {
    Status(Status, String),
    Lines(&'a Frame),
    Ending(String),
    Disconnect(String),
}

impl Step<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Status(_, text) | Self::Ending(text) | Self::Disconnect(text) => text,
            Self::Lines(frame) => &frame.text,
        }
    }

    /// Writes down that the member has the frame.
    fn done(&self, connection: &mut Connection) {
        match self {
            Self::Status(status, _) => connection.sent_status = Some(*status),
            Self::Lines(frame) => {
                connection.served = Some(frame.served);
                connection.last_event_id.clone_from(&frame.last_event_id);
            }
            Self::Ending(_) => connection.sent_ending = true,
            Self::Disconnect(_) => {}
        }
    }
}

/// The state of a member after a pass.
pub(super) enum Outcome {
    /// The member has everything.
    Done,
    /// The connection is closed or gone, and the record is to be removed.
    Over(ConnectionKey),
    /// The member is taken out of the fan-out. The future ends its post and hands the viewer over, and must be awaited.
    Apart(BoxFuture<'static, Result<()>>),
    /// The fan-out's lease is about to end.
    Lost,
}

/// Sends a member what it lacks. `until` is the end of the fan-out's lease in milliseconds since 1970, which grows as the lease is renewed.
///
/// # Errors
/// [`Error::Aws`] when DynamoDB fails. No post is in flight then.
pub(super) async fn serve(app: App, mut member: Connection, plan: Plan, until: Arc<AtomicI64>) -> Result<Outcome> {
    let begun = app.now();
    for step in plan.steps()? {
        let now = app.now();
        if now.as_millisecond() + POST_TIMEOUT.as_millis() as i64 > until.load(Ordering::Relaxed) {
            return Ok(Outcome::Lost);
        }
        if now.duration_since(begun).unsigned_abs() > RANGE_TIMEOUT {
            return apart(app, member).await;
        }
        let call = app.aws.websocket.post_to_connection().connection_id(&member.key.connection_id);
        let post = Box::pin(call.data(Blob::new(step.text())).send());
        let answer = {
            let late = pin!(app.sleep(FRAME_TIMEOUT));
            match select(post, late).await {
                Either::Left((answer, _)) => Ok(answer),
                Either::Right(((), post)) => Err(post),
            }
        };
        match answer {
            Ok(Ok(_)) => step.done(&mut member),
            Ok(Err(error)) => {
                let age = app.now().as_millisecond() - member.connected_at;
                let is_gone = matches!(error.as_service_error(), Some(PostToConnectionError::GoneException(_)));
                if is_gone && age > HANDSHAKE.as_millis() as i64 {
                    return Ok(Outcome::Over(member.key));
                }
                tracing::info!(connection_id = member.key.connection_id, %error, "a viewer is handed over");
                return apart(app, member).await;
            }
            Err(post) => {
                let mut after = member.clone();
                step.done(&mut after);
                let is_end = matches!(step, Step::Disconnect(_));
                let lease = match Lease::of_member(&app, member).await {
                    Ok(lease) => lease,
                    Err(error) => {
                        let _ = post.await;
                        return Err(error);
                    }
                };
                let rest = async move {
                    let is_sent = post.await.is_ok();
                    let Some(mut lease) = lease else { return Ok(()) };
                    if is_sent && is_end {
                        return delivery::end(&app, &after).await;
                    }
                    if is_sent {
                        lease.connection = after;
                    }
                    lease.hand_over(&app).await
                };
                return Ok(Outcome::Apart(Box::pin(rest)));
            }
        }
    }
    if plan.disconnect {
        if let Err(error) = delivery::close_connection(&app, &member.key.connection_id).await {
            tracing::warn!(connection_id = member.key.connection_id, error = %error.chain(), "a viewer is handed over");
            return apart(app, member).await;
        }
        return Ok(Outcome::Over(member.key));
    }
    Ok(Outcome::Done)
}

/// Takes a member out of the fan-out to which nothing is in flight.
async fn apart(app: App, member: Connection) -> Result<Outcome> {
    let Some(lease) = Lease::of_member(&app, member).await? else { return Ok(Outcome::Done) };
    Ok(Outcome::Apart(Box::pin(async move { lease.hand_over(&app).await })))
}
