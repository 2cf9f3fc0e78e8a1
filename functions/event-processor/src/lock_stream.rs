//! Handles the stream of the locks table: an execution that has got a lock in line takes its next one, or its task is started.

use futures_util::{StreamExt, stream};
use runvoy_core::{App, Error, execution::ExecutionId, run};
use serde_dynamo::AttributeValue;
use serde_json::Value;

use crate::{error::EventError, stream_records};

/// Executions that one invocation starts at the same time: RunTask may be called 20 times a second.
const CONCURRENCY: usize = 10;

/// Tells whether records are of the locks table: its sort key is the place.
pub(crate) fn is_of_locks(event: &Value) -> bool {
    event["Records"][0]["dynamodb"]["Keys"]["place"].is_object()
}

/// Moves the executions on that the records name. Answers with the sequence numbers of the records that Lambda is to deliver again.
pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let failed: Vec<Option<String>> = stream::iter(stream_records::read(event)?)
        .filter(|record| {
            let granted = record.change.new_image.get("granted") == Some(&AttributeValue::Bool(true));
            std::future::ready(record.event_name == "INSERT" && granted)
        })
        .map(|record| async move {
            match go_on(app, record.change.new_image).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(error = %error.chain(), "an execution that has got a lock was not moved on");
                    Some(record.change.sequence_number)
                }
            }
        })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    stream_records::answer(failed)
}

async fn go_on(app: &App, item: serde_dynamo::Item) -> Result<(), Error> {
    #[derive(serde::Deserialize)]
    struct Holder {
        execution_id: ExecutionId,
    }
    let Holder { execution_id } = serde_dynamo::from_item(item)?;
    run::go_on(app, &execution_id).await
}
