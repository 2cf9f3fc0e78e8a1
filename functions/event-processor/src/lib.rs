//! Handles all events that are not HTTP requests, with a file for each kind. The result of a handler does not depend on the order in which
//! events are delivered, nor on how often. An event that it cannot finish is an error, so that Lambda delivers it again.

mod connection_stream;
mod create_admin;
mod error;
mod lock_stream;
mod log_batch;
mod queue;
mod scheduled_time;
mod status_stream;
mod stream_records;
mod task_state;
mod websocket;

use lambda_runtime::{Context, LambdaEvent};
use runvoy_core::{App, RequestId, approval, audit::Actor, boxed, reconcile, redaction::redacted, run, schedule};
use serde_json::{Value, json};
use tracing::Instrument;

pub use error::EventError;

/// Handles one event. Its shape tells its kind.
///
/// # Errors
/// An event of an unknown or malformed kind, and one that could not be handled and is to be delivered again.
#[boxed]
pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, EventError> {
    let LambdaEvent { payload, context } = event;
    let Context { request_id, .. } = context;
    let request_id = RequestId::new(request_id);
    let shape = Shape::of(&payload);
    let span = tracing::info_span!("event", %request_id, kind = shape.map_or("unknown", Shape::name));
    async {
        let started = std::time::Instant::now();
        if tracing::enabled!(tracing::Level::TRACE) {
            tracing::trace!(event = %redacted(&payload), "received");
        }
        // The futures are boxed because each is large, and an invocation needs only one of them.
        let handled = match shape {
            Some(Shape::EventBridge) => Box::pin(event_bridge(app, payload, &request_id)).await,
            Some(Shape::LogBatch) => Box::pin(log_batch::handle(app, &payload)).await.map(|()| Value::Null),
            Some(Shape::WebSocket) => {
                Box::pin(websocket::handle(app, payload, &request_id)).await.map(|status| json!({"statusCode": status}))
            }
            Some(Shape::StreamRecords) if lock_stream::is_of_locks(&payload) => {
                Box::pin(lock_stream::handle(app, payload)).await
            }
            Some(Shape::StreamRecords) if is_of_executions(&payload) => {
                Box::pin(status_stream::handle(app, payload)).await
            }
            Some(Shape::StreamRecords) => Box::pin(connection_stream::handle(app, payload)).await,
            Some(Shape::Messages) => Box::pin(queue::handle(app, payload)).await,
            None => Err(EventError::UnknownShape),
        };
        let microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        match &handled {
            Ok(_) => tracing::debug!(microseconds, "handled"),
            Err(error) => tracing::error!(%error, microseconds, "not handled"),
        }
        handled
    }
    .instrument(span)
    .await
}

#[derive(Clone, Copy)]
enum Shape {
    EventBridge,
    LogBatch,
    WebSocket,
    StreamRecords,
    Messages,
}

/// Tells whether stream records are of the executions table, by its key. All records of an event are of one stream. They need not name the
/// stream: records that a person reads from it by hand, to have them handled again, do not.
fn is_of_executions(event: &Value) -> bool {
    let keys = &event["Records"][0]["dynamodb"]["Keys"];
    keys["execution_id"].is_object() && keys["connection_id"].is_null()
}

impl Shape {
    fn of(event: &Value) -> Option<Self> {
        if event["source"].is_string() && event["detail-type"].is_string() {
            Some(Self::EventBridge)
        } else if event["awslogs"]["data"].is_string() {
            Some(Self::LogBatch)
        } else if event["requestContext"]["routeKey"].is_string() {
            Some(Self::WebSocket)
        } else if records_are_of(event, "aws:dynamodb") {
            Some(Self::StreamRecords)
        } else if records_are_of(event, "aws:sqs") {
            Some(Self::Messages)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::EventBridge => "EventBridge",
            Self::LogBatch => "log batch",
            Self::WebSocket => "WebSocket",
            Self::StreamRecords => "stream records",
            Self::Messages => "messages",
        }
    }
}

/// Tells whether an event has records, all from this source.
fn records_are_of(event: &Value, source: &str) -> bool {
    let records = event["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
    !records.is_empty() && records.iter().all(|record| record["eventSource"] == source)
}

async fn event_bridge(app: &App, event: Value, request_id: &RequestId) -> Result<Value, EventError> {
    match (event["source"].as_str(), event["detail-type"].as_str()) {
        (Some("aws.ecs"), Some("ECS Task State Change")) => task_state::handle(app, event).await?,
        (Some("aws.events"), Some("Scheduled Event")) if event["detail"]["runvoy_event"] == "health_reconcile" => {
            reconcile::run(app, &Actor::program("event", request_id)).await?;
        }
        (Some("aws.events"), Some("Scheduled Event")) if event["detail"]["runvoy_event"] == "sweep" => {
            // A failure of the one does not hold up the other.
            let approvals = approval::sweep(app).await;
            run::sweep(app).await.and(approvals)?;
        }
        (Some("runvoy"), Some(schedule::DETAIL_TYPE)) => scheduled_time::handle(app, event, request_id).await?,
        (Some("runvoy"), Some("Create Admin")) => return create_admin::handle(app, event, request_id).await,
        (source, detail_type) => {
            tracing::warn!(source, detail_type, "ignored: no handler takes this kind of event");
        }
    }
    Ok(Value::Null)
}
