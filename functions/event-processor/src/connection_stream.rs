//! The stream of the connections table: a viewer that has just connected, or was handed over, is sent the lines that it lacks.

use futures_util::{StreamExt, stream};
use runvoy_core::{
    App, Error,
    execution::{self, outcome::Stop},
    logs::{completion, head},
    websocket::{ConnectionKey, connection, delivery},
};
use serde::Deserialize;
use serde_dynamo::AttributeValue;
use serde_json::{Value, json};

use crate::EventError;

/// Viewers served at the same time: as many as a batch has records, because each may have to wait until the lease of an invocation
/// that died has ended.
const CONCURRENCY: usize = 100;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: String,
    #[serde(rename = "dynamodb")]
    change: Change,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    keys: serde_dynamo::Item,
    new_image: Option<serde_dynamo::Item>,
    sequence_number: Option<String>,
}

impl Record {
    /// Tells whether the key of the viewer was revoked or deleted.
    fn has_ended(&self) -> bool {
        let mark = self.change.new_image.as_ref().and_then(|image| image.get("key_ended"));
        mark == Some(&AttributeValue::Bool(true))
    }

    /// Tells whether the record tells of a new viewer or of one that was handed over. The filter of the event source mapping says the
    /// same.
    fn needs_delivery(&self) -> bool {
        let mark = self.change.new_image.as_ref().and_then(|image| image.get("handed_over"));
        let is_handed_over = mark == Some(&AttributeValue::Bool(true));
        self.event_name == "INSERT" || self.event_name == "MODIFY" && is_handed_over
    }
}

/// Serves the viewers that the records name. Answers with the sequence numbers of the records that Lambda is to deliver again
/// ("Reporting batch item failures", AWS Lambda Developer Guide).
pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("batch of stream records"))?;
    let failures: Vec<Value> = stream::iter(event.records)
        .filter(|record| std::future::ready(record.needs_delivery()))
        .map(|record| async move {
            let has_ended = record.has_ended();
            let number = record.change.sequence_number;
            let handled =
                if has_ended { end(app, record.change.keys).await } else { serve(app, record.change.keys).await };
            match handled {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(error = %error.chain(), sequence_number = number, "a viewer was not served");
                    Some(json!({"itemIdentifier": number}))
                }
            }
        })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    Ok(json!({"batchItemFailures": failures}))
}

async fn end(app: &App, keys: serde_dynamo::Item) -> Result<(), Error> {
    let key: ConnectionKey = serde_dynamo::from_item(keys)?;
    connection::close(app, &key).await?;
    tracing::info!(connection_id = key.connection_id, "closed: the viewer's key was revoked or deleted");
    Ok(())
}

async fn serve(app: &App, keys: serde_dynamo::Item) -> Result<(), Error> {
    let key: ConnectionKey = serde_dynamo::from_item(keys)?;
    let id = &key.execution_id;
    let Some(head) = head::find(app, id).await? else { return Ok(()) };
    // The viewer sees what is stored before the end is looked for, which may take seconds.
    delivery::deliver(app, &key, &head).await?;
    if head.complete {
        return Ok(());
    }
    let execution = execution::get(app, id).await?.execution;
    if execution.status.is_terminal()
        && let Some(head) = completion::complete(app, id, &Stop::of(&execution)).await?
    {
        delivery::deliver_to_all(app, id, &head, &[]).await?;
    }
    Ok(())
}
