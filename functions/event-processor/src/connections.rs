//! The stream of the connections table: a viewer has just connected, and is sent what there is so far.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use runvoy_core::{
    App, Error, execution,
    websocket::{
        ConnectionKey,
        serve::{self, Served},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::EventError;

/// Viewers served at the same time.
const CONCURRENCY: usize = 32;
/// How long a viewer whom somebody else is serving is waited for. Ten deliveries of this outlast a lease.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
    sequence_number: String,
}

/// Answers with the records that are to be delivered again.
pub async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let event: Records = serde_json::from_value(event).map_err(EventError::malformed("batch of stream records"))?;
    let failures: Vec<Value> = stream::iter(event.records)
        .filter(|record| std::future::ready(record.event_name == "INSERT"))
        .map(|record| async move {
            let number = record.change.sequence_number;
            match serve_new(app, record.change.keys).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(%error, sequence_number = number, "a new viewer was not served");
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

async fn serve_new(app: &App, keys: serde_dynamo::Item) -> Result<(), Error> {
    let key: ConnectionKey = serde_dynamo::from_item(keys)?;
    let deadline = app.now() + PATIENCE;
    while let Some(record) = execution::find(app, &key.execution_id).await? {
        if serve::viewer(app, &key, record, &[]).await? == Served::Done {
            return Ok(());
        }
        // Nothing else may ever happen in the execution: if whoever has the viewer died, this event alone is left to serve it,
        // and is delivered again until it has.
        if app.now() >= deadline {
            return Err(Error::Database(format!("the viewer {} is being served by somebody else", key.connection_id)));
        }
        app.sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
