//! Defines the events that the emulated services send to functions.
//!
//! The services exist before the functions do, because the functions call them. They publish into one channel, and the
//! [dispatcher](crate::lambda::dispatcher) reads it once the functions are there.

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// An event of EventBridge on its way to a function.
pub struct AwsEvent {
    pub event: Value,
    /// Sent when a function has handled the event, and dropped if none has.
    pub handled: oneshot::Sender<()>,
}

/// Where the emulated services send their events.
#[derive(Clone)]
pub struct EventPublisher(mpsc::UnboundedSender<AwsEvent>);

impl EventPublisher {
    /// A publisher, and the channel that its events arrive in.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<AwsEvent>) {
        let (sender, events) = mpsc::unbounded_channel();
        (Self(sender), events)
    }

    /// Sends an event to EventBridge. The future, which need not be awaited, tells whether the event has been handled. It ends only
    /// then, or when the program ends.
    pub fn send_to_event_bridge(&self, event: Value) -> BoxFuture<'static, bool> {
        let (handled, done) = oneshot::channel();
        // Sending fails only while the program ends.
        let _ = self.0.send(AwsEvent { event, handled });
        done.map(|handled| handled.is_ok()).boxed()
    }
}
