//! Stops the running system: in order, or at once when it is dropped.

use std::time::Duration;

use super::Shim;
use crate::aws::ecs::runner;

/// The time that running requests and commands have to end when the program ends.
const GRACE: Duration = Duration::from_secs(10);
/// The time that viewers have to answer the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl Shim {
    /// Stops the system: takes no new work, lets running requests end, stops commands and closes their executions, and closes the
    /// connections of viewers.
    pub async fn shut_down(mut self) {
        self.serving.stop_listening.cancel();
        let commands = self.aws.ecs.running();
        if commands > 0 {
            tracing::info!(commands, "stopping commands");
        }
        let servers = std::mem::take(&mut self.serving.servers);
        let in_order = async {
            self.aws.ecs.stop_all("local-shim was stopped").await;
            self.log_positions.all_handled().await;
            self.event_processor_function.settle().await;
            // Events that failed are tried again at the next start.
            self.dead_letters.close();
            self.aws.ecs.ends_told().await;
            self.serving.close_viewers.cancel();
            self.serving.viewers.close();
            // A viewer that does not read is not waited for any longer.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.serving.viewers.wait()).await;
            for server in servers {
                let _ = server.await;
            }
        };
        if tokio::time::timeout(GRACE, in_order).await.is_err() {
            tracing::warn!(
                seconds = GRACE.as_secs(),
                "some work did not end in time; the next start closes its executions"
            );
        }
        if let Err(error) = self.log_positions.write() {
            tracing::warn!(error = format!("{error:#}"), "the positions in the logs were not written");
        }
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.serving.stop_listening.cancel();
        self.serving.close_viewers.cancel();
        for task in self.background.iter().chain(&self.serving.servers) {
            task.abort();
        }
        self.aws.logs.stop_moving();
        if let runner::Kind::Process(_) = self.runner
            && self.aws.ecs.running() > 0
        {
            runner::process::kill_leftovers(&self.data.workspaces());
        }
    }
}
