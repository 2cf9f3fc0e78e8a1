//! Tells whether another invocation starts the task of an execution, or has started it and died.

use super::attempt_message;
use crate::{
    App, Result,
    execution::{self, ExecutionRecord},
};

/// Looks for another starter of an execution that has no task. While one has the lease, a message comes when that is over. If one has died that
/// has started the task, the execution gets that task, and may not end as one without.
///
/// # Errors
/// [`Error::Aws`](crate::Error::Aws) when AWS fails, so that the caller's event is delivered again.
pub(super) async fn has_other_starter(app: &App, record: &ExecutionRecord) -> Result<bool> {
    let Some(lease) = record.start_lease() else { return Ok(false) };
    if lease.time_left(app.now()).is_some() {
        return attempt_message::look_after_lease(app, &record.execution.execution_id).await.map(|()| true);
    }
    execution::adopt_started_task(app, record).await
}
