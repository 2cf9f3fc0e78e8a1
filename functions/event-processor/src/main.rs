//! Starts the event processor as a Lambda function.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(app) = runvoy_core::startup::start().await else { return ExitCode::FAILURE };
    let handler = lambda_runtime::service_fn(move |event| {
        let app = app.clone();
        async move { event_processor::handle(&app, event).await }
    });
    runvoy_core::startup::end(lambda_runtime::run_concurrent(handler).await)
}
