//! Makes the two functions, as the Lambda service invokes them.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use aws_config::{SdkConfig, retry::RetryConfig};
use lambda_runtime::{Diagnostic, LambdaEvent};
use runvoy_core::{App, config::Config};

use crate::{
    aws::{Aws, http_client::InProcess},
    lambda::{Function, FunctionError, Handler, Recorder, function_log::FunctionLog},
    settings::Settings,
    stack::{self, FunctionSettings},
};

/// The orchestrator's logical name in the template.
pub const ORCHESTRATOR: &str = "Orchestrator";
/// The event processor's logical name in the template.
pub const EVENT_PROCESSOR: &str = "EventProcessor";

/// The settings of a function in the template, and the parts of them that the function reads.
pub(crate) type Setup = (FunctionSettings, Config);

pub(crate) struct Functions {
    pub(crate) orchestrator: Function,
    pub(crate) event_processor: Function,
}

/// Builds both functions. The emulated AWS knows which of them calls.
pub(crate) fn build(
    aws: &Aws,
    settings: &Settings,
    sdk: &SdkConfig,
    orchestrator: Setup,
    event_processor: Setup,
) -> Result<Functions> {
    let sdk_of = |caller| match settings.other_endpoint() {
        Some(_) => sdk.clone(),
        None => sdk.to_builder().http_client(InProcess { aws: aws.clone(), caller }).build(),
    };
    let recorder = settings.record.as_deref().map(Recorder::new).transpose()?;
    Ok(Functions {
        orchestrator: build_orchestrator(aws, orchestrator, &sdk_of(ORCHESTRATOR), recorder.clone())?,
        event_processor: build_event_processor(
            aws,
            event_processor,
            &sdk_of(EVENT_PROCESSOR),
            settings.chaos,
            recorder,
        )?,
    })
}

fn build_orchestrator(
    aws: &Aws,
    (settings, config): Setup,
    sdk: &SdkConfig,
    recorder: Option<Recorder>,
) -> Result<Function> {
    let outbox = aws.outbox.clone();
    let api = orchestrator::service(App::new(config, sdk).with_receivers(|receivers| outbox.receivers(receivers)));
    let handler: Handler = Arc::new(move |event: LambdaEvent<Vec<u8>>| {
        let (api, recorder) = (api.clone(), recorder.clone());
        Box::pin(async move {
            let event = read(event)?;
            if let Some(recorder) = recorder {
                recorder.record("orchestrator", &event.payload).await;
            }
            let answer = orchestrator::handle(&api, event).await.map_err(reported)?;
            serde_json::to_vec(&answer).map_err(unreadable)
        })
    });
    let name = stack::physical_name(ORCHESTRATOR);
    Ok(Function::new(&name, &settings, function_log(aws, &settings)?, None, handler))
}

/// Builds the event processor. With a seed, its deliveries are disturbed.
fn build_event_processor(
    aws: &Aws,
    (settings, config): Setup,
    sdk: &SdkConfig,
    chaos: Option<u64>,
    recorder: Option<Recorder>,
) -> Result<Function> {
    let app = App::new(config, sdk).with_receivers(|receivers| aws.outbox.receivers(receivers));
    let handler: Handler = Arc::new(move |event: LambdaEvent<Vec<u8>>| {
        let (app, recorder) = (app.clone(), recorder.clone());
        Box::pin(async move {
            let event = read(event)?;
            if let Some(recorder) = recorder {
                recorder.record("event-processor", &event.payload).await;
            }
            let answer = event_processor::handle(&app, event).await.map_err(|error| reported(error.into()))?;
            serde_json::to_vec(&answer).map_err(unreadable)
        })
    });
    let name = stack::physical_name(EVENT_PROCESSOR);
    Ok(Function::new(&name, &settings, function_log(aws, &settings)?, chaos, handler))
}

/// The SDK as the functions use it. Its calls go to the emulated AWS in this process or, if `AWS_ENDPOINT_URL` is set, to that
/// endpoint.
pub(crate) async fn sdk_config(aws: &Aws, settings: &Settings) -> SdkConfig {
    let loader = runvoy_core::aws::sdk_settings();
    if settings.other_endpoint().is_some() {
        return loader.load().await;
    }
    let loader = match &settings.clock {
        Some(clock) => loader.time_source(clock.clone()),
        None => loader,
    };
    let loader = match settings.call_timeout {
        Some(timeout) => loader.timeout_config(runvoy_core::aws::timeouts(timeout)),
        None => loader,
    };
    let credentials = aws_credential_types::Credentials::new("local", "local", None, None, "local-shim");
    loader
        .region(aws_config::Region::new(stack::REGION))
        // The default of a second is for networks that need time to recover.
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(runvoy_core::aws::MAX_ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(10)),
        )
        .credentials_provider(credentials)
        .http_client(InProcess { aws: aws.clone(), caller: "local-shim" })
        .load()
        .await
}

/// The log of a function, in the log group that the template gives it.
fn function_log(aws: &Aws, settings: &FunctionSettings) -> Result<Option<FunctionLog>> {
    settings.log_group.as_deref().and_then(|name| aws.logs.group(name)).map(FunctionLog::start).transpose()
}

fn read(event: LambdaEvent<Vec<u8>>) -> Result<LambdaEvent<serde_json::Value>, FunctionError> {
    let payload = serde_json::from_slice(&event.payload).map_err(unreadable)?;
    Ok(LambdaEvent::new(payload, event.context))
}

fn reported(diagnostic: Diagnostic) -> FunctionError {
    let Diagnostic { error_type, error_message } = diagnostic;
    FunctionError { error_type, message: error_message }
}

fn unreadable(error: serde_json::Error) -> FunctionError {
    FunctionError { error_type: "Runtime.UnmarshalError".to_owned(), message: error.to_string() }
}
