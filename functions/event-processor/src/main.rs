use lambda_runtime::{Error, service_fn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    runvoy_core::telemetry::init_lambda()?;
    let app = runvoy_core::App::from_environment().await?;
    lambda_runtime::run(service_fn(|event| event_processor::handle(&app, event))).await
}
