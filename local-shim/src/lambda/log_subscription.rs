//! Subscribes a function to a log group: follows the written streams and hands new lines to a function, in order unless a batch takes
//! long. No stream and no viewer holds up another stream, or the command that prints.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    dead_letters::{Body, DeadLetters},
    function::Function,
    kind::Kind,
    log_batch_event::payload,
};
use crate::{
    aws::logs::{
        LogGroup,
        positions::{Positions, Ready},
    },
    blocking::blocking,
};

/// The time that a batch waits for the previous one, so that lines are stored in the order in which they were printed. After that it is
/// sent, because a viewer that is slow to take one batch must not keep other viewers from the next.
const IN_ORDER: Duration = Duration::from_secs(1);
/// Lines of a batch. CloudWatch names no limits for subscriptions; this and the next are those of "PutLogEvents".
const MAX_EVENTS: usize = 10_000;
/// Bytes of a batch.
const MAX_BYTES: usize = 1_048_576;
/// Batches of all streams that are handed over at the same time.
const HAND_OVERS: usize = 64;
/// KiB of lines in all these batches.
const MEMORY: u32 = 16 * 1024;

/// A subscription and what it needs.
pub(crate) struct Subscription {
    pub(crate) function: Function,
    pub(crate) group: LogGroup,
    pub(crate) positions: Arc<Positions>,
    /// Keeps the batches that the function failed to handle each time.
    pub(crate) dead_letters: DeadLetters,
}

impl Subscription {
    /// Follows the group for as long as the program runs.
    pub(crate) async fn run(self) {
        let subscription = Arc::new(self);
        let hand_overs = Arc::new(Semaphore::new(HAND_OVERS));
        let memory = Arc::new(Semaphore::new(MEMORY as usize));
        loop {
            // Lines are read only when they can be handed over. The semaphores are never closed.
            let Ok(hand_over) = hand_overs.clone().acquire_owned().await else { return };
            let ready = subscription.positions.ready().await;
            let bytes = usize::try_from(ready.bytes).unwrap_or(MAX_BYTES).min(MAX_BYTES);
            let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(MEMORY);
            let Ok(memory) = memory.clone().acquire_many_owned(kib).await else { return };
            if let Some((from, batch)) = blocking(|| subscription.read(&ready, bytes)) {
                tokio::spawn(subscription.clone().hand_over(ready.stream, from, batch, [hand_over, memory]));
            }
        }
    }

    /// Reads the lines of a batch, and where it begins. `None` if there are none.
    fn read(&self, ready: &Ready, at_most: usize) -> Option<(u64, Vec<u8>)> {
        let Ready { stream, offset, .. } = ready;
        match self.group.read(stream, *offset, at_most) {
            Ok(Some(mut written)) => {
                if let Some(end) = memchr::memchr_iter(b'\n', &written).nth(MAX_EVENTS - 1) {
                    written.truncate(end + 1);
                }
                self.positions.taken(stream, *offset, offset + written.len() as u64);
                (!written.is_empty()).then_some((*offset, written))
            }
            Ok(None) => {
                tracing::error!(stream, "a log stream is gone before its lines were handed over");
                self.positions.forget(stream);
                None
            }
            Err(error) => {
                tracing::error!(stream, error = format!("{error:#}"), "a log stream cannot be read, and is left out");
                self.positions.forget(stream);
                None
            }
        }
    }

    /// Hands a batch over. One that fails each time is kept in the dead letters, and does not block its stream.
    async fn hand_over(
        self: Arc<Self>,
        stream: String,
        from: u64,
        batch: Vec<u8>,
        _permits: [OwnedSemaphorePermit; 2],
    ) {
        let to = from + batch.len() as u64;
        match payload(self.group.name(), &stream, &batch) {
            Ok(payload) => {
                drop(batch);
                let mut handled = std::pin::pin!(self.function.attempt_copies(Kind::LogBatch, payload));
                let handled = match tokio::time::timeout(IN_ORDER, &mut handled).await {
                    Ok(handled) => handled,
                    Err(_) => {
                        self.positions.late(&stream, from);
                        handled.await
                    }
                };
                if let Err(error) = handled {
                    let log_group = self.group.name().to_owned();
                    let lines = Body::Lines { log_group, stream: stream.clone(), from, to };
                    drop(self.dead_letters.keep(Kind::LogBatch, lines, &error));
                }
            }
            Err(error) => {
                tracing::error!(stream, error = format!("{error:#}"), "a batch of lines could not be compressed");
            }
        }
        self.positions.handled(&stream, from);
    }
}
