//! What both functions share, by subject. A subject owns its types, its rules and its table.
//!
//! Nothing here knows where it runs: every module speaks to AWS through the real SDK, and whoever builds the
//! [`App`] decides what answers.

pub mod auth;
pub mod aws;
pub mod config;
pub mod email;
pub mod error;
pub mod execution;
pub mod image;
pub mod logs;
pub mod reconcile;
pub mod secret;
pub mod table;
pub mod telemetry;
pub mod time;
pub mod trace;
pub mod user;
pub mod websocket;

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use aws_smithy_async::{
    rt::sleep::{AsyncSleep as _, SharedAsyncSleep, TokioSleep},
    time::SharedTimeSource,
};
use jiff::Timestamp;

pub use error::{Error, Result};

/// Everything a handler needs, built once at start and shared by all invocations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub config: Arc<config::Config>,
    pub aws: Arc<aws::Clients>,
    clock: SharedTimeSource,
    sleep: SharedAsyncSleep,
}

impl App {
    /// Puts the parts together. Makes no AWS call.
    pub fn new(config: config::Config, sdk: &aws_config::SdkConfig) -> Self {
        let aws = Arc::new(aws::Clients::new(sdk, &config));
        let clock = sdk.time_source().unwrap_or_default();
        let sleep = sdk.sleep_impl().unwrap_or_else(|| SharedAsyncSleep::new(TokioSleep::new()));
        Self { config: Arc::new(config), aws, clock, sleep }
    }

    /// The present moment by the SDK's clock, to the millisecond: CloudWatch Logs and DynamoDB's TTL know nothing finer.
    pub fn now(&self) -> Timestamp {
        let since = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).ok().and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or_default()
    }

    /// Waits, by the SDK's clock.
    pub async fn sleep(&self, time: Duration) {
        self.sleep.sleep(time).await;
    }

    /// The second at which DynamoDB may delete an item that lives this long from now.
    pub fn expiry(&self, lifetime: Duration) -> i64 {
        self.now().as_second().saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX))
    }

    /// Whether that second has come. DynamoDB deletes expired items late, so whoever reads asks this too.
    pub fn is_past(&self, expires_at: i64) -> bool {
        self.now().as_second() >= expires_at
    }

    /// As a Lambda function starts: settings from the environment, credentials and region from the SDK's own chain.
    pub async fn from_environment() -> std::result::Result<Self, config::ConfigError> {
        let config = config::Config::from_environment()?;
        Ok(Self::new(config, &aws::sdk_settings().load().await))
    }
}
