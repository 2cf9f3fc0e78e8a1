//! Tells a task that runs whether it may go on.

use std::time::Duration;

use tokio::sync::watch;

/// The time that a command has to end after SIGTERM when the program itself is ending.
const SHORT_STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Tells whether a task may go on running. Each value is stronger than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    Run,
    /// Stop as `StopTask` does: SIGTERM, and SIGKILL after the stop timeout.
    Stop,
    /// Stop because the program ends: the same, with a short timeout.
    StopNow,
}

/// Waits until a task is to be stopped at least in this way.
pub(crate) async fn wait_for_demand(demand: &mut watch::Receiver<Demand>, wanted: Demand) {
    let gone = demand.wait_for(|demand| *demand >= wanted).await.is_err();
    if gone {
        // The sender was dropped, so no further demand can come.
        std::future::pending::<()>().await;
    }
}

/// Waits for the time that a container has to end after SIGTERM.
pub(super) async fn wait_for_stop_timeout(stop_timeout: Duration, demand: &mut watch::Receiver<Demand>) {
    tokio::select! {
        () = tokio::time::sleep(stop_timeout) => {}
        () = wait_for_demand(demand, Demand::StopNow) => tokio::time::sleep(SHORT_STOP_TIMEOUT).await,
    }
}
