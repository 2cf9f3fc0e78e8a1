//! Hands the events of the emulated AWS to the event processor.

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{Function, event_bridge, log_subscription};
use crate::aws::events::AwsEvent;

/// Consumes the events that the emulated services publish.
pub struct Dispatcher {
    pub event_processor: Function,
    /// The patterns of the template's EventBridge rules. An event goes to the function if one of them matches.
    pub rules: Vec<Value>,
    /// The log subscriptions of running tasks.
    pub subscriptions: TaskTracker,
}

impl Dispatcher {
    /// Dispatches events until no service is left to publish any.
    pub async fn run(self, mut events: mpsc::UnboundedReceiver<AwsEvent>) {
        while let Some(event) = events.recv().await {
            match event {
                AwsEvent::EventBridge { event, handled } => {
                    if self.rules.iter().any(|rule| event_bridge::matches(rule, &event)) {
                        let done = self.event_processor.send("EventBridge event", event.to_string().into_bytes());
                        tokio::spawn(async move {
                            done.await;
                            let _ = handled.send(());
                        });
                    }
                }
                AwsEvent::LogSubscription { log_group, batches } => {
                    let subscription = log_subscription::run(self.event_processor.clone(), log_group, batches);
                    self.subscriptions.spawn(subscription);
                }
            }
        }
    }
}
