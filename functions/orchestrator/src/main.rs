use lambda_http::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    runvoy_core::telemetry::init_lambda()?;
    let app = runvoy_core::App::from_environment().await?;
    // Before the first event there is time for it.
    runvoy_core::auth::policy::prepare();
    lambda_http::run_concurrent(orchestrator::service(app)).await
}
