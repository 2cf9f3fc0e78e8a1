//! Sets the SDK up for both functions, and makes the clients: the SDK's, and our own for services of which little is needed.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_ecs::operation::run_task::RunTaskError;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::{
    interceptors::context::InterceptorContext,
    retries::classifiers::{ClassifyRetry, RetryAction},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::config::Config;

pub mod cloudwatch_logs;
mod iam;
mod json;
mod operation;
pub mod ssm;

pub use operation::Failure;

/// The number of times that the SDK tries a call before it reports the failure.
pub const MAX_ATTEMPTS: u32 = 3;
/// The time that one try of a call may take when a function is deployed.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time after which a call has ended, with all its tries, when a function is deployed.
pub(crate) const LONGEST_CALL: Duration = ATTEMPT_TIMEOUT.saturating_mul(MAX_ATTEMPTS);
/// The time that a connection to AWS may take. Within a region it takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A client for each service that the functions call.
#[derive(Clone, Debug)]
pub struct Clients {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub logs: cloudwatch_logs::Client,
    pub ssm: ssm::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub sns: aws_sdk_sns::Client,
    pub iam: iam::Client,
    pub scheduler: aws_sdk_scheduler::Client,
    pub websocket: aws_sdk_apigatewaymanagement::Client,
}

impl Clients {
    pub(crate) fn new(sdk: &SdkConfig, config: &Config) -> Self {
        let websocket = aws_sdk_apigatewaymanagement::config::Builder::from(sdk)
            .endpoint_url(&config.websocket_api_endpoint)
            // A viewer whose buffer is full is answered with an error that the SDK would repeat for seconds. `websocket::post` decides.
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(sdk),
            ecs: aws_sdk_ecs::Client::from_conf(
                aws_sdk_ecs::config::Builder::from(sdk).retry_classifier(ThrottledByEc2).build(),
            ),
            logs: cloudwatch_logs::Client::new(sdk),
            ssm: ssm::Client::new(sdk),
            sqs: aws_sdk_sqs::Client::new(sdk),
            sns: aws_sdk_sns::Client::new(sdk),
            iam: iam::Client::new(sdk),
            scheduler: aws_sdk_scheduler::Client::new(sdk),
            websocket: aws_sdk_apigatewaymanagement::Client::from_conf(websocket),
        }
    }
}

/// Lets the SDK repeat a RunTask whose calls of EC2 were throttled. ECS answers with the code of a wrong request then, and only the
/// message tells: `Error retrieving subnet information for […]: Rate exceeded (ErrorCode: Throttling)`.
#[derive(Debug)]
struct ThrottledByEc2;

/// Tells whether a message of ECS says that its calls of EC2 were throttled.
pub(crate) fn is_throttling(message: &str) -> bool {
    ["Rate exceeded", "Request limit exceeded"].iter().any(|words| message.contains(words))
}

impl ClassifyRetry for ThrottledByEc2 {
    fn classify_retry(&self, call: &InterceptorContext) -> RetryAction {
        let error = call.output_or_error().and_then(|answer| answer.err()?.as_operation_error()?.downcast_ref());
        let message = error.and_then(RunTaskError::message).unwrap_or_default();
        if is_throttling(message) { RetryAction::throttling_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "throttled by EC2"
    }
}

/// Sets the SDK up: three tries of 5 seconds each for a call; credentials and region come from the SDK's own
/// chain (environment, profile, role). Makes no call before the first request needs credentials.
///
/// TLS is rustls on ring. The SDK's default, aws-lc, takes longer to build and to load, and makes the functions larger.
pub fn sdk_settings() -> aws_config::ConfigLoader {
    let tls = tls::Provider::rustls(CryptoMode::Ring);
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts(ATTEMPT_TIMEOUT))
}

/// Time limits for calls of which each try may take `attempt`, and all tries together [`MAX_ATTEMPTS`] times as long.
pub fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(attempt * MAX_ATTEMPTS)
        .build()
}
