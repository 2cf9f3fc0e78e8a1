//! The stream of the connections table: a viewer has just connected, or was handed over, and is sent what it lacks.

use futures_util::{StreamExt, stream};
use runvoy_core::{
    App, Error, execution,
    websocket::{ConnectionKey, serve},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::EventError;

/// Viewers served at the same time: all of a batch, because each may have to wait for a dead server's lease to end.
const CONCURRENCY: usize = 100;

#[derive(Deserialize)]
struct Records {
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
    #[serde(default)]
    new_image: serde_dynamo::Item,
    sequence_number: String,
}

impl Record {
    /// As the event source mapping's filter says it too.
    fn is_for_us(&self) -> bool {
        let handed_over =
            || self.change.new_image.get("handed_over") == Some(&serde_dynamo::AttributeValue::Bool(true));
        self.event_name == "INSERT" || self.event_name == "MODIFY" && handed_over()
    }
}

/// Answers with the records that are to be delivered again.
pub async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let event: Records = serde_json::from_value(event).map_err(EventError::malformed("batch of stream records"))?;
    let failures: Vec<Value> = stream::iter(event.records)
        .filter(|record| std::future::ready(record.is_for_us()))
        .map(|record| async move {
            let number = record.change.sequence_number;
            match serve(app, record.change.keys).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(%error, sequence_number = number, "a viewer was not served");
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

async fn serve(app: &App, keys: serde_dynamo::Item) -> Result<(), Error> {
    let key: ConnectionKey = serde_dynamo::from_item(keys)?;
    match execution::find(app, &key.execution_id).await? {
        Some(record) => serve::attend(app, &key, &record).await,
        None => Ok(()),
    }
}
