//! Defines the events that the emulated services send to functions.
//!
//! The services exist before the functions do, because the functions call them. They publish into one channel, and the
//! [dispatcher](crate::lambda::dispatcher) reads it once the functions are there.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// An event of EventBridge on its way to a function.
pub struct AwsEvent {
    pub event: Value,
    /// Sent when a function has handled the event, and dropped if none has.
    pub handled: oneshot::Sender<()>,
    /// Held until the function has the event, or no rule has matched it.
    pub(crate) waiting: Waiting,
}

/// Counts an event for as long as it is on its way.
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Takes the events of the emulated services, and passes them to the dispatcher.
#[derive(Clone)]
pub struct EventPublisher {
    sender: mpsc::UnboundedSender<AwsEvent>,
    waiting: Arc<AtomicUsize>,
}

impl EventPublisher {
    /// A publisher, and the channel that its events arrive in.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<AwsEvent>) {
        let (sender, events) = mpsc::unbounded_channel();
        (Self { sender, waiting: Arc::default() }, events)
    }

    /// The counter of the events that are on their way.
    pub(crate) fn waiting(&self) -> Arc<AtomicUsize> {
        self.waiting.clone()
    }

    /// Sends an event to EventBridge. The future, which need not be awaited, tells whether the event has been handled. It ends only
    /// then, or when the program ends.
    pub fn send_to_event_bridge(&self, event: Value) -> BoxFuture<'static, bool> {
        let (handled, done) = oneshot::channel();
        // Sending fails only while the program ends.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(self.waiting.clone());
        let _ = self.sender.send(AwsEvent { event, handled, waiting });
        done.map(|handled| handled.is_ok()).boxed()
    }
}
