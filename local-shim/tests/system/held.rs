//! Holds a call back until a test has done something meanwhile.

use std::{future::Future, sync::Arc};

use local_shim::aws::faults::Call;

use crate::client::System;

/// A call that a test holds back: see [`hold`].
pub struct Held {
    reached: tokio::sync::oneshot::Receiver<()>,
    go_on: std::sync::mpsc::Sender<()>,
}

/// Holds the next transaction of a function back until the test lets it go on.
pub fn hold_transaction(system: &System, function: &'static str) -> Held {
    hold(system, "dynamodb:TransactWriteItems", function)
}

/// Holds the next call of a function back until the test lets it go on.
pub fn hold(system: &System, operation: &'static str, function: &'static str) -> Held {
    let (has_reached, reached) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(Some((has_reached, may_go_on)));
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        if call.operation != operation || call.caller != Some(function) {
            return None;
        }
        let first = held.lock().unwrap().take();
        if let Some((has_reached, may_go_on)) = first {
            has_reached.send(()).unwrap();
            tokio::task::block_in_place(|| may_go_on.recv().unwrap());
        }
        None
    })));
    Held { reached, go_on }
}

impl Held {
    /// Waits until the call is made, does something, and lets the call go on.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        self.reached.await.unwrap();
        let done = work.await;
        self.go_on.send(()).unwrap();
        done
    }
}
