//! All events that are not HTTP requests: a file a kind. Each handler comes out the same whatever the order and however often
//! its event is delivered; an event that it could not finish is an error, so that Lambda delivers it again.

mod administration;
mod connections;
mod log_batch;
mod task_state;
mod websocket;

use lambda_runtime::{Context, LambdaEvent};
use runvoy_core::{App, reconcile};
use serde_json::{Value, json};
use thiserror::Error;
use tracing::Instrument;

/// Why an event was not handled.
#[derive(Debug, Error)]
pub enum EventError {
    #[error(
        "this is no event that is handled here: expected an EventBridge event (`source` and `detail-type`), a CloudWatch \
         Logs batch (`awslogs.data`), an API Gateway WebSocket event (`requestContext.routeKey`) or records of a DynamoDB \
         stream (`Records`)"
    )]
    UnknownShape,
    #[error("the {kind} cannot be read: {cause}")]
    Malformed { kind: &'static str, cause: String },
    #[error(transparent)]
    Failed(#[from] runvoy_core::Error),
}

impl EventError {
    fn malformed(kind: &'static str) -> impl Fn(serde_json::Error) -> Self {
        move |error| Self::Malformed { kind, cause: error.to_string() }
    }
}

impl From<EventError> for lambda_runtime::Diagnostic {
    fn from(error: EventError) -> Self {
        let error_type = match &error {
            EventError::UnknownShape => "UnknownEvent",
            EventError::Malformed { .. } => "MalformedEvent",
            EventError::Failed(_) => "EventFailed",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// Handles one event, told apart by its shape.
pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, EventError> {
    let LambdaEvent { payload, context } = event;
    let Context { request_id, .. } = context;
    let shape = Shape::of(&payload);
    let span =
        tracing::info_span!("event", request_id = request_id.as_str(), kind = shape.map_or("unknown", Shape::name));
    async {
        let started = std::time::Instant::now();
        // Boxed: the handlers' futures are large, and one of them is as much as an invocation needs.
        let handled = match shape {
            Some(Shape::EventBridge) => Box::pin(event_bridge(app, payload, &request_id)).await,
            Some(Shape::LogBatch) => Box::pin(log_batch::handle(app, &payload)).await.map(|()| Value::Null),
            Some(Shape::WebSocket) => {
                Box::pin(websocket::handle(app, payload)).await.map(|status| json!({"statusCode": status}))
            }
            Some(Shape::StreamRecords) => Box::pin(connections::handle(app, payload)).await,
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
}

impl Shape {
    fn of(event: &Value) -> Option<Self> {
        if event["source"].is_string() && event["detail-type"].is_string() {
            Some(Self::EventBridge)
        } else if event["awslogs"]["data"].is_string() {
            Some(Self::LogBatch)
        } else if event["requestContext"]["routeKey"].is_string() {
            Some(Self::WebSocket)
        } else if event["Records"].as_array().is_some_and(|records| {
            !records.is_empty() && records.iter().all(|record| record["eventSource"] == "aws:dynamodb")
        }) {
            Some(Self::StreamRecords)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::EventBridge => "EventBridge",
            Self::LogBatch => "log batch",
            Self::WebSocket => "WebSocket",
            Self::StreamRecords => "connections",
        }
    }
}

async fn event_bridge(app: &App, event: Value, request_id: &str) -> Result<Value, EventError> {
    match (event["source"].as_str(), event["detail-type"].as_str()) {
        (Some("aws.ecs"), Some("ECS Task State Change")) => task_state::handle(app, event).await?,
        (Some("aws.events"), Some("Scheduled Event")) if event["detail"]["runvoy_event"] == "health_reconcile" => {
            reconcile::run(app, request_id).await?;
        }
        (Some("runvoy"), Some("Create Admin")) => return administration::create_admin(app, event, request_id).await,
        (source, detail_type) => {
            tracing::warn!(source, detail_type, "ignored: nothing here handles this kind of event");
        }
    }
    Ok(Value::Null)
}
