//! Events that the emulated services send to functions.
//!
//! The services exist before the functions do, because the functions call them. They publish into one channel, and the
//! [dispatcher](crate::lambda::dispatcher) reads it once the functions are there.

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::logs::Event;

/// Lines of one log stream on their way to a function. The channel holds one batch while another is handled; after that the
/// container waits, so that no memory grows with a log.
pub type LogBatches = mpsc::Sender<(String, Vec<Event>)>;

/// An event on its way to a function.
pub enum AwsEvent {
    /// An event of EventBridge. `handled` is sent, or dropped, when a function has handled the event or it was given up.
    EventBridge { event: Value, handled: oneshot::Sender<()> },
    /// The log streams of a task that has just started, whose lines follow.
    LogSubscription { log_group: String, batches: mpsc::Receiver<(String, Vec<Event>)> },
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

    /// Sends an event to EventBridge. The future, which need not be awaited, ends when the event has been handled or given up.
    pub fn send_to_event_bridge(&self, event: Value) -> BoxFuture<'static, ()> {
        let (handled, done) = oneshot::channel();
        // Sending fails only while the program ends.
        let _ = self.0.send(AwsEvent::EventBridge { event, handled });
        done.map(drop).boxed()
    }

    /// Subscribes a function to the log streams of a task. The subscription ends when the sender is dropped.
    pub fn subscribe(&self, log_group: &str) -> LogBatches {
        let (sender, batches) = mpsc::channel(1);
        let _ = self.0.send(AwsEvent::LogSubscription { log_group: log_group.to_owned(), batches });
        sender
    }
}
