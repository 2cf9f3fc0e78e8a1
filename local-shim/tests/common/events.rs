//! Events as AWS sends them.

use local_shim::{aws::logs::Event, lambda::log_batch_event};
use serde_json::{Value, json};

/// A log event with this number, from which its id and its timestamp are made.
pub type Line = (usize, String);

/// The event that a task is RUNNING.
pub fn task_running(id: &str) -> Value {
    task_event(id, json!({"lastStatus": "RUNNING", "startedAt": "2026-01-15T10:32:12Z"}))
}

/// The event that a task is STOPPED. The runner has an exit code unless it was killed.
pub fn task_stopped(id: &str, stop_code: &str, exit_code: Option<i32>) -> Value {
    let containers = json!([{"name": "sidecar", "exitCode": 0}, {"name": "runner", "exitCode": exit_code}]);
    task_event(
        id,
        json!({
            "lastStatus": "STOPPED", "startedAt": "2026-01-15T10:32:12Z", "stoppedAt": "2026-01-15T10:32:20Z",
            "stopCode": stop_code, "stoppedReason": "Essential container in task exited", "containers": containers,
        }),
    )
}

fn task_event(id: &str, mut detail: Value) -> Value {
    detail["taskArn"] = json!(format!("arn:aws:ecs:us-east-1:000000000000:task/runvoy-local/{id}"));
    json!({
        "source": "aws.ecs", "detail-type": "ECS Task State Change", "time": "2026-01-15T10:32:21Z", "detail": detail,
    })
}

/// A batch of lines of the stream of the runner container.
pub fn log_batch(id: &str, lines: &[Line]) -> Value {
    let events: Vec<Event> = lines
        .iter()
        .map(|(number, message)| Event {
            event_id: format!("3{number:055}"),
            timestamp: 1_768_473_132_000 + *number as i64,
            message: message.clone(),
        })
        .collect();
    log_batch_event::event("g", &format!("task/runner/{id}"), &events).unwrap()
}

/// An event of a WebSocket connection.
pub fn websocket(route: &str, connection: &str, parameters: Value) -> Value {
    json!({
        "requestContext": {
            "routeKey": route, "connectionId": connection, "stage": "live",
            "connectedAt": 1_768_473_131_000_i64, "requestTimeEpoch": 1_768_473_131_000_i64,
        },
        "queryStringParameters": parameters,
        "isBase64Encoded": false,
    })
}

/// A request as a Function URL sends it.
pub fn http_request(method: &str, path: &str, key: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"host": "localhost", "x-api-key": key, "content-type": "application/json"},
        "requestContext": {
            "accountId": "anonymous", "apiId": "x", "domainName": "localhost", "domainPrefix": "x", "requestId": "x",
            "routeKey": "$default", "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"},
        },
        "body": body, "isBase64Encoded": false,
    })
}
