//! Reads batches of records of a table's stream, and answers which of them Lambda is to deliver again ("Reporting batch item failures", AWS
//! Lambda Developer Guide).

use aws_lambda_events::{
    dynamodb::{Event, EventRecord},
    streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse},
};
use serde_json::Value;

use crate::error::EventError;

/// # Errors
/// [`EventError::Malformed`] for an event that is no batch of records.
pub(crate) fn read(event: Value) -> Result<Vec<EventRecord>, EventError> {
    let event: Event = serde_json::from_value(event).map_err(EventError::malformed("batch of stream records"))?;
    Ok(event.records)
}

/// The answer to a batch of which the records with these sequence numbers failed.
///
/// # Errors
/// [`EventError::Malformed`] when the answer cannot be serialized, which does not happen.
pub(crate) fn answer(failed: Vec<Option<String>>) -> Result<Value, EventError> {
    let failure = |number| {
        let mut failure = DynamoDbBatchItemFailure::default();
        failure.item_identifier = number;
        failure
    };
    let mut answer = DynamoDbEventResponse::default();
    answer.batch_item_failures = failed.into_iter().map(failure).collect();
    serde_json::to_value(answer).map_err(EventError::malformed("answer to stream records"))
}
