//! Starts the orchestrator as a Lambda function.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(app) = runvoy_core::startup::start().await else { return ExitCode::FAILURE };
    // A function starts before its first event comes, so no request waits for this.
    runvoy_core::auth::policy::prepare();
    let service = orchestrator::service(app);
    let handler = lambda_runtime::service_fn(move |event| {
        let service = service.clone();
        async move { orchestrator::handle(&service, event).await }
    });
    runvoy_core::startup::end(lambda_runtime::run_concurrent(handler).await)
}
