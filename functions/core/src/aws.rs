//! The SDK's clients, one of each, and what their errors mean to us.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use crate::config::Config;

/// How often a call is made before it counts as failed.
pub const TRIES: u32 = 3;

/// Clients for every service the functions call.
#[derive(Clone, Debug)]
pub struct Clients {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    pub ssm: aws_sdk_ssm::Client,
    pub iam: aws_sdk_iam::Client,
    pub websocket: aws_sdk_apigatewaymanagement::Client,
}

impl Clients {
    pub fn new(sdk: &SdkConfig, config: &Config) -> Self {
        let websocket = aws_sdk_apigatewaymanagement::config::Builder::from(sdk)
            .endpoint_url(&config.websocket_api_endpoint)
            .build();
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(sdk),
            ecs: aws_sdk_ecs::Client::new(sdk),
            logs: aws_sdk_cloudwatchlogs::Client::new(sdk),
            ssm: aws_sdk_ssm::Client::new(sdk),
            iam: aws_sdk_iam::Client::new(sdk),
            websocket: aws_sdk_apigatewaymanagement::Client::from_conf(websocket),
        }
    }
}

/// How the SDK is set up in both functions, wherever they run: three tries, and no call may outlast a request. The rest is the
/// SDK's own chain: environment, profile, role. Makes no call before the first request needs credentials.
///
/// TLS by rustls on ring: the SDK's default, aws-lc, takes longer to build, to load and to send to Lambda.
pub fn sdk_settings() -> aws_config::ConfigLoader {
    let tls = tls::Provider::rustls(CryptoMode::Ring);
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .timeout_config(timeouts(Duration::from_secs(5)))
}

/// For calls of which each try may take this long.
pub fn timeouts(a_try: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(a_try)
        .operation_timeout(a_try * TRIES)
        .build()
}
