//! Handles the stream of the connections table: a viewer that has just connected, or was handed over, is sent the lines that it lacks.

use std::collections::BTreeMap;

use aws_lambda_events::dynamodb::EventRecord;
use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream,
};
use runvoy_core::{
    App, Error,
    execution::{self, ExecutionId, outcome::Stop},
    logs::{completion, head},
    websocket::{ConnectionKey, connection, delivery, fan_out, hand_over},
};
use serde_dynamo::AttributeValue;
use serde_json::Value;

use crate::{error::EventError, stream_records};

/// Viewers served at the same time: as many as a batch has records, because each may have to wait for the invocation that has its lease.
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

/// A record's sequence number and the viewer that it names.
type Numbered = (Option<String>, ConnectionKey);

/// Serves the viewers that the records name. Answers with the sequence numbers of the records that Lambda is to deliver again
/// ("Reporting batch item failures", AWS Lambda Developer Guide).
pub(crate) async fn handle(app: &App, event: Value) -> Result<Value, EventError> {
    let mut cohorts: BTreeMap<ExecutionId, Cohort> = BTreeMap::new();
    let (mut ended, mut failed): (Vec<Numbered>, _) = (Vec::new(), Vec::new());
    for record in stream_records::read(event)?.into_iter().filter(needs_delivery) {
        // The viewer's key was revoked or deleted.
        let has_ended = is_marked(&record, "key_ended");
        let wakes_fan_out = record.change.new_image.contains_key("fan_out");
        let number = record.change.sequence_number;
        match serde_dynamo::from_item::<_, ConnectionKey>(record.change.keys) {
            Ok(key) if has_ended => ended.push((number, key)),
            Ok(key) => {
                let cohort = cohorts.entry(key.execution_id.clone()).or_default();
                cohort.wakes_fan_out |= wakes_fan_out;
                cohort.viewers.push((number, key));
            }
            Err(error) => failed.push(not_served(number, &error.into())),
        }
    }
    let end_all = stream::iter(ended)
        .map(|(number, key)| async move { end(app, &key).await.err().map(|error| not_served(number, &error)) })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect::<Vec<_>>();
    let serve_all = join_all(cohorts.into_iter().map(|(id, cohort)| cohort.serve(app, id)));
    let (not_ended, not_served) = join(end_all, serve_all).await;
    failed.extend(not_ended.into_iter().chain(not_served.into_iter().flatten()));
    stream_records::answer(failed)
}

/// Logs that a record was not handled. Returns its sequence number.
fn not_served(number: Option<String>, error: &Error) -> Option<String> {
    tracing::error!(error = %error.chain(), sequence_number = number, "a viewer was not served");
    number
}

async fn end(app: &App, key: &ConnectionKey) -> Result<(), Error> {
    connection::close(app, key).await?;
    tracing::info!(connection_id = key.connection_id, "closed: the viewer's key was revoked or deleted");
    Ok(())
}

/// The viewers of one execution that a batch of records names. The head is read, the fan-out woken and the log compared with CloudWatch
/// once for all of them: an account may ask CloudWatch 5 times a second.
#[derive(Default)]
struct Cohort {
    viewers: Vec<Numbered>,
    wakes_fan_out: bool,
}

impl Cohort {
    /// Returns the numbers of the records that are to be delivered again.
    async fn serve(self, app: &App, id: ExecutionId) -> Vec<Option<String>> {
        let not_served_all = |viewers: Vec<Numbered>, error: &Error| -> Vec<Option<String>> {
            viewers.into_iter().map(|(number, _)| not_served(number, error)).collect()
        };
        let head = match head::find(app, &id).await {
            Ok(Some(head)) => head,
            Ok(None) => return Vec::new(),
            Err(error) => return not_served_all(self.viewers, &error),
        };
        let wakes = async { if self.wakes_fan_out { fan_out::wake(app, &id).await } else { Ok(()) } };
        // The viewers see what is stored before the end is looked for, which may take seconds.
        let deliveries = stream::iter(self.viewers)
            .map(|(number, key)| {
                let head = &head;
                async move {
                    let delivered = delivery::deliver(app, &key, head).await;
                    delivered.map(|()| (number.clone(), key)).map_err(|error| not_served(number, &error))
                }
            })
            .buffer_unordered(CONCURRENCY)
            .collect::<Vec<_>>();
        let (woken, results) = join(wakes, deliveries).await;
        let (mut served, mut failed): (Vec<Numbered>, Vec<Option<String>>) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(viewer) => served.push(viewer),
                Err(number) => failed.push(number),
            }
        }
        if let Err(error) = woken {
            failed.extend(not_served_all(served, &error));
            return failed;
        }
        if head.complete || served.is_empty() {
            return failed;
        }
        let (numbers, keys): (Vec<_>, Vec<ConnectionKey>) = served.into_iter().unzip();
        if let Err(error) = complete(app, &id, head.ended_with, &keys).await {
            failed.extend(numbers.into_iter().map(|number| not_served(number, &error)));
        }
        failed
    }
}

/// Completes the log of an execution that has ended, for viewers who wait for its end. `ended_with` is the exit code up to which the log is
/// complete already. Events of other viewers wait until this one is handled, so a comparison that takes longer is left to another event.
async fn complete(
    app: &App,
    id: &ExecutionId,
    ended_with: Option<i32>,
    viewers: &[ConnectionKey],
) -> Result<(), Error> {
    let execution = execution::get(app, id).await?.execution;
    let (completed, goes_on) = match &execution.ending {
        _ if execution.status.is_terminal() => {
            (completion::complete_in_turn(app, id, &Stop::of(&execution)).await?, true)
        }
        Some(ending) if ended_with.is_none() => (
            completion::complete_up_to_end_in_turn(app, id, ending.exit_code).await?,
            completion::may_be_completed_up_to_end(app, ending.at),
        ),
        _ => (None, false),
    };
    if completed.is_some() {
        fan_out::wake(app, id).await
    } else if goes_on {
        hand_over::of_one(app, id, viewers).await
    } else {
        Ok(())
    }
}
