use lambda_runtime::{Error, service_fn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    runvoy_core::telemetry::init_lambda()?;
    let app = runvoy_core::App::from_environment().await?;
    let handler = service_fn(move |event| {
        let app = app.clone();
        async move { event_processor::handle(&app, event).await }
    });
    lambda_runtime::run_concurrent(handler).await
}
