//! Handles the stream of the connections table: a viewer that has just connected, or was handed over, is sent the lines that it lacks.

use aws_lambda_events::dynamodb::EventRecord;
use futures_util::{StreamExt, stream};
use runvoy_core::{
    App, Error,
    execution::{self, outcome::Stop},
    logs::{completion, head},
    websocket::{ConnectionKey, connection, delivery, fan_out, hand_over},
};
use serde_dynamo::AttributeValue;
use serde_json::Value;

use crate::{EventError, stream_records};

/// Viewers served at the same time: as many as a batch has records, because each may have to wait until the lease of an invocation
/// that died has ended.
const CONCURRENCY: usize = 100;

/// Tells whether the record's item has a mark, an attribute that is true.
fn is_marked(record: &EventRecord, mark: &str) -> bool {
    record.change.new_image.get(mark) == Some(&AttributeValue::Bool(true))
}

/// Tells whether the record tells of a new viewer or of one that was handed over. The filter of the event source mapping says the
/// same.
fn needs_delivery(record: &EventRecord) -> bool {
    record.event_name == "INSERT" || record.event_name == "MODIFY" && is_marked(record, "handed_over")
}

/// Serves the viewers that the records name. Answers with the sequence numbers of the records that Lambda is to deliver again
/// ("Reporting batch item failures", AWS Lambda Developer Guide).
pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let failed: Vec<Option<String>> = stream::iter(stream_records::read(event)?)
        .filter(|record| std::future::ready(needs_delivery(record)))
        .map(|record| async move {
            // The viewer's key was revoked or deleted.
            let has_ended = is_marked(&record, "key_ended");
            let wakes_fan_out = record.change.new_image.contains_key("fan_out");
            let number = record.change.sequence_number;
            let handled = if has_ended {
                end(app, record.change.keys).await
            } else {
                serve(app, record.change.keys, wakes_fan_out).await
            };
            match handled {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(error = %error.chain(), sequence_number = number, "a viewer was not served");
                    Some(number)
                }
            }
        })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    stream_records::answer(failed)
}

async fn end(app: &App, keys: serde_dynamo::Item) -> Result<(), Error> {
    let key: ConnectionKey = serde_dynamo::from_item(keys)?;
    connection::close(app, &key).await?;
    tracing::info!(connection_id = key.connection_id, "closed: the viewer's key was revoked or deleted");
    Ok(())
}

async fn serve(app: &App, keys: serde_dynamo::Item, wakes_fan_out: bool) -> Result<(), Error> {
    let key: ConnectionKey = serde_dynamo::from_item(keys)?;
    let id = &key.execution_id;
    if wakes_fan_out {
        fan_out::wake(app, id).await?;
    }
    let Some(head) = head::find(app, id).await? else { return Ok(()) };
    // The viewer sees what is stored before the end is looked for, which may take seconds.
    delivery::deliver(app, &key, &head).await?;
    if head.complete {
        return Ok(());
    }
    let execution = execution::get(app, id).await?.execution;
    // Other viewers wait for the end of this event, so the rest is left to another.
    let (completed, goes_on) = match &execution.ending {
        _ if execution.status.is_terminal() => {
            (completion::complete_in_turn(app, id, &Stop::of(&execution)).await?, true)
        }
        Some(ending) if head.ended_with.is_none() => (
            completion::complete_up_to_end_in_turn(app, id, ending.exit_code).await?,
            completion::may_be_completed_up_to_end(app, ending.at),
        ),
        _ => (None, false),
    };
    if completed.is_some() {
        fan_out::wake(app, id).await?;
    } else if goes_on {
        hand_over::of_viewer(app, &key).await?;
    }
    Ok(())
}
