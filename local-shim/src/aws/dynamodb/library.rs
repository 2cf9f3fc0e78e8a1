//! Calls dynoxide with requests in JSON, and answers as DynamoDB does.

use anyhow::Result;
use dynoxide::{Database, DynoxideError};
use serde_json::Value;

use crate::aws::{Answer, AwsError};

/// Answers one call.
pub(super) fn answer(database: &Database, operation: &str, body: &[u8]) -> Answer {
    let answered = match operation {
        "GetItem" => run(body, |request| database.get_item(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        "DeleteItem" => run(body, |request| database.delete_item(request)),
        "Query" => run(body, |request| database.query(request)),
        "Scan" => run(body, |request| database.scan(request)),
        "BatchGetItem" => run(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => run(body, |request| database.batch_write_item(request)),
        "TransactGetItems" => run(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => run(body, |request| database.transact_write_items(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "ListTables" => run(body, |request| database.list_tables(request)),
        _ => return AwsError::unknown_operation().into_answer(),
    };
    encoded(answered)
}

/// An answer of the library in DynamoDB's protocol.
pub(super) fn encoded(answered: dynoxide::Result<Vec<u8>>) -> Answer {
    let (status, body) = match answered {
        Ok(body) => (200, body),
        Err(error) => (error.status_code(), error.to_json().into_bytes()),
    };
    Answer { status, content_type: "application/x-amz-json-1.0", body }
}

fn run<Q, A>(body: &[u8], operation: impl FnOnce(Q) -> dynoxide::Result<A>) -> dynoxide::Result<Vec<u8>>
where
    Q: serde::de::DeserializeOwned,
    A: serde::Serialize,
{
    let request = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    written(operation(request))
}

pub(super) fn written<A: serde::Serialize>(answer: dynoxide::Result<A>) -> dynoxide::Result<Vec<u8>> {
    serde_json::to_vec(&answer?).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The error for a request that cannot be read. The library begins its message with a mark that tells which of DynamoDB's errors it
/// is.
pub(super) fn refused(error: &serde_json::Error) -> DynoxideError {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    for mark in ["VALIDATION:", "VALIDATION_REQUEST:", "VALIDATION_AS_READ:"] {
        if let Some(message) = text.strip_prefix(mark) {
            return DynoxideError::ValidationException(message.to_owned());
        }
    }
    let text =
        ["SERIALIZATION:", "SERIALIZATION_AS_READ:"].iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text);
    DynoxideError::SerializationException(text.to_owned())
}

pub(super) fn request<T: serde::de::DeserializeOwned>(request: Value) -> Result<T> {
    Ok(serde_json::from_value(request)?)
}
