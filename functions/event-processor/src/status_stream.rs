//! Handles the stream of the executions table: changes of status, which notifications tell of, ends for which other executions wait, and
//! pauses before the next attempt.

use std::str::FromStr;

use aws_lambda_events::dynamodb::EventRecord;
use futures_util::future::join_all;
use runvoy_core::{
    App, Error,
    execution::{ExecutionRecord, Status},
    notification::change::{self, StatusChange},
    run,
};
use serde_dynamo::AttributeValue;
use serde_json::Value;

use crate::{error::EventError, stream_records};

/// Tells the notifications of the changes, and moves on the executions that wait for an end. Answers with the sequence numbers of the
/// records that Lambda is to deliver again ("Reporting batch item failures", AWS Lambda Developer Guide).
pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let (mut numbers, mut changes) = (Vec::new(), Vec::new());
    for record in stream_records::read(event)? {
        let number = record.change.sequence_number.clone();
        match read(record) {
            Ok(Some(change)) => {
                numbers.push(number);
                changes.push(change);
            }
            Ok(None) => {}
            // No repetition makes it readable.
            Err(error) => tracing::error!(error = %error.chain(), sequence_number = number, "ignored: no execution"),
        }
    }
    let moved_on = join_all(changes.iter().map(|change| Box::pin(move_on(app, &change.to)))).await;
    let told = if changes.is_empty() { Vec::new() } else { change::tell(app, &changes).await };
    let mut failed = Vec::new();
    for ((number, told), moved_on) in numbers.into_iter().zip(told).zip(moved_on) {
        if let Err(error) = told.and(moved_on) {
            tracing::error!(error = %error.chain(), sequence_number = number, "a change of status was not told");
            failed.push(number);
        }
    }
    stream_records::answer(failed)
}

/// The change that a record tells of. `None` for the record of a deletion.
fn read(record: EventRecord) -> Result<Option<StatusChange>, Error> {
    if record.event_name == "REMOVE" {
        return Ok(None);
    }
    let from = match record.change.old_image.get("status") {
        Some(AttributeValue::S(status)) => Status::from_str(status).ok(),
        _ => None,
    };
    Ok(Some(StatusChange { from, to: ExecutionRecord::from_image(record.change.new_image)? }))
}

async fn move_on(app: &App, record: &ExecutionRecord) -> Result<(), Error> {
    run::expect_next_attempt(app, record).await?;
    run::tell_followers(app, record).await
}
