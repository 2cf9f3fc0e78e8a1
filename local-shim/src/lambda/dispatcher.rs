//! Hands the events of the emulated AWS to the event processor.

use serde_json::Value;
use tokio::sync::mpsc;

use super::{Function, Kind, event_bridge};
use crate::aws::events::AwsEvent;

/// Consumes the events that the emulated services publish.
pub struct Dispatcher {
    pub event_processor: Function,
    /// The patterns of the template's EventBridge rules. An event goes to the function if one of them matches.
    pub rules: Vec<Value>,
}

impl Dispatcher {
    /// Dispatches events until no service is left to publish any.
    pub async fn run(self, mut events: mpsc::UnboundedReceiver<AwsEvent>) {
        while let Some(AwsEvent { event, handled, waiting }) = events.recv().await {
            if self.rules.iter().any(|rule| event_bridge::matches(rule, &event)) {
                let done = self.event_processor.send(Kind::EventBridge, event.to_string().into_bytes());
                tokio::spawn(async move {
                    if done.await.is_ok() {
                        // The service may not wait for it.
                        let _ = handled.send(());
                    }
                });
            } else {
                // No rule matches the event, so no function gets it.
                let _ = handled.send(());
            }
            drop(waiting);
        }
    }
}
